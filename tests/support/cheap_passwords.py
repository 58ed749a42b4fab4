"""Passwords whose hashes cost nothing, and that count them: for tests of everything but their strength."""

from __future__ import annotations

import threading

from v1registry.accounts.passwords import Passwords


class CheapPasswords(Passwords):
    """``count`` is how many hashes were computed, whether to make, to verify or for nothing."""

    def __init__(self, memory_kib: int = 8) -> None:
        super().__init__(memory_kib=memory_kib, passes=1)
        self.count = 0
        self._mutex = threading.Lock()

    def hash(self, password: str) -> str:
        self._add()
        return super().hash(password)

    def verify(self, stored: str, password: str) -> bool:
        self._add()
        return super().verify(stored, password)

    def _add(self) -> None:
        with self._mutex:
            self.count += 1
