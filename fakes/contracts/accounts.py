"""Contracts of backends, as tests that you run on yours.

A backend derives from :class:`v1registry.accounts.base.Backend`. To check yours, derive from a contract in a
test file and add its fixture::

    import pytest
    from v1registry_fakes.contracts import LookupContract
    from my_package import StaffDatabase

    class TestStaffDatabase(LookupContract):
        username = "mira"
        password = "correct horse"

        @pytest.fixture
        def backend(self):
            return StaffDatabase("test-database")  # in which mira has that password

* :class:`BackendContract`: a backend that verifies passwords.
* :class:`LookupContract`: one that looks up users by name, too (``can_find``).
* :class:`AccountsContract`: one in which accounts are created (``can_create``). Its fixture ``accounts``
  returns a backend without users.
* :class:`ConfirmationContract`: one whose accounts and addresses links confirm, too (``can_confirm``).
* :class:`~v1registry_fakes.contracts.profiles.ProfilesContract`: one with profiles, too (``has_profiles``).

For readable failures let pytest rewrite the assertions of this module, in ``conftest.py``, before it is
imported::

    pytest.register_assert_rewrite("v1registry_fakes.contracts.accounts")
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from v1registry.accounts.base import AccountExists, Backend, UnknownUser
from v1registry.rights import User

__all__ = [
    "AccountsContract",
    "BackendContract",
    "ConfirmationContract",
    "LookupContract",
]

#: Names that no user has, and that have a meaning in filters, paths, files and encodings.
_ODD_NAMES = {
    "empty": "",
    "blank": " ",
    "star": "*",
    "any of them": "*)(uid=*",
    "brackets": "a(x)*",
    "or": "|(uid=*)",
    "backslash": "a\\2a",
    "colon": "a:b",
    "NUL": "a\0b",
    "newline": "a\nb",
    "path": "../../etc/passwd",
    "folder": "a/b",
    "dot": ".",
    "parent": "..",
    "percent": "%2F%00",
    "SQL": "' OR '1'='1",
    "DN": "uid=mira,dc=example,dc=test",
    "hidden and reserved": ".a.tmp",
    "not ASCII": "mirä_☃_🐳",
    "combining": "mira\u0308",
    "lone surrogate": "a\udcff\ud800",
    "bidirectional": "\u202eariM",
    "long": "m" * 10_000,
    "long and not ASCII": "ä" * 300,
}

#: Passwords that no user has.
_ODD_PASSWORDS = {
    "NUL": "\0",
    "soft hyphen": "\xad",
    "blank": " ",
    "newline": "\n",
    "colon": ":",
    "star": "*",
    "not ASCII": "pässwörd 🐳",
    "lone surrogate": "\udcff",
    "longer than bcrypt looks": "x" * 73,
    "long": "x" * 100_000,
}


class BackendContract:
    """Derive from this class and add the fixture ``backend``, in which ``username`` has ``password``."""

    username: ClassVar[str] = "mira"
    password: ClassVar[str] = "correct horse"  # noqa: S105

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("add a fixture backend")

    def test_right_password_returns_the_user(self, backend: Backend) -> None:
        user = backend.authenticate(self.username, self.password)
        assert isinstance(user, User)
        assert user.name == self.username
        assert user.is_active
        assert isinstance(user.groups, frozenset)
        assert all(isinstance(group, str) for group in user.groups)

    def test_right_password_is_right_each_time(self, backend: Backend) -> None:
        first = backend.authenticate(self.username, self.password)
        assert first is not None
        assert [backend.authenticate(self.username, self.password) for _ in range(3)] == [first] * 3

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda password: password + "x", id="longer"),
            pytest.param(lambda password: password[:-1], id="shorter"),
            pytest.param(lambda password: password.swapcase(), id="other case"),
            pytest.param(lambda password: password + " ", id="a blank after it"),
            pytest.param(lambda password: " " + password, id="a blank before it"),
            pytest.param(lambda password: password + "\0", id="a NUL after it"),
            pytest.param(lambda password: password + "\n", id="a newline after it"),
            pytest.param(lambda password: password + "\xad", id="a soft hyphen after it"),
            pytest.param(lambda password: password * 2, id="twice"),
        ],
    )
    def test_similar_password_is_wrong(self, backend: Backend, change: Callable[[str], str]) -> None:
        assert backend.authenticate(self.username, self.password) is not None
        assert backend.authenticate(self.username, change(self.password)) is None

    @pytest.mark.parametrize("name", _ODD_PASSWORDS)
    def test_odd_password_is_wrong(self, backend: Backend, name: str) -> None:
        assert backend.authenticate(self.username, _ODD_PASSWORDS[name]) is None

    def test_empty_password_is_wrong(self, backend: Backend) -> None:
        for username in (self.username, "nobody_has_this_name", ""):
            assert backend.authenticate(username, "") is None

    @pytest.mark.parametrize("name", _ODD_NAMES)
    def test_odd_name_is_unknown(self, backend: Backend, name: str) -> None:
        assert backend.authenticate(_ODD_NAMES[name], self.password) is None

    def test_right_password_makes_no_wrong_one_right(self, backend: Backend) -> None:
        assert backend.authenticate(self.username, self.password) is not None
        assert backend.authenticate(self.username, "wrong") is None
        assert backend.authenticate("nobody_has_this_name", self.password) is None
        # nor if name and password are the same text when joined
        assert backend.authenticate(self.username + self.password[0], self.password[1:]) is None
        assert backend.authenticate(self.username[:-1], self.username[-1] + self.password) is None

    def test_simultaneous_calls_get_their_own_answers(self, backend: Backend) -> None:
        passwords = [self.password, "wrong", self.password, self.password + "x"] * 8
        with ThreadPoolExecutor(8) as threads:
            users = list(
                threads.map(lambda password: backend.authenticate(self.username, password), passwords)
            )
        assert [user is not None for user in users] == [password == self.password for password in passwords]

    def test_passwords_are_neither_logged_nor_shown(
        self, backend: Backend, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        backend.authenticate(self.username, self.password)
        backend.authenticate(self.username, "a-wrong-secret")
        backend.authenticate("nobody_has_this_name", "a-wrong-secret")
        shown = caplog.text + repr(backend) + str(backend)
        assert self.password not in shown
        assert "a-wrong-secret" not in shown


class LookupContract(BackendContract):
    """Derive from this class and add the fixture ``backend``, which has ``find`` too."""

    def test_find_returns_the_user_of_authenticate(self, backend: Backend) -> None:
        user = backend.find(self.username)
        assert user is not None
        assert user == backend.authenticate(self.username, self.password)
        assert backend.can_find

    def test_id_of_a_user_is_the_same_each_time(self, backend: Backend) -> None:
        users = [backend.find(self.username), backend.authenticate(self.username, self.password)]
        ids = [user.id for user in users if user is not None]
        assert len(ids) == 2
        assert ids[0] == ids[1]
        assert ids[0] or not backend.has_ids

    @pytest.mark.parametrize("name", _ODD_NAMES)
    def test_find_of_an_odd_name_is_none(self, backend: Backend, name: str) -> None:
        assert backend.find(_ODD_NAMES[name]) is None


class AccountsContract(LookupContract):
    """Derive from this class and add the fixture ``accounts``: a backend without users.

    Override ``reopened`` with another object over the same data, as another process would have, if there can
    be one.
    """

    email: ClassVar[str] = "mira@example.org"

    @pytest.fixture
    def accounts(self) -> Backend:
        raise NotImplementedError("add a fixture accounts")

    @pytest.fixture
    def reopened(self, accounts: Backend) -> Backend:
        return accounts

    @pytest.fixture
    def backend(self, accounts: Backend) -> Backend:
        accounts.create(self.username, self.password, self.email)
        return accounts

    # -- creating users

    def test_new_user_can_log_in_and_is_found(self, accounts: Backend, reopened: Backend) -> None:
        made = accounts.create("mira", "correct horse", "mira@example.org")
        assert made == User("mira")
        assert reopened.authenticate("mira", "correct horse") == made
        assert reopened.find("mira") == made
        assert list(reopened.users()) == [made]

    def test_new_user_has_the_given_flags(self, accounts: Backend) -> None:
        made = accounts.create("root", "correct horse", is_active=False, is_administrator=True)
        assert made == User("root", is_active=False, is_administrator=True)
        assert accounts.find("root") == made

    def test_inactive_user_is_returned_as_inactive(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", is_active=False)
        user = accounts.authenticate("mira", "correct horse")
        assert user is not None
        assert not user.is_active
        assert accounts.authenticate("mira", "wrong") is None

    def test_backend_without_users_knows_none(self, accounts: Backend) -> None:
        assert list(accounts.users()) == []
        assert accounts.find("mira") is None
        assert accounts.authenticate("mira", "correct horse") is None
        assert not accounts.is_taken("mira", "mira@example.org")

    def test_names_and_addresses_of_users_are_taken(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        assert accounts.is_taken("mira", "")
        assert accounts.is_taken("mira", "other@example.org")
        assert accounts.is_taken("other", "mira@example.org")
        assert accounts.is_taken("other", "MIRA@Example.Org")
        assert not accounts.is_taken("other", "other@example.org")
        assert not accounts.is_taken("other", "")

    def test_taken_name_is_refused_and_its_user_stays(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        with pytest.raises(AccountExists):
            accounts.create("mira", "another one", "other@example.org", is_administrator=True)
        assert accounts.authenticate("mira", "another one") is None
        assert accounts.authenticate("mira", "correct horse") == User("mira")

    def test_taken_address_is_refused_whatever_its_case(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        with pytest.raises(AccountExists):
            accounts.create("other", "correct horse", "Mira@EXAMPLE.org")
        assert accounts.find("other") is None

    def test_address_of_a_refused_name_stays_free(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        with pytest.raises(AccountExists):
            accounts.create("mira", "correct horse", "other@example.org")
        assert not accounts.is_taken("other", "other@example.org")
        accounts.create("other", "correct horse", "other@example.org")
        assert accounts.is_taken("third", "other@example.org")

    def test_several_users_can_have_no_address(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse")
        accounts.create("other", "correct horse")
        assert [user.name for user in accounts.users()] == ["mira", "other"]

    @pytest.mark.parametrize("name", _ODD_NAMES)
    def test_any_text_can_be_a_name(self, accounts: Backend, name: str) -> None:
        username = _ODD_NAMES[name]
        accounts.create("mira", "correct horse")
        assert accounts.create(username, "right", "any@example.org") == User(username)
        assert accounts.authenticate(username, "right") == User(username)
        assert accounts.authenticate(username, "correct horse") is None
        assert accounts.find(username) == User(username)
        assert accounts.find("mira") == User("mira")
        assert {user.name for user in accounts.users()} == {"mira", username}

    def test_odd_names_are_different_users(self, accounts: Backend) -> None:
        for username in _ODD_NAMES.values():
            accounts.create(username, "right")
        assert [user.name for user in accounts.users()] == sorted(_ODD_NAMES.values())

    @pytest.mark.parametrize("name", _ODD_PASSWORDS)
    def test_any_text_can_be_a_password(self, accounts: Backend, name: str) -> None:
        accounts.create("mira", _ODD_PASSWORDS[name])
        assert accounts.authenticate("mira", _ODD_PASSWORDS[name]) == User("mira")
        assert accounts.authenticate("mira", _ODD_PASSWORDS[name] + "x") is None

    def test_users_are_sorted_by_name(self, accounts: Backend) -> None:
        for username in ("mira", "a_b", "ab", "zoe", "B", "a.b"):
            accounts.create(username, "correct horse")
        assert [user.name for user in accounts.users()] == ["B", "a.b", "a_b", "ab", "mira", "zoe"]

    # -- races

    def test_one_of_simultaneous_creations_of_a_name_succeeds(self, accounts: Backend) -> None:
        def create(number: int) -> bool:
            return _succeeds(lambda: accounts.create("mira", f"password {number}", f"{number}@example.org"))

        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(create, range(8)))
        assert made.count(True) == 1
        right = [accounts.authenticate("mira", f"password {number}") is not None for number in range(8)]
        assert right == made

    def test_one_of_simultaneous_creations_with_an_address_succeeds(self, accounts: Backend) -> None:
        def create(number: int) -> bool:
            return _succeeds(lambda: accounts.create(f"user_{number}", "correct horse", "one@example.org"))

        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(create, range(8)))
        assert made.count(True) == 1
        assert [user.name for user in accounts.users()] == [f"user_{made.index(True)}"]

    def test_one_of_simultaneous_additions_of_an_address_succeeds(self, accounts: Backend) -> None:
        names = [f"user_{number}" for number in range(8)]
        for name in names:
            accounts.create(name, "correct horse", f"{name}@example.org")
        with ThreadPoolExecutor(8) as threads:
            added = list(
                threads.map(
                    lambda name: _succeeds(lambda: accounts.add_email(name, "one@example.org")), names
                )
            )
        assert added.count(True) == 1
        owners = [name for name in names if accounts.confirm_email(name, "one@example.org")]
        assert owners == [names[added.index(True)]]

    def test_simultaneous_changes_are_all_kept(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        addresses = [f"{number}@example.org" for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda address: accounts.add_email("mira", address), addresses))
        assert all(accounts.is_taken("other", address) for address in addresses)

    # -- changing users

    def test_new_password_replaces_the_old_one_everywhere(self, accounts: Backend, reopened: Backend) -> None:
        accounts.create("mira", "correct horse")
        assert reopened.authenticate("mira", "correct horse") is not None
        accounts.set_password("mira", "battery staple")
        for each in (accounts, reopened):
            assert each.authenticate("mira", "correct horse") is None
            assert each.authenticate("mira", "battery staple") == User("mira")

    def test_disabled_account_is_disabled_everywhere(self, accounts: Backend, reopened: Backend) -> None:
        accounts.create("mira", "correct horse")
        assert reopened.authenticate("mira", "correct horse") == User("mira")
        accounts.set_active("mira", False)
        assert reopened.authenticate("mira", "correct horse") == User("mira", is_active=False)
        assert reopened.find("mira") == User("mira", is_active=False)
        accounts.set_active("mira", True)
        assert reopened.authenticate("mira", "correct horse") == User("mira")

    def test_added_address_belongs_to_its_user(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        accounts.add_email("mira", "two@example.org")
        assert accounts.is_taken("other", "two@example.org")
        assert accounts.is_taken("other", "mira@example.org")
        with pytest.raises(AccountExists):
            accounts.create("other", "correct horse", "TWO@example.org")

    def test_adding_an_own_address_again_returns_false(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        assert not accounts.add_email("mira", "MIRA@example.org")
        assert accounts.confirm_email("mira", "mira@example.org")
        assert accounts.add_email("mira", "two@example.org")
        assert not accounts.add_email("mira", "two@example.org")

    def test_one_of_simultaneous_additions_to_an_account_returns_true(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        for number in range(5):
            email = f"{number}@example.org"
            with ThreadPoolExecutor(8) as threads:
                added = list(threads.map(lambda _: accounts.add_email("mira", email), range(8)))  # noqa: B023
            assert added.count(True) == 1

    def test_address_of_another_user_cannot_be_added(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        accounts.create("other", "correct horse", "other@example.org")
        with pytest.raises(AccountExists):
            accounts.add_email("other", "Mira@example.org")
        assert not accounts.confirm_email("other", "mira@example.org")
        assert accounts.confirm_email("mira", "mira@example.org")

    def test_only_an_own_address_is_confirmed(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org", is_active=False)
        assert accounts.confirm_email("mira", "Mira@example.org")
        assert accounts.confirm_email("mira", "mira@example.org")
        assert not accounts.confirm_email("mira", "other@example.org")

    def test_unknown_user_cannot_be_changed(self, accounts: Backend) -> None:
        for change in (
            lambda: accounts.set_password("nobody", "correct horse"),
            lambda: accounts.add_email("nobody", "nobody@example.org"),
            lambda: accounts.confirm_email("nobody", "nobody@example.org"),
            lambda: accounts.set_active("nobody", True),
        ):
            with pytest.raises(UnknownUser):
                change()
        assert accounts.find("nobody") is None
        assert not accounts.is_taken("other", "nobody@example.org")


class ConfirmationContract(AccountsContract):
    """Derive from this class and add the fixture ``accounts``: a backend without users."""

    def test_inactive_new_account_awaits_confirmation(self, accounts: Backend, reopened: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org", is_active=False)
        waiting = reopened.unconfirmed("mira")
        assert list(waiting) == ["mira@example.org"]
        assert reopened.confirm("mira", "mira@example.org", waiting["mira@example.org"])
        assert accounts.find("mira") == User("mira")
        assert dict(accounts.unconfirmed("mira")) == {}

    def test_added_address_awaits_confirmation(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        assert dict(accounts.unconfirmed("mira")) == {}
        accounts.add_email("mira", "two@example.org")
        waiting = accounts.unconfirmed("mira")
        assert list(waiting) == ["two@example.org"]
        assert accounts.confirm("mira", "two@example.org", waiting["two@example.org"])
        assert dict(accounts.unconfirmed("mira")) == {}
        assert accounts.find("mira") == User("mira")

    def test_account_is_confirmed_once_and_only_in_its_state(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org", is_active=False)
        state = accounts.unconfirmed("mira")["mira@example.org"]
        assert not accounts.confirm("mira", "mira@example.org", "another state")
        assert not accounts.confirm("mira", "other@example.org", state)
        assert not accounts.confirm("other", "mira@example.org", state)
        assert accounts.find("mira") == User("mira", is_active=False)
        assert accounts.confirm("mira", "mira@example.org", state)
        assert not accounts.confirm("mira", "mira@example.org", state)

    def test_new_password_changes_the_state(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org", is_active=False)
        before = accounts.unconfirmed("mira")["mira@example.org"]
        accounts.set_password("mira", "battery staple")
        assert not accounts.confirm("mira", "mira@example.org", before)
        after = accounts.unconfirmed("mira")["mira@example.org"]
        assert after != before
        assert accounts.confirm("mira", "mira@example.org", after)

    def test_disabled_account_awaits_no_confirmation(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org")
        accounts.add_email("mira", "two@example.org")
        accounts.create("other", "correct horse", "other@example.org", is_active=False)
        states = {name: accounts.unconfirmed(name) for name in ("mira", "other")}
        for name, waiting in states.items():
            accounts.set_active(name, False)
            assert dict(accounts.unconfirmed(name)) == {}
            for email, state in waiting.items():
                assert not accounts.confirm(name, email, state)
            assert accounts.find(name) == User(name, is_active=False)

    def test_account_that_was_activated_awaits_its_address_only(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org", is_active=False)
        accounts.set_active("mira", True)
        assert list(accounts.unconfirmed("mira")) == ["mira@example.org"]
        accounts.confirm_email("mira", "mira@example.org")
        assert dict(accounts.unconfirmed("mira")) == {}

    def test_unknown_user_awaits_no_confirmation(self, accounts: Backend) -> None:
        assert dict(accounts.unconfirmed("nobody")) == {}
        assert not accounts.confirm("nobody", "nobody@example.org", "")

    def test_one_of_simultaneous_confirmations_succeeds(self, accounts: Backend) -> None:
        accounts.create("mira", "correct horse", "mira@example.org", is_active=False)
        state = accounts.unconfirmed("mira")["mira@example.org"]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: accounts.confirm("mira", "mira@example.org", state), range(8)))
        assert sorted(answers) == [False] * 7 + [True]


def _succeeds(change: Callable[[], object]) -> bool:
    try:
        change()
    except AccountExists:
        return False
    return True
