"""Handlers of the control API for the engine of the process: fill it, say what containers do, look at it."""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec.structs import asdict

from v1registry.errors import BadRequest, NotFound
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, json_response, no_content

from ..engine import FakeContainer, FakeEngine
from ..engine.behaviours import LogLine
from . import bodies
from .bodies import contents_of, read_body
from .faults import MOST_FAULTS
from .services import ControlServices, refusals
from .watching import requests_of

ControlRequest: TypeAlias = Request[ControlServices]

#: How many rules of containers and commands may be set at a time.
_MOST_RULES = 1000


def _engine(request: ControlRequest) -> FakeEngine:
    """Return the engine of the process.

    :raises NotFound: it has none.
    """
    engine = request.services.engine
    if engine is None:
        raise NotFound("The process has no engine: start it with --engine")
    return engine


def add_image(request: ControlRequest) -> Response:
    """Give the engine an image."""
    engine, body = _engine(request), read_body(request, bodies.NewEngineImage)
    files = None if body.files is None else contents_of(body.files)
    with refusals():
        image = engine.add_image(
            body.name, files=files, config=body.config, json=body.json, parent=body.parent
        )
    return json_response({"id": image.id, "tags": image.tags}, 201)


def on_run(request: ControlRequest) -> Response:
    """Say what containers of an image do."""
    return _add_rule(request, is_run=True)


def on_exec(request: ControlRequest) -> Response:
    """Say what commands in containers of an image do."""
    return _add_rule(request, is_run=False)


def _add_rule(request: ControlRequest, *, is_run: bool) -> Response:
    engine, body = _engine(request), read_body(request, bodies.NewRule)
    if engine.rule_count >= _MOST_RULES:
        raise BadRequest(f"At most {_MOST_RULES} rules may be set at a time: reset the fakes")
    logs: list[LogLine] = [line if isinstance(line, str) else (line.stream, line.text) for line in body.logs]
    with refusals():
        (engine.on_run if is_run else engine.on_exec)(
            body.image, command=body.command, logs=logs, exit_code=body.exit_code, after_s=body.after_s
        )
    return no_content()


def fail(request: ControlRequest) -> Response:
    """Let requests to the engine fail, as its fail() does."""
    engine, services = _engine(request), request.services
    body = read_body(request, bodies.NewEngineFault)
    if len(services.faults.all()) >= MOST_FAULTS:
        raise BadRequest(f"At most {MOST_FAULTS} faults may be set at a time: undo some")
    given = asdict(body)
    with refusals():
        fault = engine.fail(given.pop("method"), given.pop("path"), **given)
    shown = {"id": services.faults.add(fault), "fault": str(fault), "count": fault.count}
    return json_response(shown, 201)


def list_requests(request: ControlRequest) -> Response:
    """List the requests of clients of the engine; the parameters are those of requests."""
    return requests_of(_engine(request), request)


def list_contents(request: ControlRequest) -> Response:
    """List the images and the containers of the engine."""
    engine = _engine(request)
    return json_response(
        {
            "images": {name: image.id for name, image in engine.images.items()},
            "containers": {name: _shown(container) for name, container in engine.containers.items()},
        }
    )


def _shown(container: FakeContainer) -> dict[str, Any]:
    return {
        "id": container.id,
        "image": container.image,
        "command": container.command,
        "environment": container.environment,
        "labels": container.labels,
        "status": container.status,
        "exit_code": container.exit_code,
        "starts": container.starts,
        "logs": container.logs,
    }
