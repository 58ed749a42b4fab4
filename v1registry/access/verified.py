"""Tokens whose signature was verified in this process, by their exact text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: How many tokens of each kind are kept, and how long the text of one may be, in characters.
_KEPT: Final = 4096
_LONGEST_KEPT: Final = 2048


class VerifiedTokens(Generic[T]):
    """The tokens that were used last, until they expire. Safe for threads.

    A token is signed, so what it says never changes. Whether its user may still use it is asked for each
    request, of the backend.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._tokens: OrderedDict[Hashable, tuple[T, float]] = OrderedDict()

    def find(self, *texts: str, now_s: float) -> T | None:
        """Return a token that was kept and has not expired, else None.

        :param texts: all that was verified.
        :param now_s: the time, in seconds since the epoch.
        """
        with self._lock:
            found = self._tokens.get(texts)
            if found is None:
                return None
            token, expires_at_s = found
            if expires_at_s <= now_s:
                del self._tokens[texts]
                return None
            self._tokens.move_to_end(texts)
            return token

    def keep(self, *texts: str, token: T, expires_at_s: float) -> None:
        """Keep a token that was verified. A long one is not kept, and the least recently used one is dropped.

        :param texts: all that was verified.
        :param expires_at_s: since the epoch.
        """
        if sum(map(len, texts)) > _LONGEST_KEPT:
            return
        with self._lock:
            self._tokens[texts] = token, expires_at_s
            if len(self._tokens) > _KEPT:
                self._tokens.popitem(last=False)

    def __len__(self) -> int:
        return len(self._tokens)
