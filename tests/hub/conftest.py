"""A server with accounts, whose hashes cost nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.account_client import MIRA, PUBLIC_URL, KeptMail, register
from support.cheap_passwords import CheapPasswords
from support.engine_client import EngineClient
from support.small_index import LOGIN, SmallIndex
from support.stoppable_server import StoppableServer
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def passwords() -> CheapPasswords:
    return CheapPasswords()


@pytest.fixture
def store(storage: MemoryStorage, passwords: CheapPasswords) -> UserStore:
    return UserStore(storage, passwords=passwords)


@pytest.fixture
def client(storage: MemoryStorage, store: UserStore) -> Client:
    """A server without mail: accounts are active at once."""
    return Client(Registry(storage=storage, auth=store))


@pytest.fixture
def mail() -> KeptMail:
    return KeptMail()


@pytest.fixture
def mailing(storage: MemoryStorage, store: UserStore, mail: KeptMail) -> Client:
    """A server that mails links."""
    return Client(Registry(storage=storage, auth=store, mail=mail, public_url=PUBLIC_URL))


@pytest.fixture
def waiting(mailing: Client, mail: KeptMail) -> Client:
    """A server on which mira_k has registered, and got a link."""
    assert register(mailing, **MIRA).body == b'"User Created"'
    assert mail.kinds_and_addresses == [("activation", "mira@example.org")]
    return mailing


@pytest.fixture
def registered(client: Client) -> Client:
    """A server on which mira_k has registered."""
    assert register(client, **MIRA).status_int == 201
    return client


# -- our registry and a minimal index


@pytest.fixture
def index() -> Iterator[SmallIndex]:
    small = SmallIndex()
    yield small
    assert small.wrong == []


@pytest.fixture
def index_server(index: SmallIndex) -> Iterator[StoppableServer]:
    with StoppableServer(index) as server:
        yield server


@pytest.fixture
def registry_storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def registry(index_server: StoppableServer, registry_storage: MemoryStorage) -> Client:
    """The registry in this process; it asks the index over the wire."""
    return Client(Registry(storage=registry_storage, index=index_server.url))


@pytest.fixture
def engine(index: SmallIndex, index_server: StoppableServer, registry: Client) -> Iterator[EngineClient]:
    """An engine that is logged in to the index, which sends it to the registry on another port."""
    with StoppableServer(registry.app) as server:
        index.endpoint = server.host
        yield EngineClient(index_server.host, login=LOGIN)
