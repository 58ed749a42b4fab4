"""The distribution API below ``/v2/`` as a configuration serves it (distribution.md).

``Docker-Distribution-API-Version`` is never sent, so engines up to 1.9 use v1 (clients.md 8).
"""

from __future__ import annotations

from typing import Any, Final

from .. import errors
from ..paths import V2
from ..wsgi.request import Request
from ..wsgi.responses import Response, error_text
from ..wsgi.routing import Api, Route, Table
from . import blobs_api, manifests_api, ping_api, tags_api, tokens_api, uploads_api
from .answers import v2_error
from .challenges import guarded, refused


def _error_response(request: Request[Any], error: errors.RegistryError) -> Response:
    return v2_error(error)


#: The rows that work on repositories.
_ROWS: Final = (*uploads_api.ROUTES, *blobs_api.ROUTES, *manifests_api.ROUTES, *tags_api.ROUTES)


def _rows(*, is_read_only: bool) -> tuple[Route, ...]:
    rows = (refused(row) if is_read_only and row.is_change else guarded(row) for row in _ROWS)
    return (guarded(tokens_api.VERSION_ROUTE), *tokens_api.ROUTES, *rows)


def distribution_api(v2: str) -> Api:
    """Return the API as a configuration serves it.

    :param v2: the setting of that name.
    """
    if v2 in ("on", "pull"):
        routes, error_response_to = Table(*_rows(is_read_only=v2 == "pull")), _error_response
    elif v2 == "ping":
        routes, error_response_to = Table(*ping_api.ROUTES), ping_api.error_response
    else:
        routes, error_response_to = Table(), None
    return Api(
        "distribution",
        paths=(f"{V2}[/]", f"{V2}/*"),
        routes=routes,
        error_response=error_text,
        error_response_to=error_response_to,
        is_passed_on=v2 == "pass",
    )
