"""What a server remembers of grants and applications never outlives a change of another process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.access_tokens import Granter
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage

from v1registry import MemoryStorage
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore
from v1registry.oauth.applications import Application, Applications
from v1registry.oauth.grants import Grants
from v1registry.storage.base import StorageUnavailable


class Server:
    """The parts of OAuth in one process, over a storage that others share."""

    def __init__(self, shared: MemoryStorage) -> None:
        self.storage = FaultyStorage(shared)
        self.users = UserStore(self.storage, passwords=CheapPasswords())
        self.applications = Applications(self.storage)
        self.grants = Grants(self.storage, self.applications, Accounts(self.users))

    @property
    def application(self) -> Application:
        return next(iter(self.applications.list()))


@pytest.fixture
def shared() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def token(shared: MemoryStorage) -> str:
    other = Server(shared)
    other.users.create("mira", "pw-mira")
    return Granter(shared, other.users).token("mira")


@pytest.fixture
def server(shared: MemoryStorage, token: str) -> Server:
    """A server that has seen the token."""
    server = Server(shared)
    assert server.grants.verify(token) is not None
    return server


def test_known_token_costs_four_looks_at_etags(server: Server, token: str) -> None:
    before = server.storage.count(), server.storage.count("stat")
    assert server.grants.verify(token) is not None
    assert (server.storage.count() - before[0], server.storage.count("stat") - before[1]) == (4, 4)


def create_again(other: Server) -> None:
    other.users.delete("mira")
    other.users.create("mira", "pw-mira")


CHANGES: dict[str, Callable[[Server, str], object]] = {
    "token": lambda other, token: other.grants.revoke_token(token, other.application),
    "grants of the user": lambda other, token: other.grants.revoke_all("mira"),
    "application": lambda other, token: other.applications.remove(other.application.client_id),
    "user": lambda other, token: other.users.delete("mira"),
    "later account of the name": lambda other, token: create_again(other),
}


@pytest.mark.parametrize("name", CHANGES)
def test_token_ends_at_once_by_another_process(
    server: Server, shared: MemoryStorage, token: str, name: str
) -> None:
    bearer = server.grants.verify(token)
    assert bearer is not None
    assert server.grants.is_granted("mira", bearer.access_id)
    CHANGES[name](Server(shared), token)
    assert server.grants.verify(token) is None
    assert not server.grants.is_granted("mira", bearer.access_id)


def test_disabled_user_is_seen_at_once(server: Server, shared: MemoryStorage, token: str) -> None:
    Server(shared).users.set_active("mira", False)
    bearer = server.grants.verify(token)
    assert bearer is None or not bearer.user.is_active


def test_replaced_secret_ends_the_old_one_at_once(shared: MemoryStorage) -> None:
    server, other = Server(shared), Server(shared)
    application, secret = other.applications.add("Other", ["https://ci.example.org/back"])
    for _ in range(2):
        assert server.applications.authenticated(application.client_id, secret) is not None
    new = other.applications.rotate_secret(application.client_id)
    assert server.applications.authenticated(application.client_id, secret) is None
    assert server.applications.authenticated(application.client_id, new) is not None


@pytest.mark.parametrize("pattern", ["*/grants/*", "*/tokens/*", "*/applications/*"])
def test_record_that_is_damaged_later_is_unavailable(
    server: Server, shared: MemoryStorage, token: str, pattern: str
) -> None:
    folder = f"accounts/oauth/{pattern.strip('*/')}/"
    for stat in list(shared.list(folder)):
        shared.write(stat.key, b"{")
    with pytest.raises(StorageUnavailable):
        server.grants.verify(token)
