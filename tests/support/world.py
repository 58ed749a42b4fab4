"""A server over a storage, with a backend of users. The rooms of the tests add to it what they ask about."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from support.cheap_passwords import CheapPasswords
from v1registry import MemoryStorage, Registry, Storage
from v1registry.accounts.base import Backend
from v1registry.accounts.users import UserStore


class World:
    """A server over a storage, with its users.

    :param storage: a new MemoryStorage if it is left out.
    :param auth: the backend of the users; accounts in the storage, none at first, if it is left out.
    :param settings: further settings of the server.
    """

    def __init__(self, storage: Storage | None = None, auth: Backend | None = None, **settings: Any) -> None:
        self.storage: Storage = MemoryStorage() if storage is None else storage
        self.users: Any = UserStore(self.storage, passwords=CheapPasswords()) if auth is None else auth
        self.settings = settings

    @cached_property
    def app(self) -> Registry:
        """The server."""
        return self.another_app()

    def another_app(self, **settings: Any) -> Registry:
        """Return another server over the same storage, as another process would be."""
        return Registry(storage=self.storage, **{"auth": self.users, **self.settings, **settings})

    def copied_storage(self) -> MemoryStorage:
        """Return a storage with the same values, in which everything may be changed."""
        storage = MemoryStorage()
        for stat in self.storage.list(""):
            storage.write(stat.key, self.storage.read(stat.key)[0])
        return storage
