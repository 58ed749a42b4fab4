"""How long a server waits for a body, and how many bodies it receives at once (decisions.md 19)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

#: The key of the WSGI environ with the :class:`BodyWait` of the request, if the server has one.
BODY_WAIT_KEY: Final = "v1registry.body_wait"


class BodyWait:
    """How long the server waits for bytes of one body. The application sets the limits, the server obeys.

    Only time that is spent waiting for the client counts, so a slow storage breaks no upload.
    """

    def __init__(self) -> None:
        self.is_needed = True  #: whether the body has not yet come whole
        self._silence_s = 0.0
        self._least_rate = 0
        self._end_s: float | None = None
        self._silent_s = 0.0
        self._window_s = 0.0
        self._window_bytes = 0

    def allow(self, *, silence_s: float, least_rate: int = 0, total_s: float | None = None) -> None:
        """Set the limits from now on. Without a call nothing is waited for.

        :param silence_s: how long no byte may come.
        :param least_rate: bytes a second, on average over ``silence_s`` of waiting.
        :param total_s: how long the rest of the body may take in all; None if as long as it likes.
        """
        self._silence_s = silence_s
        self._least_rate = least_rate
        self._end_s = None if total_s is None else time.monotonic() + total_s
        self._silent_s = self._window_s = 0.0
        self._window_bytes = 0

    def next_s(self) -> float:
        """Return how many seconds the server may wait for the next byte.

        :raises TimeoutError: the client is too slow, or silent for too long.
        """
        if self._window_s >= self._silence_s:
            if self._window_bytes < self._least_rate * self._window_s:
                raise TimeoutError("the body comes too slowly")
            self._window_s, self._window_bytes = 0.0, 0
        left = self._silence_s - self._silent_s
        if self._end_s is not None:
            left = min(left, self._end_s - time.monotonic())
        if left <= 0:
            raise TimeoutError("the body does not come")
        return min(left, self._silence_s - self._window_s)

    def waited(self, seconds: float) -> None:
        """Note how long the server has waited."""
        self._silent_s += seconds
        self._window_s += seconds

    def received(self, number: int) -> None:
        """Note how many bytes came."""
        self._silent_s = 0.0
        self._window_bytes += number


class BodySlots:
    """How many bodies the threads of a process may wait for at once.

    :param most: the bound for all bodies.
    :param most_anonymous: the bound for those of callers without valid credentials.
    :param most_of_client: the bound for those of one client.
    """

    def __init__(self, most: int, most_anonymous: int, most_of_client: int):
        self._most = most
        self._most_anonymous = min(most, most_anonymous)
        self._most_of_client = min(most, most_of_client)
        self._lock = threading.Lock()
        self._taken = 0
        self._taken_anonymous = 0
        self._taken_by_client: Counter[str] = Counter()

    def take(self, client: str, *, is_anonymous: bool) -> bool:
        """Take a slot; tell whether there was one.

        :param client: the user or the address; empty if both are unknown, so that the client has no bound.
        """
        with self._lock:
            if (
                self._taken >= self._most
                or (is_anonymous and self._taken_anonymous >= self._most_anonymous)
                or (client and self._taken_by_client[client] >= self._most_of_client)
            ):
                return False
            self._taken += 1
            self._taken_anonymous += is_anonymous
            self._taken_by_client[client] += 1
            return True

    def give_back(self, client: str, *, is_anonymous: bool) -> None:
        """Return a slot that was taken."""
        with self._lock:
            self._taken -= 1
            self._taken_anonymous -= is_anonymous
            self._taken_by_client[client] -= 1
            if not self._taken_by_client[client]:
                del self._taken_by_client[client]


def is_waiting_needed(environ: Mapping[str, Any]) -> bool:
    """Tell whether reading the body may wait for the client, as far as the server says it."""
    wait = environ.get(BODY_WAIT_KEY)
    return not isinstance(wait, BodyWait) or wait.is_needed


def limit_waiting(
    environ: dict[str, Any], *, silence_s: float, least_rate: int = 0, total_s: float | None = None
) -> None:
    """Tell the server how long to wait for the body of the request of ``environ``.

    gunicorn gives the application its socket, whose timeout bounds silence. Other servers have their own
    settings.
    """
    wait = environ.get(BODY_WAIT_KEY)
    if isinstance(wait, BodyWait):
        wait.allow(silence_s=silence_s, least_rate=least_rate, total_s=total_s)
        return
    set_timeout = getattr(environ.get("gunicorn.socket"), "settimeout", None)
    if set_timeout is not None:
        set_timeout(silence_s if total_s is None else min(silence_s, total_s))
