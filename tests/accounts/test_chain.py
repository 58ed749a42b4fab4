"""Several backends as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.cheap_passwords import CheapPasswords
from v1registry_fakes.contracts import (
    AccountsContract,
    BackendContract,
    ConfirmationContract,
    LookupContract,
    ProfilesContract,
)

from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import AccountExists, Backend, BackendUnavailable, NotSupported, UnknownUser
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.memory import MemoryStorage


class Staff(Backend):
    """A backend over a dict. It can be made unavailable, and counts the passwords that it checks."""

    def __init__(self, **passwords: str) -> None:
        self.passwords = passwords
        self.is_away = False
        self.count = 0

    def authenticate(self, username: str, password: str) -> User | None:
        self.count += 1
        if self.is_away:
            raise BackendUnavailable("The staff is away")
        is_right = password != "" and self.passwords.get(username) == password
        return User(username, frozenset({"staff"})) if is_right else None

    def find(self, username: str) -> User | None:
        if self.is_away:
            raise BackendUnavailable("The staff is away")
        return User(username, frozenset({"staff"})) if username in self.passwords else None

    def password_mark(self, username: str) -> str:
        return self.passwords.get(username, "")


def new_store(**passwords: str) -> UserStore:
    store = UserStore(MemoryStorage(), passwords=CheapPasswords())
    for username, password in passwords.items():
        store.create(username, password)
    return store


def without_find(*right: str) -> Callback:
    """Return a backend that cannot look up names, and accepts these passwords."""
    return Callback(lambda username, password: password in right)


class TestChain(BackendContract):
    @pytest.fixture
    def backend(self) -> BackendChain:
        return BackendChain([Environ(), without_find(), Staff(mira=self.password), Staff()])


class TestChainThatFinds(LookupContract):
    @pytest.fixture
    def backend(self) -> BackendChain:
        return BackendChain([Staff(), Staff(mira=self.password)])


class TestChainOfAccounts(AccountsContract):
    @pytest.fixture
    def accounts(self) -> BackendChain:
        return BackendChain([Staff(boss="secret"), new_store(), new_store()])


class TestChainOfConfirmedAccounts(ConfirmationContract):
    @pytest.fixture
    def accounts(self) -> BackendChain:
        return BackendChain([Staff(boss="secret"), new_store()])


class TestChainOfProfiles(ProfilesContract):
    @pytest.fixture
    def accounts(self) -> BackendChain:
        return BackendChain([new_store(), Staff(boss="secret")])


# -- passwords


def test_users_of_every_backend_log_in_as_their_backend_knows_them() -> None:
    chain = BackendChain([Staff(mira="one"), new_store(zoe="two")])
    assert chain.authenticate("mira", "one") == User("mira", frozenset({"staff"}))
    assert chain.authenticate("zoe", "two") == User("zoe")
    assert chain.authenticate("mira", "two") is None
    assert chain.authenticate("nobody", "one") is None


def test_first_backend_that_knows_a_name_decides() -> None:
    chain = BackendChain([Staff(mira="one"), new_store(mira="two")])
    assert chain.authenticate("mira", "one") == User("mira", frozenset({"staff"}))
    assert chain.authenticate("mira", "two") is None, "an account of the same name is a different user"


def test_backend_without_find_leaves_its_names_to_later_backends() -> None:
    chain = BackendChain([without_find("one"), new_store(mira="two")])
    assert chain.authenticate("mira", "one") == User("mira")
    assert chain.authenticate("mira", "two") == User("mira")


def test_users_of_the_others_log_in_while_one_backend_is_unavailable() -> None:
    staff, store = Staff(mira="one"), new_store(root="two")
    staff.is_away = True
    for chain in (BackendChain([staff, store]), BackendChain([store, staff])):
        assert chain.authenticate("root", "two") == User("root")


def test_refusal_while_one_backend_is_unavailable_is_reported() -> None:
    staff, store = Staff(mira="one"), new_store(root="two")
    staff.is_away = True
    for chain in (BackendChain([staff, store]), BackendChain([store, staff])):
        for username, password in (("mira", "one"), ("root", "wrong"), ("nobody", "wrong")):
            with pytest.raises(BackendUnavailable, match="The staff is away"):
                chain.authenticate(username, password)
    staff.is_away = False
    assert chain.authenticate("mira", "one") == User("mira", frozenset({"staff"}))
    assert chain.authenticate("root", "wrong") is None


def test_refusal_asks_every_backend() -> None:
    backends = [Staff(mira="one"), Staff(zoe="two"), Staff()]
    chain = BackendChain(backends)
    for username in ("mira", "zoe", "nobody"):
        before = [backend.count for backend in backends]
        assert chain.authenticate(username, "wrong") is None
        assert [backend.count - old for backend, old in zip(backends, before, strict=True)] == [1, 1, 1]


def test_right_password_asks_no_further_backend() -> None:
    first, second = Staff(mira="one"), Staff()
    assert BackendChain([first, second]).authenticate("mira", "one") is not None
    assert (first.count, second.count) == (1, 0)


# -- users by name


def test_user_is_found_in_the_first_backend_that_knows_the_name() -> None:
    chain = BackendChain([Staff(mira="one"), new_store(mira="two", zoe="three")])
    assert chain.find("mira") == User("mira", frozenset({"staff"}))
    assert chain.find("zoe") == User("zoe")
    assert chain.find("nobody") is None


def test_unknown_name_is_none_only_if_every_backend_answers() -> None:
    staff, silent = Staff(mira="one"), without_find()
    assert BackendChain([silent, staff]).find("mira") is not None
    for chain in (BackendChain([silent, staff]), BackendChain([staff, silent])):
        with pytest.raises(NotSupported):
            chain.find("nobody")
    staff.is_away = True
    for chain in (BackendChain([silent, staff]), BackendChain([staff, silent])):
        with pytest.raises(BackendUnavailable):
            chain.find("nobody")


def test_account_is_that_of_the_first_backend_that_knows_the_name() -> None:
    store = new_store(mira="two", zoe="three")
    chain = BackendChain([Staff(mira="one"), without_find(), store])
    assert chain.account("mira").user == User("mira", frozenset({"staff"}))
    assert chain.account("mira").password_mark == "one"
    assert chain.account("zoe") == store.account("zoe")
    with pytest.raises(NotSupported):
        chain.account("nobody")
    with pytest.raises(UnknownUser):
        BackendChain([Staff(), store]).account("nobody")


def test_password_mark_is_that_of_the_backend_that_knows_the_name() -> None:
    chain = BackendChain([Environ(), Staff(mira="one"), Staff(mira="two", moe="three")])
    marks = {name: chain.password_mark(name) for name in ("mira", "moe", "nobody")}
    assert marks == {"mira": "one", "moe": "three", "nobody": ""}


# -- what a chain can do


def test_chain_takes_passwords_if_one_backend_does() -> None:
    assert not BackendChain([Environ()]).takes_passwords
    assert BackendChain([Environ(), Staff()]).takes_passwords


def test_chain_finds_only_if_every_backend_does() -> None:
    assert BackendChain([new_store(), new_store()]).can_find
    assert not BackendChain([new_store(), without_find()]).can_find


def test_chain_reads_the_environ_if_one_backend_does() -> None:
    assert BackendChain([Staff(), Environ()]).reads_environ
    assert not BackendChain([Staff(), new_store()]).reads_environ


def test_chain_has_ids_if_one_backend_does() -> None:
    assert BackendChain([Environ(), new_store()]).has_ids
    assert not BackendChain([without_find(), Staff()]).has_ids


def test_chain_creates_accounts_in_the_first_backend_that_can() -> None:
    store = new_store()
    chain = BackendChain([Staff(), store, new_store()])
    assert chain.creating is store
    assert (chain.can_create, chain.can_confirm, chain.has_profiles) == (True, True, True)
    without = BackendChain([Staff(), Environ()])
    assert without.creating is None
    assert (without.can_create, without.can_confirm, without.has_profiles) == (False, False, False)


# -- requests


def test_backends_are_asked_for_the_user_of_a_request_in_order() -> None:
    chain = BackendChain([Environ("first"), new_store(mira="one"), Environ("second")])
    assert chain.user_of_request({"second": "zoe", "first": "mira"}) == User("mira")
    assert chain.user_of_request({"second": "zoe"}) == User("zoe")
    assert chain.user_of_request({}) is None
    assert chain.authenticate("mira", "one") == User("mira")


def test_chain_without_passwords_refuses_every_password() -> None:
    chain = BackendChain([Environ()])
    assert chain.authenticate("mira", "correct horse") is None
    with pytest.raises(NotSupported):
        chain.find("mira")


# -- accounts


def test_name_that_another_backend_knows_is_taken() -> None:
    store = new_store()
    chain = BackendChain([store, Staff(mira="one")])
    assert chain.is_taken("mira", "mira@example.org")
    with pytest.raises(AccountExists, match=r"^Username or email already exists$"):
        chain.create("mira", "two", "mira@example.org")
    assert store.find("mira") is None
    assert not chain.is_taken("zoe", "mira@example.org")
    assert chain.create("zoe", "two", "mira@example.org") == User("zoe")


def test_no_account_is_created_while_a_backend_is_unavailable() -> None:
    staff, store = Staff(mira="one"), new_store()
    staff.is_away = True
    chain = BackendChain([staff, store])
    with pytest.raises(BackendUnavailable):
        chain.is_taken("mira", "mira@example.org")
    with pytest.raises(BackendUnavailable):
        chain.create("mira", "two", "mira@example.org")
    assert list(store.users()) == []


def test_backend_without_find_does_not_prevent_accounts() -> None:
    chain = BackendChain([without_find(), new_store(), Environ()])
    assert not chain.is_taken("mira", "")
    assert chain.create("mira", "one") == User("mira")


CHANGES: dict[str, Callable[[Backend], object]] = {
    "set_password": lambda backend: backend.set_password("mira", "x"),
    "set_active": lambda backend: backend.set_active("mira", False),
    "add_email": lambda backend: backend.add_email("mira", "new@example.org"),
    "confirm_email": lambda backend: backend.confirm_email("mira", "mira@example.org"),
    "set_profile": lambda backend: backend.set_profile("mira", {"company": "x"}),
    "set_primary_email": lambda backend: backend.set_primary_email("mira", "mira@example.org"),
    "remove_email": lambda backend: backend.remove_email("mira", "mira@example.org"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_user_of_a_later_backend_is_unknown_to_changes(change: str) -> None:
    chain = BackendChain([new_store(zoe="two"), Staff(mira="one")])
    with pytest.raises(UnknownUser):
        CHANGES[change](chain)


@pytest.mark.parametrize("change", CHANGES)
def test_user_of_an_earlier_backend_is_not_changed_nor_is_a_namesake(change: str) -> None:
    store = new_store()
    store.create("mira", "two", "mira@example.org")
    before = store.account("mira")
    with pytest.raises(NotSupported):
        CHANGES[change](BackendChain([Staff(mira="one"), store]))
    assert store.account("mira") == before


def test_link_for_a_namesake_of_an_earlier_user_confirms_nothing() -> None:
    store = new_store()
    store.create("mira", "two", "mira@example.org", is_active=False)
    state = store.unconfirmed("mira")["mira@example.org"]
    chain = BackendChain([Staff(mira="one"), store])
    assert chain.unconfirmed("mira") == {}
    assert not chain.confirm("mira", "mira@example.org", state)
    assert store.find("mira") == User("mira", is_active=False)


@pytest.mark.parametrize("change", CHANGES)
def test_chain_that_creates_no_accounts_changes_none(change: str) -> None:
    chain = BackendChain([Staff(mira="one")])
    with pytest.raises(NotSupported):
        CHANGES[change](chain)
    with pytest.raises(NotSupported):
        chain.users()


def test_invalid_chains_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one backend"):
        BackendChain([])
    with pytest.raises(TypeError, match=r"must consist of v1registry\.accounts\.Backend, not str"):
        BackendChain(["users:"])  # type: ignore[list-item]
