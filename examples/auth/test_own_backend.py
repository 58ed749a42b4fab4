"""A backend of one's own, and the contract that proves it.

From the project's folder:

    pytest examples/auth/test_own_backend.py

The text of a setting for it: MODULE:backend; or a scheme, which its package adds by the entry point ``v1registry.auth``.
"""

import pytest
from v1registry_fakes.contracts import UserLookupContract

from v1registry.auth.base import User
from v1registry.auth.passwords import PasswordMemory, Passwords


class Staff:
    """Knows users by a dict: name -> hash."""

    def __init__(self, hashes, passwords=None):
        self._hashes = hashes
        self._passwords = passwords or Passwords()
        self._memory = PasswordMemory()

    def authenticate(self, username, password):
        if not password:
            return None
        stored = self._hashes.get(username)
        return self._memory.get(
            username, password, stored or "", lambda: self._verified(username, stored, password)
        )

    def find(self, username):
        return User(username) if username in self._hashes else None

    def _verified(self, username, stored, password):
        if stored is None:
            return self._passwords.waste(password)
        return User(username) if self._passwords.verify(stored, password) else None


class TestStaff(UserLookupContract):
    username = "mira"
    password = "correct horse"

    @pytest.fixture
    def authenticator(self):
        cheap = Passwords(memory_kib=8, passes=1)
        return Staff({"mira": cheap.hash("correct horse"), "zoe": cheap.hash("battery staple")}, cheap)
