"""Handlers of the control API that show and move the clock of the fake."""

from __future__ import annotations

from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, json_response

from .bodies import ClockMove, read_body
from .services import ControlServices, refusals


def show(request: Request[ControlServices]) -> Response:
    """Show the time of the fake."""
    clock = request.services.fake.clock
    return json_response({"now": clock.now().isoformat(), "is_frozen": clock.is_frozen})


def move(request: Request[ControlServices]) -> Response:
    """Set the clock, move it forward, or freeze it."""
    clock, body = request.services.fake.clock, read_body(request, ClockMove)
    if body.is_frozen is True:
        clock.freeze()
    elif body.is_frozen is False:
        clock.unfreeze()
    with refusals():
        if body.now is not None:
            clock.set(body.now)
        clock.advance(body.advance_s)
        engine = request.services.engine
        if engine is not None:
            # the engine has the time of the registry
            (engine.clock.freeze if clock.is_frozen else engine.clock.unfreeze)()
            engine.clock.set(clock.now())
    return show(request)
