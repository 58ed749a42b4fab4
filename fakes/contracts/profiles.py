"""The contract of backends with profiles and several addresses, as tests that you run on yours.

:mod:`v1registry_fakes.contracts.accounts` says how.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from v1registry.accounts.base import (
    PROFILE_FIELDS,
    AccountExists,
    Backend,
    EmailRefused,
    UnknownUser,
)
from v1registry.rights import User

from .accounts import AccountsContract

__all__ = ["ProfilesContract"]


class ProfilesContract(AccountsContract):
    """Derive from this class and add the fixture ``accounts``: a backend without users. See
    AccountsContract.
    """

    # -- profiles

    def test_new_account_has_its_address_and_an_empty_profile(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        account = accounts.account("mira")
        assert account.user == User("mira")
        assert [(email.email, email.verified, email.primary) for email in account.emails] == [
            ("mira@example.org", True, True)
        ]
        assert [getattr(account, name) for name in PROFILE_FIELDS] == [""] * len(PROFILE_FIELDS)
        assert account.date_joined.utcoffset() is not None
        assert 0 < account.id < 1 << 53

    def test_account_keeps_its_number(self, accounts: Backend, reopened: Backend) -> None:
        for name in ("mira", "other"):
            accounts.create(name, "correct horse")
        ids = [accounts.account(name).id for name in ("mira", "other")]
        assert ids[0] != ids[1]
        accounts.set_password("mira", "battery staple")
        accounts.set_profile("mira", {"full_name": "Mira"})
        assert [reopened.account(name).id for name in ("mira", "other")] == ids

    def test_only_the_given_fields_change(self, accounts: Backend, reopened: Backend) -> None:
        accounts.create("mira", "correct horse")
        accounts.set_profile("mira", {"full_name": "Mira Kovač", "location": "Graz"})
        accounts.set_profile("mira", {"location": "", "company": "Example Works"})
        account = reopened.account("mira")
        assert (account.full_name, account.location, account.company) == ("Mira Kovač", "", "Example Works")
        accounts.set_profile("mira", {})
        assert reopened.account("mira") == account
        assert reopened.authenticate("mira", "correct horse") == User("mira")

    def test_other_fields_are_ignored(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse")
        before = accounts.account("mira")
        accounts.set_profile("mira", {"is_administrator": "yes", "username": "root", "password": "x"})
        assert accounts.account("mira") == before

    @pytest.mark.parametrize("text", ["", "ä☃🐳", "a\nb\0", "\udcff", "x" * 10_000])
    def test_any_text_can_be_in_a_profile(self, accounts: Backend, text: str) -> None:
        accounts.create("mira", "correct horse")
        accounts.set_profile("mira", dict.fromkeys(PROFILE_FIELDS, text))
        account = accounts.account("mira")
        assert [getattr(account, name) for name in PROFILE_FIELDS] == [text] * len(PROFILE_FIELDS)

    def test_simultaneous_changes_of_fields_are_all_kept(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse")
        with ThreadPoolExecutor(len(PROFILE_FIELDS)) as threads:
            list(threads.map(lambda name: accounts.set_profile("mira", {name: name}), PROFILE_FIELDS))
        account = accounts.account("mira")
        assert [getattr(account, name) for name in PROFILE_FIELDS] == list(PROFILE_FIELDS)

    # -- addresses

    def test_addresses_are_in_the_order_of_their_addition(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse")
        wanted = ["c@example.org", "a@example.org", "b@example.org"]
        for email in wanted:
            accounts.add_email("mira", email)
        emails = accounts.account("mira").emails
        assert [email.email for email in emails] == wanted
        assert [email.primary for email in emails] == [True, False, False]

    def test_primary_address_changes_everywhere(self, accounts: Backend, reopened: Backend) -> None:
        self._has_three_addresses(accounts)
        assert accounts.set_primary_email("mira", "TWO@example.org")
        assert _primary(reopened) == ["two@example.org"]
        assert reopened.set_primary_email("mira", "mira@example.org")
        assert _primary(accounts) == ["mira@example.org"]

    def test_unconfirmed_address_cannot_become_the_primary_one(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        accounts.add_email("mira", "two@example.org")
        with pytest.raises(EmailRefused):
            accounts.set_primary_email("mira", "two@example.org")
        assert _primary(accounts) == ["mira@example.org"]

    def test_unconfirmed_first_address_is_the_primary_one(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse")
        accounts.add_email("mira", "mira@example.org")
        assert accounts.set_primary_email("mira", "mira@example.org")
        assert _primary(accounts) == ["mira@example.org"]

    def test_removed_address_is_free(self, accounts: Backend, reopened: Backend) -> None:
        self._has_three_addresses(accounts)
        assert accounts.remove_email("mira", "TWO@Example.org")
        assert not reopened.is_taken("other", "two@example.org")
        assert not reopened.confirm_email("mira", "two@example.org")
        assert [email.email for email in reopened.account("mira").emails] == [
            "mira@example.org",
            "three@example.org",
        ]
        reopened.create("other", "correct horse", "two@example.org")
        with pytest.raises(AccountExists):
            accounts.add_email("mira", "two@example.org")

    def test_removed_address_that_is_added_again_is_unconfirmed(self, accounts: Backend) -> None:
        self._has_three_addresses(accounts)
        accounts.remove_email("mira", "two@example.org")
        accounts.add_email("mira", "two@example.org")
        assert [email.verified for email in accounts.account("mira").emails] == [True, True, False]
        assert accounts.is_taken("other", "two@example.org")

    def test_primary_address_cannot_be_removed(self, accounts: Backend) -> None:
        self._has_three_addresses(accounts)
        with pytest.raises(EmailRefused):
            accounts.remove_email("mira", "mira@example.org")
        assert _primary(accounts) == ["mira@example.org"]
        assert accounts.is_taken("other", "mira@example.org")

    def test_address_of_another_user_cannot_be_changed(self, accounts: Backend) -> None:
        self._has_three_addresses(accounts)
        accounts.create("other", "correct horse", "other@example.org")
        for email in ("other@example.org", "nobody@example.org", ""):
            assert not accounts.set_primary_email("mira", email)
            assert not accounts.remove_email("mira", email)
        assert len(accounts.account("mira").emails) == 3
        assert accounts.is_taken("third", "other@example.org")

    def test_number_of_addresses_is_limited(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        count = next(
            number
            for number in range(1, 1001)
            if not _is_done(lambda: accounts.add_email("mira", f"{number}@example.org"))  # noqa: B023
        )
        assert len(accounts.account("mira").emails) == count
        assert not accounts.is_taken("other", f"{count}@example.org")
        # an own address is still no error, and a removed one makes room
        accounts.add_email("mira", "1@example.org")
        assert accounts.remove_email("mira", "1@example.org")
        accounts.add_email("mira", f"{count}@example.org")

    def test_unknown_user_has_no_profile_and_no_addresses(self, accounts: Backend) -> None:
        for ask in (
            lambda: accounts.account("nobody"),
            lambda: accounts.set_profile("nobody", {"full_name": "x"}),
            lambda: accounts.set_profile("nobody", {}),
            lambda: accounts.set_primary_email("nobody", "nobody@example.org"),
            lambda: accounts.remove_email("nobody", "nobody@example.org"),
        ):
            with pytest.raises(UnknownUser):
                ask()
        assert accounts.find("nobody") is None

    # -- races

    def test_simultaneous_choices_leave_one_primary_address(
        self, accounts: Backend, reopened: Backend
    ) -> None:
        emails = self._has_addresses(accounts, 8)

        def choose(number: int) -> bool:
            return (accounts, reopened)[number % 2].set_primary_email("mira", emails[number])

        for _ in range(5):
            with ThreadPoolExecutor(8) as threads:
                assert all(threads.map(choose, range(8)))
            assert len(_primary(accounts)) == 1

    def test_simultaneous_choice_and_removal_do_not_both_succeed(
        self, accounts: Backend, reopened: Backend
    ) -> None:
        *_, email = self._has_addresses(accounts, 2)
        for _ in range(10):
            with ThreadPoolExecutor(2) as threads:
                chosen = threads.submit(accounts.set_primary_email, "mira", email)
                removed = threads.submit(_is_done, lambda: reopened.remove_email("mira", email))
            is_removed = removed.result()
            assert chosen.result() is not is_removed
            assert _primary(accounts) == (["mira@example.org"] if is_removed else [email])
            if is_removed:
                accounts.add_email("mira", email)
                accounts.confirm_email("mira", email)
            accounts.set_primary_email("mira", "mira@example.org")

    def test_removed_address_never_belongs_to_two_users(self, accounts: Backend, reopened: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        accounts.create("other", "correct horse", "other@example.org")

        def swap(name: str) -> None:
            each = accounts if name == "mira" else reopened
            for _ in range(15):
                if _is_done(lambda: each.add_email(name, "swapped@example.org")):
                    assert each.remove_email(name, "swapped@example.org")

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(swap, ["mira", "other"]))
        assert not accounts.is_taken("third", "swapped@example.org")
        for name in ("mira", "other"):
            assert [email.email for email in accounts.account(name).emails] == [f"{name}@example.org"]

    def _has_addresses(self, accounts: Backend, count: int) -> list[str]:
        """Create a user with confirmed addresses and return them."""
        accounts.create("mira", "correct horse", "mira@example.org")
        emails = ["mira@example.org", "two@example.org", "three@example.org"]
        emails = [*emails, *(f"{number}@example.org" for number in range(4, count + 1))][:count]
        for email in emails[1:]:
            accounts.add_email("mira", email)
            accounts.confirm_email("mira", email)
        return emails

    def _has_three_addresses(self, accounts: Backend) -> None:
        self._has_addresses(accounts, 3)


def _primary(accounts: Backend) -> list[str]:
    return [email.email for email in accounts.account("mira").emails if email.primary]


def _is_done(change: Callable[[], bool | None]) -> bool:
    """Return whether a change was made: it was not refused, and there was something to change."""
    try:
        return change() is not False
    except (AccountExists, EmailRefused):
        return False
