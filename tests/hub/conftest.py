"""A server with accounts, whose hashes cost nothing."""

from __future__ import annotations

import pytest
from support.account_client import PUBLIC_URL, KeptMail
from support.cheap_passwords import CheapPasswords
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
