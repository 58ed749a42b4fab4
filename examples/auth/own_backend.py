"""A backend of your own. test_own_backend.py beside it checks it against the contract.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth \
        gunicorn --threads 64 --bind 127.0.0.1:5000 own_backend

The text of a setting for it is MODULE:ATTRIBUTE, or a scheme that its package adds by the entry point
``v1registry.auth``.
"""

import os

from v1registry import Registry
from v1registry.accounts import Backend, PasswordMemory, Passwords, User


class Staff(Backend):
    """Users in a dict: name -> hash."""

    def __init__(self, hashes, passwords):
        self._hashes = hashes
        self._passwords = passwords
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


passwords = Passwords()
staff = Staff({"mira": passwords.hash("correct horse")}, passwords)
# in memory if the test beside it imports this
application = Registry(storage=os.environ.get("V1REGISTRY_STORAGE", "memory:"), auth=staff)
