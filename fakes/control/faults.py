"""Handlers of the control API that set, show and undo faults."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import asdict

from v1registry.errors import BadRequest, NotFound
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, json_response, no_content

from ..faults.faults import Fault
from .bodies import NewFault, read_body
from .services import ControlServices, refusals

#: How many faults may be set at a time.
MOST_FAULTS: Final = 1000


def add(request: Request[ControlServices]) -> Response:
    """Let requests fail, as fail() does."""
    services, body = request.services, read_body(request, NewFault)
    if len(services.faults.all()) >= MOST_FAULTS:
        raise BadRequest(f"At most {MOST_FAULTS} faults may be set at a time: undo some")
    given = asdict(body)
    with refusals():
        fault = services.fake.fail(given.pop("method"), given.pop("path"), **given)
    return json_response(_shown(services.faults.add(fault), fault), 201)


def list_all(request: Request[ControlServices]) -> Response:
    """List the faults that are not undone, with how often they hit."""
    return json_response([_shown(*pair) for pair in request.services.faults.all().items()])


def undo_all(request: Request[ControlServices]) -> Response:
    """Undo all faults."""
    request.services.fake.faults.clear()
    if request.services.engine is not None:
        request.services.engine.faults.clear()
    return no_content()


def undo(request: Request[ControlServices]) -> Response:
    """Undo one fault; the answer says how often it hit."""
    number = request.fields["fault_id"]
    for known, fault in request.services.faults.all().items():
        if str(known) == number:
            fault.undo()
            return json_response(_shown(known, fault))
    raise NotFound(f"There is no fault {number[:20]!r}, or it is undone")


def _shown(number: int, fault: Fault) -> dict[str, Any]:
    return {"id": number, "fault": str(fault), "count": fault.count}
