"""The control API of ``python -m v1registry_fakes``: a test in any language fills a fake and looks at it.

It is below ``/_fakes/`` of the port of the fake. Everything else goes to the fake. Requests of the control
API are not recorded, and faults do not reach them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from v1registry import MemoryStorage, Registry, __version__
from v1registry.errors import PathNotFound, RegistryError
from v1registry.wsgi.request import Request, Services
from v1registry.wsgi.responses import Response, error_object, json_response, no_content
from v1registry.wsgi.routing import Route, Table

from . import clock, engine, faults, filling, watching
from .known_faults import KnownFaults
from .services import CONTROL, ControlServices

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..engine import FakeEngine
    from ..registry import FakeRegistry

log = logging.getLogger(__name__)

#: The ends of names that cannot be registered, so that no page of another site has one (RFC 6761, RFC 6762).
_PRIVATE_ENDS: Final = (".localhost", ".test", ".internal", ".local")


class ForeignPage(RegistryError):
    """A page of another site asks. Nothing changed."""

    status: ClassVar[int] = 403

    def __init__(self, origin: str):
        super().__init__(
            f"Pages of other sites may not use the control API; this one is of {origin[:80]!r}. "
            "Send the request from the test itself"
        )


class ForeignHost(RegistryError):
    """The request is for a host whose name a page of another site may have. Nothing changed."""

    status: ClassVar[int] = 403

    def __init__(self, host: str):
        super().__init__(
            "The control API is reached by an IP address, a name without a dot or one that ends in "
            f"{', '.join(_PRIVATE_ENDS)}, not by {host[:80]!r}"
        )


def index(request: Request[ControlServices]) -> Response:
    """Say what the control API can do."""
    fake = request.services.fake
    rows = [{"method": route.method, "path": route.path, "does": _summary(route)} for route in TABLE]
    places = {"url": fake.url, "host": fake.host}
    if request.services.engine is not None:
        places["engine"] = request.services.engine.url
    return json_response({"version": __version__, **places, "endpoints": rows})


def reset(request: Request[ControlServices]) -> Response:
    """Remove everything stored and all requests, those of the engine too."""
    request.services.fake.reset()
    if request.services.engine is not None:
        request.services.engine.reset()
    return no_content()


# fmt: off
TABLE: Final = Table(
    Route("GET",    f"{CONTROL}[/]",             index,                    None),
    Route("POST",   f"{CONTROL}/reset",          reset,                    None),
    Route("POST",   f"{CONTROL}/images",         filling.add_image,        None),
    Route("POST",   f"{CONTROL}/tags",           filling.tag,              None),
    Route("POST",   f"{CONTROL}/repositories",   filling.add_repository,   None),
    Route("POST",   f"{CONTROL}/artifacts",      filling.add_artifact,     None),
    Route("POST",   f"{CONTROL}/indexes",        filling.add_index,        None),
    Route("POST",   f"{CONTROL}/archives",       filling.add_archive,      None),
    Route("POST",   f"{CONTROL}/users",          filling.add_user,         None),
    Route("POST",   f"{CONTROL}/applications",   filling.add_application,  None),
    Route("POST",   f"{CONTROL}/consent",        filling.consent,          None),
    Route("GET",    f"{CONTROL}/clock",          clock.show,               None),
    Route("PUT",    f"{CONTROL}/clock",          clock.move,               None),
    Route("POST",   f"{CONTROL}/faults",         faults.add,               None),
    Route("GET",    f"{CONTROL}/faults",         faults.list_all,          None),
    Route("DELETE", f"{CONTROL}/faults",         faults.undo_all,          None),
    Route("DELETE", f"{CONTROL}/faults/{{fault_id}}", faults.undo,         None),
    Route("GET",    f"{CONTROL}/contents",       watching.list_contents,   None),
    Route("GET",    f"{CONTROL}/requests",       watching.list_requests,   None),
    Route("DELETE", f"{CONTROL}/requests",       watching.clear_requests,  None),
    Route("POST",   f"{CONTROL}/engine/images",   engine.add_image,        None),
    Route("POST",   f"{CONTROL}/engine/runs",     engine.on_run,           None),
    Route("POST",   f"{CONTROL}/engine/execs",    engine.on_exec,          None),
    Route("POST",   f"{CONTROL}/engine/faults",   engine.fail,             None),
    Route("GET",    f"{CONTROL}/engine/contents", engine.list_contents,    None),
    Route("GET",    f"{CONTROL}/engine/requests", engine.list_requests,    None),
    holes={"fault_id": ("fault_id", r"[^/]+")},
)
# fmt: on


class _Parts(Registry):
    """An empty open registry, whose parts every request needs."""

    def services_for(self, fake: FakeRegistry, engine: FakeEngine | None) -> ControlServices:
        """Return the services of the control API of a fake and an engine."""
        parts = {part.name: getattr(self._services, part.name) for part in fields(Services)}
        return ControlServices(fake=fake, engine=engine, faults=KnownFaults(), **parts)


class ControlledFake:
    """A WSGI application: a fake, with its control API below ``/_fakes/``.

    :param fake: gets all other requests.
    """

    def __init__(self, fake: FakeRegistry, engine: FakeEngine | None = None):
        self._fake = fake
        self._services = _Parts(MemoryStorage()).services_for(fake, engine)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not f"{environ.get('PATH_INFO', '')}/".startswith(f"{CONTROL}/"):
            return self._fake.app(environ, start_response)
        request = Request(environ, self._services)
        try:
            response = self._answer(request)
        finally:
            request.end_body()
        return response(environ, start_response)

    def _answer(self, request: Request[ControlServices]) -> Response:
        try:
            return _dispatch(request)
        except RegistryError as error:
            failure = error
        except Exception:
            log.exception("%s %r failed", request.method, request.environ.get("PATH_INFO"))
            failure = RegistryError("The control API failed; the log of its process says why")
        # a client that cannot send its body does not read the answer
        with contextlib.suppress(RegistryError):
            request.drain()
        return error_object(failure)


def _dispatch(request: Request[ControlServices]) -> Response:
    """Return the answer of the row that matches.

    :raises RegistryError: the request is rejected.
    """
    host = request.environ.get("HTTP_HOST", "")
    if host != request.services.fake.host and not _is_private(host):
        raise ForeignHost(host)
    origin = request.environ.get("HTTP_ORIGIN", "")
    if origin and urlsplit(origin).netloc != request.environ.get("HTTP_HOST"):
        raise ForeignPage(origin)
    found = TABLE.match(request.method, request.decoded_path)
    if found is None:
        raise PathNotFound(f"There is no {request.decoded_path[:80]!r}; GET {CONTROL}/ lists what there is")
    route, values = found
    request.fields.update(values)
    return route.handler(request)


def _is_private(host: str) -> bool:
    """Tell whether no page of another site can have a host, by a name that leads here (DNS rebinding).

    :param host: the header ``Host``; browsers never leave it out.

    >>> [_is_private(host) for host in ("", "[::1]:80", "fakes:80", "a.localhost", "evil.example", "a@b.com")]
    [True, True, True, True, False, False]
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    name = name.removesuffix(".")
    with contextlib.suppress(ValueError):
        ip_address(name)
        return True
    return "." not in name or name.endswith(_PRIVATE_ENDS)


def _summary(route: Route) -> str:
    """Return the first line of the docstring of a row's handler."""
    return (route.handler.__doc__ or "").partition("\n")[0].rstrip(".")
