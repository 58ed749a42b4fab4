"""The requests that wait for values on their way from the origin, or read them: each occupies a thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock

from .. import errors
from .fetches import Fetch


class Readers:
    """Bounds how many requests wait for values at once. Safe for threads.

    :param most: how many requests.
    :param most_of_client: how many of them may be of one client, which is a user or an address. The empty
        text stands for an unknown one, which has no share of its own.
    """

    def __init__(self, most: int, most_of_client: int):
        self._most = most
        self._most_of_client = most_of_client
        self._reading: Counter[str] = Counter()
        self._mutex = Lock()

    def read(self, client: str, join: Callable[[], Fetch | None]) -> Reading | None:
        """Return a fetch as one request reads it; None if there is nothing to fetch.

        :param join: returns the fetch, which the reading releases.
        :return: the caller has to release it.
        :raises ImageBusy: too many requests wait.
        """
        with self._mutex:
            is_full = client != "" and self._reading[client] >= self._most_of_client
            if is_full or self._reading.total() >= self._most:
                raise errors.ImageBusy
            self._reading[client] += 1
        fetch = None
        try:
            fetch = join()
        finally:
            if fetch is None:
                self._leave(client)
        return None if fetch is None else Reading(fetch, lambda: self._leave(client))

    def _leave(self, client: str) -> None:
        with self._mutex:
            self._reading[client] -= 1
            if not self._reading[client]:
                del self._reading[client]


class Reading:
    """A fetch as one request reads it. It counts as one of the readers until the value is stored, or its last
    user releases it.

    :param fetch: held by the caller; released with the last user.
    :param leave: called once, when it does not count any more.
    """

    def __init__(self, fetch: Fetch, leave: Callable[[], None]):
        self.size = fetch.size
        self._fetch = fetch
        self._leave: Callable[[], None] | None = leave
        self._users = 1
        self._mutex = Lock()

    def read(self, start: int, stop: int) -> bytes:
        """Return some bytes of a range; see :meth:`Fetch.read`."""
        data = self._fetch.read(start, stop)
        if self._fetch.is_stored:
            self._end()  # no read waits any more
        return data

    def hold(self) -> None:
        """Count one more user."""
        with self._mutex:
            self._users += 1

    def release(self) -> None:
        """Count one user less."""
        with self._mutex:
            self._users -= 1
            is_last = not self._users
        if is_last:
            self._end()
            self._fetch.release()

    def _end(self) -> None:
        with self._mutex:
            leave, self._leave = self._leave, None
        if leave is not None:
            leave()
