"""Puts faults between the requests of clients and the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..clock import FakeClock
from ..recording.recorder import RECORD_KEY
from .answers import (
    Answer,
    answer_of,
    change,
    corrupted,
    cut_off,
    fitted,
    page,
    redirection,
    send,
    slowed,
)
from .broken_storage import BrokenStorage
from .connection_cuts import cut
from .effects import FaultEffects, decisive_of
from .failing_registry import FAILURE_KEY, FailingRegistry
from .faults import Fault, Faults

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

    from ..recording.recorded_request import RecordedRequest

#: How far the time of a request with an expired token is ahead, in seconds: longer than any lifetime.
_EXPIRED_S: Final = 100 * 365 * 86400.0


class FaultGate:
    """A WSGI application that lets requests pass to a registry, or fail as its faults say. Safe for threads.

    :param storage: the storage of the registry.
    :param application: gets the requests that pass; the registry if None.
    """

    def __init__(
        self,
        registry: FailingRegistry,
        faults: Faults,
        storage: BrokenStorage,
        clock: FakeClock,
        application: WSGIApplication | None = None,
    ):
        self._registry = registry
        self._application = application or registry
        self._faults = faults
        self._storage = storage
        self._clock = clock

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not self._faults:
            return self._application(environ, start_response)
        record: RecordedRequest = environ[RECORD_KEY]
        faults = list(self._faults)
        if any(fault.needs_user(record) for fault in faults):
            record.user = self._registry.user_of(environ, record.api)
        hitting = [fault for fault in faults if fault.hits(record)]
        if not hitting:
            return self._application(environ, start_response)
        record.fault = "; ".join(map(str, hitting))
        return self._broken_answer(hitting, environ, start_response)

    def _broken_answer(
        self, faults: Sequence[Fault], environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        for fault in faults:
            if fault.effects.delay_s is not None:
                fault.wait(fault.effects.delay_s, environ)
        for fault in faults:
            if fault.effects.refuse_connection:
                raise cut(environ, f"a fault closes the connection: {fault}", with_headers=False)
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        effects = [fault.effects for fault in faults]
        answer = self._answer(faults, decisive_of(effects), environ)
        try:
            change(answer, effects, is_head=is_head)
            has_body = not is_head and not answer.has_no_body
            for fault in faults:
                if fault.effects.cut_after_bytes is not None and not has_body:
                    raise cut(environ, f"a fault cuts the connection: {fault}", with_headers=False)
        except BaseException:
            answer.close()
            raise
        return send(answer, _body(answer, faults, environ) if has_body else answer.chunks, start_response)

    def _answer(
        self, faults: Sequence[Fault], decisive: FaultEffects | None, environ: dict[str, Any]
    ) -> Answer:
        """Return the answer of the decisive fault, or that of the registry."""
        if decisive is not None and decisive.is_own_answer:
            self._registry.refuse_body(environ)
            if decisive.redirect is not None:
                answer = redirection(decisive.status or 302, decisive.redirect)
            else:
                answer = page(decisive.status or 502)
            if environ["REQUEST_METHOD"] == "HEAD":
                answer.chunks = []
            return answer
        if decisive is not None and decisive.is_failure:
            environ[FAILURE_KEY] = decisive
        is_reading = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        with ExitStack() as contexts:
            for fault in faults:
                if fault.effects.expired_token and _can_expire(environ):
                    contexts.enter_context(self._clock.shifted(_EXPIRED_S))
                if fault.substitute is not None and (is_reading or not fault.effects.stale):
                    contexts.enter_context(self._storage.replaced_by(fault.substitute))
            return answer_of(self._application, environ)


def _can_expire(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request has credentials that expire.

    Others must not see the later time: they would remove what has expired by it, such as uploads.
    """
    record: RecordedRequest = environ[RECORD_KEY]
    if record.api == "oauth" or environ.get("PATH_INFO", "").endswith("/token"):
        return True  # codes and refresh tokens are in the body
    scheme = environ.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    return scheme not in ("", "basic") or "HTTP_COOKIE" in environ


def _body(answer: Answer, faults: Sequence[Fault], environ: dict[str, Any]) -> Iterable[bytes]:
    """Return the body as it is sent."""
    for fault in faults:
        if fault.effects.corrupt_byte is not None:
            answer.chunks = corrupted(answer.chunks, fault.effects.corrupt_byte)
    chunks = answer.chunks
    announced = None
    for fault in faults:
        for name, value in (fault.effects.headers or {}).items():
            announced = value if name.lower() == "content-length" else announced
    if announced is not None and announced.isdecimal():
        chunks = fitted(chunks, int(announced), environ)
    for fault in faults:
        if fault.effects.cut_after_bytes is not None:
            reason = f"a fault cuts the connection: {fault}"
            chunks = cut_off(chunks, fault.effects.cut_after_bytes, environ, reason)
    for fault in faults:
        if fault.effects.bytes_per_second is not None:
            wait = partial(fault.wait, environ=environ)
            chunks = slowed(chunks, fault.effects.bytes_per_second, wait)
    return chunks
