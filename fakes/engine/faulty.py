"""Faults of an engine on demand: requests that fail, wait, or break off (FakeEngine.fail)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..faults.answers import answer_of, change, cut_off, send, slowed
from ..faults.connection_cuts import cut
from ..faults.effects import Body, FaultEffects, decisive_of
from ..faults.faults import Fault, Faults, check_conditions
from ..recording.patterns import RequestPattern
from ..recording.recorder import RECORD_KEY
from .requests import FULL_DISK_KEY, TAKEOVER_KEY, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..recording.recorded_request import RecordedRequest
    from .api import EngineApplication
    from .hijack import Connection

#: The text of an answer with a status, if the test gives none.
_TEXT = "a fault of the test lets this request fail"


class EngineFaultGate:
    """A WSGI application that lets requests pass to an engine, or fail as its faults say.

    Safe for threads.
    """

    def __init__(self, application: EngineApplication):
        self.application = application
        self.faults = Faults()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        hitting = []
        if self.faults:
            record: RecordedRequest = environ[RECORD_KEY]
            hitting = [fault for fault in self.faults if fault.hits(record)]
        if not hitting:
            return self.application(environ, start_response)
        record.fault = "; ".join(map(str, hitting))
        for fault in hitting:
            if fault.effects.delay_s is not None:
                fault.wait(fault.effects.delay_s, environ)
            if fault.effects.refuse_connection:
                raise cut(environ, f"a fault closes the connection: {fault}", with_headers=False)
            if fault.effects.storage is not None:
                environ[FULL_DISK_KEY] = True
            taken: Connection | None = environ.get(TAKEOVER_KEY)
            if taken is not None:
                wait = partial(fault.wait, environ=environ)
                taken.disturb(fault.effects.cut_after_bytes, fault.effects.bytes_per_second, wait)
        effects = [fault.effects for fault in hitting]
        decisive = decisive_of(effects)
        failing = decisive if decisive is not None and decisive.is_failure else None
        found = answer_of(self.application if failing is None else _failure(failing), environ)
        change(found, effects, is_head=environ["REQUEST_METHOD"] == "HEAD")
        chunks = found.chunks
        for fault in hitting:
            if fault.effects.cut_after_bytes is not None:
                reason = f"a fault cuts the connection: {fault}"
                chunks = cut_off(chunks, fault.effects.cut_after_bytes, environ, reason)
            if fault.effects.bytes_per_second is not None:
                wait = partial(fault.wait, environ=environ)
                chunks = slowed(chunks, fault.effects.bytes_per_second, wait)
        return send(found, chunks, start_response)


def _failure(effects: FaultEffects) -> Any:
    """Return an application that answers with the error of a fault, in the form of the engine."""
    text = effects.error if isinstance(effects.error, str) else _TEXT
    return answer({"message": text}, effects.status or 500)


class EngineFaults:
    """The part of FakeEngine that sets faults."""

    _gate: EngineFaultGate

    @property
    def faults(self) -> Faults:
        """The faults that are not undone. ``clear()`` undoes them, and so do ``reset()`` and ``close()``."""
        return self._gate.faults

    def fail(
        self,
        method: str | None = None,
        path: str | None = None,
        *,
        route: str | None = None,
        after: int = 0,
        times: int | None = None,
        probability: float | None = None,
        seed: int = 0,
        status: int | None = None,
        error: str | None = None,
        body: Body | None = None,
        delay_s: float | None = None,
        bytes_per_second: int | None = None,
        cut_after_bytes: int | None = None,
        headers: Mapping[str, str | None] | None = None,
        disk: Literal["full"] | None = None,
        refuse_connection: bool = False,
    ) -> Fault:
        """Let requests fail until the fault is undone, in process and on the ports alike.

        Which requests: all that have each given property. Faults that hit one request combine.

        :param method: such as ``POST``.
        :param path: with the version, without the query; ``*`` stands for any text: ``*/images/create``.
        :param route: the name of an endpoint, as :attr:`requests` have it: ``post_create``.
        :param after: how many of these requests are left alone first.
        :param times: how many requests the fault hits at most.
        :param probability: how likely it hits a request, from 0 to 1. The sequence depends on ``seed`` alone.

        What happens:

        :param status: from 400 on the engine answers with an error and does nothing.
        :param error: the message of that error.
        :param body: replaces the body of the answer; those of attach and exec are not replaced.
        :param delay_s: how long the request waits first, in seconds. Undoing the fault ends the wait.
        :param bytes_per_second: how fast the answer is sent, such as the progress of a pull.
        :param cut_after_bytes: the connection breaks after so many bytes of the body.
        :param headers: headers of the answer by name; None removes one.
        :param disk: ``full``: images and files cannot be stored.
        :param refuse_connection: the connection is closed without an answer.
        :raises ValueError: there is no effect, or values are invalid or contradict each other.

        >>> from v1registry_fakes import FakeEngine
        >>> with FakeEngine() as engine, engine.fail("GET", "*/info", status=500, times=2) as fault:
        ...     fault.count
        0
        """
        effects = FaultEffects(
            status=status,
            error=error,
            body=body,
            delay_s=delay_s,
            bytes_per_second=bytes_per_second,
            cut_after_bytes=cut_after_bytes,
            headers=headers,
            storage=disk,
            refuse_connection=refuse_connection,
        )
        pattern = RequestPattern(method, path, route)
        pattern.check_route(row.name for row in self._gate.application.table)
        check_conditions(after, times, probability, seed)
        fault = Fault(
            pattern,
            effects,
            after=after,
            times=times,
            probability=probability,
            seed=seed,
            substitute=None,
            forget=self.faults.forget,
        )
        self.faults.add(fault)
        return fault
