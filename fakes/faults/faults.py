"""Faults on demand: which requests a fault hits, and the part of FakeRegistry that sets faults."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, overload

from v1registry.errors import RegistryError

from ..recording.patterns import RequestPattern
from .broken_storage import BrokenStorage, FullStorage, StaleStorage, UnavailableStorage
from .connection_cuts import TIMEOUT_KEY, AnswerDelayed, ConnectionCut, is_abandoned
from .effects import Body, FaultEffects, StorageFault, is_finite_number, is_whole_number

if TYPE_CHECKING:
    from v1registry.storage.base import Storage

    from ..recording.recorded_request import ApiName, RecordedRequest
    from ..recording.recorder import Recorder, WatchedRegistry

#: How many of the requests that a fault hit are kept, the last ones.
_MOST_KEPT = 10_000

#: How often a waiting request looks whether its client has gone, in seconds.
_LOOK_S = 0.05


class Fault:
    """A fault that :meth:`FakeRegistry.fail` set. A context manager that undoes it at its end.

    Safe for threads.

    :param pattern: the requests that it hits.
    :param substitute: is used in place of the storage; None for the sound storage.
    :param forget: removes the fault from the registry.
    """

    def __init__(
        self,
        pattern: RequestPattern,
        effects: FaultEffects,
        *,
        after: int,
        times: int | None,
        probability: float | None,
        seed: int,
        substitute: Storage | None,
        forget: Callable[[Fault], None],
    ):
        self.pattern = pattern
        self.effects = effects
        self.substitute = substitute
        self._after = after
        self._times = times
        self._probability = probability
        self._random = random.Random(seed)  # noqa: S311  reproducible, not secret
        self._forget = forget
        self._lock = threading.Lock()  # guards the attributes below
        self._matched = 0
        self._count = 0
        self._hit: deque[RecordedRequest] = deque(maxlen=_MOST_KEPT)
        self._is_undone = threading.Event()

    @property
    def count(self) -> int:
        """How many requests it hit."""
        return self._count

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that it hit, in the order of arrival; of many the last 10,000."""
        with self._lock:
            return list(self._hit)

    @property
    def is_undone(self) -> bool:
        """Whether the fault was undone."""
        return self._is_undone.is_set()

    def undo(self) -> None:
        """Remove the fault. Requests that it delays go on at once. A second call has no effect."""
        self._is_undone.set()
        self._forget(self)

    def needs_user(self, request: RecordedRequest) -> bool:
        """Tell whether only the user decides if the fault is for a request."""
        return self.pattern.user is not None and replace(self.pattern, user=None).matches(request)

    def hits(self, request: RecordedRequest) -> bool:
        """Tell whether the fault hits a request, and count that."""
        if not self.pattern.matches(request):
            return False
        with self._lock:
            if self.is_undone or (self._times is not None and self._count >= self._times):
                return False
            self._matched += 1
            if self._matched <= self._after:
                return False
            if self._probability is not None and self._random.random() >= self._probability:
                return False
            self._count += 1
            self._hit.append(request)
            return True

    def wait(self, seconds: float, environ: Mapping[str, object]) -> None:
        """Wait until the time is over or the fault is undone.

        :raises ConnectionCut: the client on the live port has gone.
        :raises AnswerDelayed: the client in this process does not wait so long.
        """
        timeout_s = environ.get(TIMEOUT_KEY)
        if isinstance(timeout_s, (int, float)) and timeout_s < seconds:
            if not self._is_undone.wait(timeout_s):
                raise AnswerDelayed(f"the client waits for {timeout_s} s, and a fault delays the answer")
            return
        has_gone = is_abandoned(environ)
        while seconds > 0 and not self._is_undone.wait(min(seconds, _LOOK_S)):
            if has_gone():
                raise ConnectionCut("the client has gone")
            seconds -= _LOOK_S

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()

    def __str__(self) -> str:
        """Return the fault in one line, such as ``GET */layer: status=500, times=2``."""
        conditions = {
            "after": self._after or None,
            "times": self._times,
            "probability": self._probability,
        }
        given = [f"{name}={value}" for name, value in conditions.items() if value is not None]
        return f"{self.pattern}: {', '.join([str(self.effects), *given])}"

    def __repr__(self) -> str:
        return f"<Fault {self}; it hit {self.count} requests>"


class Faults(Sequence[Fault]):
    """The faults of a registry that are not undone, in the order in which they were set. Safe for threads."""

    def __init__(self) -> None:
        self._faults: tuple[Fault, ...] = ()  # replaced, never changed
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._faults = (*self._faults, fault)

    def forget(self, fault: Fault) -> None:
        """Remove a fault; nothing happens if it is not there."""
        with self._lock:
            self._faults = tuple(known for known in self._faults if known is not fault)

    def clear(self) -> None:
        """Undo all faults."""
        for fault in self._faults:
            fault.undo()

    @overload
    def __getitem__(self, index: int) -> Fault: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Fault]: ...

    def __getitem__(self, index: int | slice) -> Fault | Sequence[Fault]:
        return self._faults[index]

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def __repr__(self) -> str:
        """Return the faults, one in a line."""
        return "\n".join([f"<{len(self)} faults>", *(f"  {fault}" for fault in self)])


class FaultHelpers:
    """The part of FakeRegistry that sets faults."""

    _recorder: Recorder[WatchedRegistry]
    _faults: Faults
    _served_storage: BrokenStorage

    @property
    def faults(self) -> Faults:
        """The faults that are not undone. ``clear()`` undoes them, and so do ``reset()`` and ``close()``."""
        return self._faults

    def fail(
        self,
        method: str | None = None,
        path: str | None = None,
        *,
        route: str | None = None,
        user: str | None = None,
        api: ApiName | None = None,
        after: int = 0,
        times: int | None = None,
        probability: float | None = None,
        seed: int = 0,
        status: int | None = None,
        error: str | RegistryError | None = None,
        body: Body | None = None,
        html: bool = False,
        retry_after_s: int | None = None,
        delay_s: float | None = None,
        bytes_per_second: int | None = None,
        cut_after_bytes: int | None = None,
        corrupt_byte: int | None = None,
        wrong_checksum: bool = False,
        headers: Mapping[str, str | None] | None = None,
        doubled_header: str | None = None,
        expired_token: bool = False,
        redirect: str | None = None,
        stale: bool = False,
        storage: StorageFault | None = None,
        refuse_connection: bool = False,
    ) -> Fault:
        """Let requests fail until the fault is undone, in process and on the live port alike.

        Which requests: all that have each given property. Faults that hit one request combine; of several
        answers the one of the first fault is used.

        :param method: such as ``GET``, which does not match ``HEAD``.
        :param path: without the query; ``*`` stands for any text, slashes included: ``*/layer``.
        :param route: the name of a row, as ``v1registry routes`` prints it: ``get_layer``.
        :param user: the name of the user whose credentials come with the request; empty for none.
        :param api: ``v1``, ``hub``, ``oauth`` (with the accounts API) or ``v2``.
        :param after: how many of these requests are left alone first.
        :param times: how many requests the fault hits at most.
        :param probability: how likely it hits a request, from 0 to 1. The sequence depends on ``seed`` alone.

        What happens:

        :param status: of the answer. From 400 on, the registry raises its own error, in the form of the
            API, and does nothing else. Below 400 it answers as usual, and only the status is replaced.
        :param error: the text of that error, or its code in ``/v2/`` and OAuth (``MANIFEST_UNKNOWN``,
            ``invalid_grant``), or an exception of :mod:`v1registry.errors` to raise.
        :param body: replaces the body of the answer; what is neither bytes nor text is sent as JSON.
        :param html: a proxy answers with an HTML page in place of the registry; 502 unless ``status`` is
            given.
        :param retry_after_s: the header ``Retry-After``, in seconds.
        :param delay_s: how long the request waits before the registry sees it, in seconds. Undoing the fault
            ends the wait.
        :param bytes_per_second: how fast the body of the answer is sent.
        :param cut_after_bytes: the connection breaks after so many bytes of the body of the answer. An answer
            without a body breaks before its headers.
        :param corrupt_byte: the offset of a byte of the body that arrives changed; negative from the end.
        :param wrong_checksum: changes the checksums in headers and in the image list of the Hub API, and the
            header ``Docker-Content-Digest``.
        :param headers: headers of the answer by name; None removes one.
        :param doubled_header: the name of a header that comes twice.
        :param expired_token: the credentials of the request are judged a hundred years later: tokens, codes
            and sessions are expired, passwords are not. A request without any of them is not changed.
        :param redirect: a URL to which the client is sent, with status 302 unless ``status`` is given.
        :param stale: GET is answered from the contents at the time when the fault was set.
        :param storage: ``full``: nothing can be written; ``unavailable``: every access fails. The answer is
            the registry's own.
        :param refuse_connection: the connection is closed without an answer.
        :raises ValueError: there is no effect, or values are invalid or contradict each other.

        >>> from v1registry_fakes import FakeRegistry, WSGISession
        >>> with FakeRegistry() as registry, WSGISession(registry.app) as session:
        ...     with registry.fail("GET", "/v1/_ping", status=503, times=2) as fault:
        ...         print([session.get("/v1/_ping").status_code for _ in range(3)], fault.count)
        [503, 503, 200] 2
        """
        effects = FaultEffects(
            status=status,
            error=error,
            body=body,
            html=html,
            retry_after_s=retry_after_s,
            delay_s=delay_s,
            bytes_per_second=bytes_per_second,
            cut_after_bytes=cut_after_bytes,
            corrupt_byte=corrupt_byte,
            wrong_checksum=wrong_checksum,
            headers=headers,
            doubled_header=doubled_header,
            expired_token=expired_token,
            redirect=redirect,
            stale=stale,
            storage=storage,
            refuse_connection=refuse_connection,
        )
        pattern = RequestPattern(method, path, route, user, api)
        pattern.check_route(row.name for row in self._recorder.registry.table)
        check_conditions(after, times, probability, seed)
        fault = Fault(
            pattern,
            effects,
            after=after,
            times=times,
            probability=probability,
            seed=seed,
            substitute=self._substitute(effects),
            forget=self._faults.forget,
        )
        self._faults.add(fault)
        return fault

    def _substitute(self, effects: FaultEffects) -> Storage | None:
        storage = self._served_storage.sound
        if effects.storage == "unavailable":
            return UnavailableStorage()
        if effects.storage == "full":
            return FullStorage(storage)
        return StaleStorage(storage) if effects.stale else None


def check_conditions(after: int, times: int | None, probability: float | None, seed: int) -> None:
    """Return if the conditions of a fault are valid.

    :raises ValueError: lists what is invalid.
    """
    problems = []
    if not is_whole_number(after) or after < 0:
        problems.append(f"after must be 0 or more, not {after!r}")
    if times is not None and (not is_whole_number(times) or times < 1):
        problems.append(f"times must be 1 or more, not {times!r}")
    if probability is not None and not (is_finite_number(probability) and 0 <= probability <= 1):
        problems.append(f"probability must be from 0 to 1, not {probability!r}")
    if not is_whole_number(seed):
        problems.append(f"seed must be a whole number, not {seed!r}")
    if problems:
        raise ValueError("\n".join(problems))
