"""The real application, which a fault can make fail, and which tells who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from v1registry.distribution.callers import caller_of
from v1registry.errors import MethodNotAllowed, RegistryError
from v1registry.log import get_logger
from v1registry.paths import OAUTH
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response

from ..recording.recorder import WatchedRegistry
from .effects import FaultEffects
from .errors import error_of

log = get_logger(__name__)

#: The key of the WSGI environ with the :class:`FaultEffects` of a request that has to fail.
FAILURE_KEY: Final = "v1registry_fakes.failure"


class FailingRegistry(WatchedRegistry):
    """The real application. It answers a request under :data:`FAILURE_KEY` with an error of its own."""

    def _answer(self, request: Request[Any]) -> Response:
        effects: FaultEffects | None = request.environ.get(FAILURE_KEY)
        if effects is None:
            return super()._answer(request)
        error = self._error_of(request, effects)
        log.info("a fault lets %s %r fail: %d", request.method, request.path, error.status)
        with suppress(RegistryError):
            request.drain()
        return self._answer_to_failure(request, error)

    def _error_of(self, request: Request[Any], effects: FaultEffects) -> RegistryError:
        if isinstance(effects.error, RegistryError):
            return effects.error
        assert effects.status is not None
        with suppress(RegistryError):
            route, api = self.row_of(request.method, request.decoded_path)
            if route is not None:
                request.is_page = route.is_page
            with suppress(MethodNotAllowed):
                found = self.table.match(request.method, request.decoded_path)
                request.fields.update({} if found is None else found[1])
            return error_of(
                effects.status, effects.error, request, api, None if route is None else route.name
            )
        return error_of(effects.status, effects.error, request, None, None)

    def refuse_body(self, environ: Mapping[str, Any]) -> None:
        """Read the body of a request that the application does not see, for a limited time."""
        request = Request(dict(environ), self._services)
        try:
            with suppress(RegistryError):
                request.drain()
        finally:
            request.end_body()

    def user_of(self, environ: Mapping[str, Any], api: str | None) -> str | None:
        """Return the name of the user of the credentials of a request; None if they are wrong or missing.

        The credentials of an OAuth application are not those of a user.
        """
        if environ.get("PATH_INFO", "").startswith(f"{OAUTH}/"):
            return None
        request = Request(dict(environ), self._services)
        with suppress(RegistryError):
            rights = caller_of(request).rights if api == "v2" else request.rights
            return None if rights.user is None else rights.user.name
        return None
