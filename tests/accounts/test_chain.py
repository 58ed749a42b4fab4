"""Several backends, asked one after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.cheap_passwords import CheapPasswords
from v1registry_fakes.contracts import AuthenticatorContract, UserDirectoryContract

from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.backends.chain import Chain, DirectoryChain, chain_of
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import (
    AccountExists,
    Backend,
    BackendUnavailable,
    NotSupported,
    UnknownUser,
    UserDirectory,
)
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.memory import MemoryStorage


class Staff:
    """A backend over a dict that can be away, and that counts how often it is asked for a password."""

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


def new_store(**passwords: str) -> UserStore:
    store = UserStore(MemoryStorage(), passwords=CheapPasswords())
    for username, password in passwords.items():
        store.create(username, password)
    return store


class TestChain(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self) -> Chain:
        return Chain(
            [Environ(), Callback(lambda username, password: False), Staff(mira=self.password), Staff()]
        )


class TestDirectoryChain(UserDirectoryContract):
    @pytest.fixture
    def directory(self) -> DirectoryChain:
        return DirectoryChain([Staff(boss="secret"), new_store(), new_store()])


# -- passwords


def test_users_of_every_backend_get_in_as_their_backend_knows_them() -> None:
    chain = Chain([Staff(mira="one"), new_store(zoe="two")])
    assert chain.authenticate("mira", "one") == User("mira", frozenset({"staff"}))
    assert chain.authenticate("zoe", "two") == User("zoe")
    assert chain.authenticate("mira", "two") is None
    assert chain.authenticate("nobody", "one") is None


def test_the_first_backend_that_knows_a_name_decides() -> None:
    chain = Chain([Staff(mira="one"), new_store(mira="two")])
    assert chain.authenticate("mira", "one") == User("mira", frozenset({"staff"}))
    assert chain.authenticate("mira", "two") is None, "an account of the same name is not that person"


def test_a_backend_that_cannot_look_up_names_does_not_keep_the_next_one_from_knowing_them() -> None:
    chain = Chain([Callback(lambda username, password: password == "one"), new_store(mira="two")])
    assert chain.authenticate("mira", "one") == User("mira")
    assert chain.authenticate("mira", "two") == User("mira")


def test_while_one_backend_is_away_the_users_of_the_others_get_in() -> None:
    staff, store = Staff(mira="one"), new_store(root="two")
    staff.is_away = True
    for chain in (Chain([staff, store]), Chain([store, staff])):
        assert chain.authenticate("root", "two") == User("root")


def test_who_is_let_in_by_nobody_is_told_that_one_backend_is_away() -> None:
    staff, store = Staff(mira="one"), new_store(root="two")
    staff.is_away = True
    for chain in (Chain([staff, store]), Chain([store, staff])):
        for username, password in (("mira", "one"), ("root", "wrong"), ("nobody", "wrong")):
            with pytest.raises(BackendUnavailable, match="The staff is away"):
                chain.authenticate(username, password)
    staff.is_away = False
    assert chain.authenticate("mira", "one") == User("mira", frozenset({"staff"}))
    assert chain.authenticate("root", "wrong") is None


def test_a_refusal_asks_every_backend_whoever_knows_the_name() -> None:
    backends = [Staff(mira="one"), Staff(zoe="two"), Staff()]
    chain = Chain(backends)
    for username in ("mira", "zoe", "nobody"):
        before = [backend.count for backend in backends]
        assert chain.authenticate(username, "wrong") is None
        assert [backend.count - old for backend, old in zip(backends, before, strict=True)] == [1, 1, 1]


def test_a_right_password_asks_no_further_backend() -> None:
    first, second = Staff(mira="one"), Staff()
    assert Chain([first, second]).authenticate("mira", "one") is not None
    assert (first.count, second.count) == (1, 0)


# -- looking up


def test_a_user_is_found_as_the_first_backend_that_knows_the_name_does() -> None:
    chain = Chain([Staff(mira="one"), new_store(mira="two", zoe="three")])
    assert chain.find("mira") == User("mira", frozenset({"staff"}))
    assert chain.find("zoe") == User("zoe")
    assert chain.find("nobody") is None


def test_nobody_found_is_told_only_if_every_backend_could_tell() -> None:
    staff, silent = Staff(mira="one"), Callback(lambda username, password: False)
    assert Chain([silent, staff]).find("mira") is not None
    for chain in (Chain([silent, staff]), Chain([staff, silent])):
        with pytest.raises(NotSupported):
            chain.find("nobody")
    staff.is_away = True
    for chain in (Chain([silent, staff]), Chain([staff, silent])):
        with pytest.raises(BackendUnavailable):
            chain.find("nobody")


def test_a_backend_without_find_takes_part() -> None:
    class Plain:
        def authenticate(self, username: str, password: str) -> User | None:
            return User(username) if password == "plain" else None

    chain = Chain([Plain(), new_store(zoe="two")])
    assert chain.authenticate("mira", "plain") == User("mira")
    assert chain.authenticate("zoe", "two") == User("zoe")
    assert chain.find("zoe") == User("zoe")
    with pytest.raises(NotSupported, match="Plain cannot look up users"):
        chain.find("mira")


# -- requests


def test_backends_that_need_no_password_are_asked_for_requests_in_order() -> None:
    chain = Chain([Environ("first"), new_store(mira="one"), Environ("second")])
    assert chain.user({"second": "zoe", "first": "mira"}) == User("mira")
    assert chain.user({"second": "zoe"}) == User("zoe")
    assert chain.user({}) is None
    assert chain.authenticate("mira", "one") == User("mira")


def test_a_chain_of_such_backends_alone_knows_no_passwords() -> None:
    chain = Chain([Environ()])
    assert chain.authenticate("mira", "correct horse") is None
    with pytest.raises(NotSupported):
        chain.find("mira")


# -- making users


def test_nobody_registers_under_a_name_that_another_backend_knows() -> None:
    store = new_store()
    chain = DirectoryChain([store, Staff(mira="one")])
    assert chain.is_taken("mira", "mira@example.org")
    with pytest.raises(AccountExists, match=r"^Username or email already exists$"):
        chain.create("mira", "two", "mira@example.org")
    assert store.find("mira") is None
    assert not chain.is_taken("zoe", "mira@example.org")
    assert chain.create("zoe", "two", "mira@example.org") == User("zoe")


def test_nobody_registers_while_a_backend_cannot_tell_whom_it_knows() -> None:
    staff, store = Staff(mira="one"), new_store()
    staff.is_away = True
    chain = DirectoryChain([staff, store])
    with pytest.raises(BackendUnavailable):
        chain.is_taken("mira", "mira@example.org")
    with pytest.raises(BackendUnavailable):
        chain.create("mira", "two", "mira@example.org")
    assert list(store.users()) == []


def test_a_backend_that_can_never_tell_hinders_no_registration() -> None:
    chain = DirectoryChain([Callback(lambda username, password: False), new_store(), Environ()])
    assert not chain.is_taken("mira", "")
    assert chain.create("mira", "one") == User("mira")


def test_users_of_other_backends_are_not_changed() -> None:
    chain = DirectoryChain([Staff(mira="one"), new_store(zoe="two")])
    changes: list[Callable[[], object]] = [
        lambda: chain.set_password("mira", "x"),
        lambda: chain.set_active("mira", False),
        lambda: chain.add_email("mira", "mira@example.org"),
        lambda: chain.confirm_email("mira", "mira@example.org"),
    ]
    for change in changes:
        with pytest.raises(UnknownUser):
            change()
    assert [user.name for user in chain.users()] == ["zoe"]


def test_the_directory_decides_about_a_name_that_no_backend_before_it_knows() -> None:
    before = DirectoryChain([Staff(mira="one"), new_store(mira="two", zoe="three")])
    assert not before.decides("mira")
    assert before.decides("zoe")
    assert before.decides("nobody")
    after = DirectoryChain([new_store(mira="two"), Staff(mira="one", moe="three")])
    assert after.decides("mira")
    assert after.decides("moe"), "what is behind it is not asked"


def test_a_chain_is_a_directory_where_one_of_its_backends_is() -> None:
    store = new_store()
    with_directory = chain_of([Staff(), store, new_store()])
    assert isinstance(with_directory, UserDirectory)
    assert isinstance(with_directory, DirectoryChain)
    assert with_directory.directory is store
    assert not isinstance(chain_of([Staff(), Environ()]), UserDirectory)


def test_chains_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="one backend at least"):
        Chain([])
    with pytest.raises(ValueError, match="expected to be a directory"):
        DirectoryChain([Staff()])
    with pytest.raises(TypeError, match="str has neither"):
        Chain(["users:"])  # type: ignore[list-item]


class Hashed(Staff, Backend):
    """Staff whose hashes are their passwords."""

    def password_mark(self, username: str) -> str:
        return self.passwords.get(username, "")


def test_the_backend_that_knows_a_name_tells_of_its_password() -> None:
    chain = Chain([Environ(), Staff(zoe="x"), Hashed(mira="one"), Hashed(mira="two", moe="three", zoe="y")])
    hashes = {name: chain.password_mark(name) for name in ("mira", "moe", "zoe", "nobody")}
    assert hashes == {"mira": "one", "moe": "three", "zoe": "", "nobody": ""}


def test_a_chain_without_passwords_says_so() -> None:
    assert not Chain([Environ()]).takes_passwords
    assert Chain([Environ(), Staff()]).takes_passwords


def test_chain_has_ids_only_if_every_backend_has() -> None:
    assert Chain([new_store(), new_store()]).has_ids
    assert Chain([new_store(), new_store()]).can_find
    mixed = Chain([new_store(), Callback(lambda username, password: False)])
    assert not mixed.has_ids
    assert not mixed.can_find
