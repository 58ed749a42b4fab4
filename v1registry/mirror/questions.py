"""Questions to the origin: asked once for all requests that ask the same, in threads, with bounded waits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from contextlib import suppress
from threading import Lock
from typing import Any, Final, TypeVar

from cachetools import TTLCache

from .. import errors
from ..clock import Clock
from ..distribution.shared_work import SharedWork
from ..log import get_logger
from ..storage.base import StorageUnavailable
from .origin import NotAtOrigin

log = get_logger(__name__)

T = TypeVar("T")
ListT = TypeVar("ListT", bound=Collection[object])

#: How many questions are asked, and how many whole images are fetched, at once.
_QUESTIONS: Final = 16
_IMAGES: Final = 8

#: How many requests may wait for the origin before their first byte, and how many of one user or address.
_MOST_WAITING: Final = 128
_MOST_WAITING_OF_CLIENT: Final = 64

#: How long a request waits for the origin if something is served without an answer, in seconds.
_PATIENCE_S: Final = 10

#: How many tags and referrers are kept, in the lists of all repositories.
_KEPT_IN_LISTS: Final = 200_000


class Questions:
    """The questions of one process. Safe for threads.

    :param wait_s: how long a request waits for an answer, in seconds. The question goes on afterwards.
    :param age_s: how long a list is kept, in seconds.
    """

    def __init__(self, *, wait_s: float, age_s: int, clock: Clock):
        self._wait_s = wait_s
        self._age_s = age_s
        self._questions, self._images = (
            SharedWork[object](
                threads, most_waiting=_MOST_WAITING, most_waiting_of_client=_MOST_WAITING_OF_CLIENT
            )
            for threads in (_QUESTIONS, _IMAGES)
        )
        self._lists: TTLCache[Hashable, Collection[object]] = TTLCache(
            _KEPT_IN_LISTS,
            max(age_s, 1),
            timer=clock.monotonic_s,
            getsizeof=lambda found: 1 + len(found),
        )
        self._mutex = Lock()  # cachetools is not safe for threads

    def ask(
        self, key: Hashable, question: Callable[[], T], client: str, *, is_here: bool = False
    ) -> T | None:
        """Ask something that the origin answers at once; return the answer, None without one.

        :param key: tells which questions are the same.
        :param client: for whom it is asked.
        :param is_here: whether something is served without an answer, or if it cannot be stored.
        :raises OriginUnavailable: the origin cannot answer, and nothing is served without.
        :raises OriginInvalid: the same for an invalid answer.
        :raises ImageBusy: the same for an answer that takes longer than a request waits.
        """
        return self._run(self._questions, key, question, client, is_here=is_here)

    def fetch(self, key: Hashable, work: Callable[[], None], client: str, *, is_here: bool) -> None:
        """Do the same for a whole image, which takes longer."""
        self._run(self._images, key, work, client, is_here=is_here)

    def listed(
        self, key: Hashable, question: Callable[[], ListT], client: str, *, is_here: bool
    ) -> ListT | None:
        """Ask for a list as :meth:`ask` does, unless it was asked for lately."""

        def kept() -> ListT:
            answer = question()
            if self._age_s:
                with self._mutex, suppress(ValueError):  # it is too large to be kept
                    self._lists[key] = answer
            return answer

        with self._mutex:
            found: Any = self._lists.get(key)
        return self.ask(key, kept, client, is_here=is_here) if found is None else found

    def _run(
        self,
        work: SharedWork[object],
        key: Hashable,
        question: Callable[[], T],
        client: str,
        *,
        is_here: bool,
    ) -> T | None:
        try:
            wait_s = min(self._wait_s, _PATIENCE_S) if is_here else self._wait_s
            found: T = work.run({key: question}, wait_s, client)[key]  # type: ignore[assignment]
        except NotAtOrigin as error:
            log.info("not at the origin: %s", error)
            return None
        except (errors.OriginUnavailable, errors.OriginInvalid, errors.Busy) as error:
            if not is_here:
                raise
            log.warning("served without the origin: %s %s", error.public, error.context.get("reason", ""))
            return None
        except StorageUnavailable as error:
            # such as a full disk, on which an answer cannot be noted
            if not is_here:
                raise
            log.error("served as it is here, because the answer of the origin cannot be stored: %s", error)
            return None
        return found
