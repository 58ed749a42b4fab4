"""The Remote API of an engine as a WSGI application: one table, answered in the version of the path."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from v1registry.errors import MethodNotAllowed
from v1registry.wsgi.framework import Response
from v1registry.wsgi.routing import Route, Table

from . import (
    attach_api,
    containers_api,
    files_api,
    images_api,
    networks_api,
    system_api,
    transfers_api,
)
from .errors import EngineError, NoSuchObject, NotModified, NotSimulated
from .requests import EngineRequest, answer, empty
from .versions import negotiated

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from .state import EngineState

log = logging.getLogger(__name__)

#: What a ``{hole}`` matches, and the field in which the handler finds it. Names of images and links have
#: slashes.
HOLES: Final = {
    "image": ("name", r".+"),
    "container": ("name", r"[^/]+(?:/[^/]+)?"),
    "exec": ("exec_id", r"[^/]+"),
    "network": ("name", r"[^/]+"),
    "volume": ("name", r"[^/]+"),
}

TABLE: Final = Table(
    *system_api.ROUTES,
    *images_api.ROUTES,
    *transfers_api.ROUTES,
    *containers_api.ROUTES,
    *attach_api.ROUTES,
    *files_api.ROUTES,
    *networks_api.ROUTES,
    holes=HOLES,
)

#: What real engines have and the fake does not: the first part of the path -> its name for people.
_NOT_SIMULATED: Final = {
    "build": "building images",
    "configs": "swarm",
    "distribution": "asking a registry for an image",
    "nodes": "swarm",
    "plugins": "plugins",
    "secrets": "swarm",
    "services": "swarm",
    "session": "BuildKit",
    "grpc": "BuildKit",
    "swarm": "swarm",
    "tasks": "swarm",
}

#: The same for what is below a container.
_NOT_SIMULATED_IN_CONTAINERS: Final = {
    "attach/ws": "attaching by a web socket",
    "checkpoints": "checkpoints",
}
_IN_CONTAINER: Final = re.compile(r"/containers/[^/]+/(attach/ws|checkpoints)(?:/.*)?", re.DOTALL)

_VERSIONED: Final = re.compile(r"/v([0-9.]+)(/.*)", re.DOTALL)


class EngineApplication:
    """Answers the requests of clients of one engine. Safe for threads.

    :param state: what the engine knows.
    """

    table = TABLE  #: every endpoint

    def __init__(self, state: EngineState):
        self.state = state
        #: the failures of the fake itself, each with its request
        self.failures: list[tuple[str, Exception]] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        response = self._answer(environ)
        release = self.state.release
        response.headers["Api-Version"] = str(release.api)
        response.headers["Docker-Experimental"] = "false"
        response.headers["Ostype"] = "linux"
        response.headers["Server"] = f"Docker/{release.version} (linux)"
        return response(environ, start_response)

    def _answer(self, environ: dict[str, Any]) -> Response:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        versioned = _VERSIONED.fullmatch(path)
        text, path = (versioned[1], versioned[2]) if versioned else (None, path)
        try:
            request = EngineRequest(environ, self.state, negotiated(text, self.state.release))
            return self._handled(request, path)
        except NotModified:
            return empty(304)
        except EngineError as error:
            return answer({"message": error.text(self.state.release.api)}, error.status)
        except Exception as error:
            log.exception("%s %r failed", environ["REQUEST_METHOD"], path)
            self.failures.append((f"{environ['REQUEST_METHOD']} {path}", error))
            return answer({"message": f"the fake engine failed: {type(error).__name__}: {error}"}, 500)

    def _handled(self, request: EngineRequest, path: str) -> Response:
        found = _match(request.method, path)
        if found is None:
            what = _not_simulated(path)
            raise NotSimulated(what) if what else NoSuchObject("page not found")
        route, fields = found
        request.fields.update(fields)
        return cast("Callable[[EngineRequest], Response]", route.handler)(request)

    def row_of(self, method: str, path: str) -> tuple[Route | None, None]:
        """Return the row that serves a request. There is one API only.

        :param path: with or without a version.
        """
        versioned = _VERSIONED.fullmatch(path)
        found = _match(method, versioned[2] if versioned else path)
        return (None if found is None else found[0]), None

    def route_names(self) -> list[str]:
        """Return the names of the rows."""
        return [route.name for route in TABLE]


def _not_simulated(path: str) -> str | None:
    """Return the name of what real engines have at a path, None if they have nothing there."""
    inside = _IN_CONTAINER.fullmatch(path)
    if inside:
        return _NOT_SIMULATED_IN_CONTAINERS[inside[1]]
    return _NOT_SIMULATED.get(path.split("/", 2)[1] if "/" in path else "")


def _match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the row for a request, and the fields of its path. A wrong method is as an unknown path."""
    try:
        return TABLE.match(method, path)
    except MethodNotAllowed:
        return None
