"""Tokens whose signature was verified in this process, by their exact text."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from ..accounts.expiring import ExpiringValues

T = TypeVar("T")

#: How many tokens of each kind are kept, and how long the text of one may be, in characters.
_KEPT: Final = 4096
_LONGEST_KEPT: Final = 2048


class VerifiedTokens(Generic[T]):
    """The tokens that were used last, until they expire. Safe for threads.

    A token is signed, so what it says never changes. Whether its user may still use it is asked of the
    backend for each request.
    """

    def __init__(self) -> None:
        self._tokens = ExpiringValues[T](_KEPT)

    def find(self, *texts: str, now_s: float) -> T | None:
        """Return a token that was kept and has not expired, else None.

        :param texts: all that was verified.
        :param now_s: the time, in seconds since the epoch.
        """
        return self._tokens.find(texts, now_s)

    def keep(self, *texts: str, token: T, expires_at_s: float) -> None:
        """Keep a token that was verified, unless it is long.

        :param texts: all that was verified.
        :param expires_at_s: since the epoch.
        """
        if sum(map(len, texts)) <= _LONGEST_KEPT:
            self._tokens.keep(texts, token, expires_at_s)

    def __len__(self) -> int:
        return len(self._tokens)
