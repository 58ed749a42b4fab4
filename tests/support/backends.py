"""Backends of users for tests, without a storage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from v1registry.accounts.base import Backend, BackendUnavailable
from v1registry.rights import User


@dataclass
class People(Backend):
    """A backend in a dict: the password of a user is ``pw-`` and the name, the id ``id-`` and the name.

    It counts the passwords that it checks.
    """

    users: dict[str, User] = field(default_factory=dict)
    asked: int = 0

    @classmethod
    def of(cls, *users: User) -> People:
        return cls({user.name: user for user in users})

    @property
    def has_ids(self) -> bool:
        return True

    def authenticate(self, username: str, password: str) -> User | None:
        self.asked += 1
        return self.find(username) if password == f"pw-{username}" else None

    def find(self, username: str) -> User | None:
        user = self.users.get(username)
        return None if user is None else replace(user, id=f"id-{username}")


class PasswordsAlone(Backend):
    """A backend that cannot look up users. The password of each name is ``pw-`` and the name."""

    def authenticate(self, username: str, password: str) -> User | None:
        return User(username) if password == f"pw-{username}" else None


class UnavailableBackend(Backend):
    """A backend that cannot be reached."""

    def authenticate(self, username: str, password: str) -> User | None:
        raise BackendUnavailable("The users cannot be asked now")

    def find(self, username: str) -> User | None:
        raise BackendUnavailable("The users cannot be asked now")
