"""The answer to ``GET /v2/`` (clients.md 8, decisions.md 8a).

podman searches by ``/v1/search`` only if ``GET /v2/`` answers 200 or 401. Engines from 0.9 to 17.05 fall back
to v1 if ``Docker-Distribution-API-Version`` is missing. Everything below ``/v2/`` is 404 in plain text.
"""

from __future__ import annotations

from typing import Any

from ..paths import V2
from ..wsgi.request import Request
from ..wsgi.responses import Response, error_text, json_response
from ..wsgi.routing import Api, Route, Table


def ping(request: Request[Any]) -> Response:
    """Answer an empty object."""
    return json_response({})


# fmt: off
ROUTES = Table(
    #     method  path         handler  needs
    Route("GET",  "/v2[/]",    ping,    None),
)
# fmt: on


def distribution_api(v2: str) -> Api:
    """Return the API as a configuration serves it.

    :param v2: the setting of that name: ``ping``, ``absent`` or ``pass``.
    """
    return Api(
        "distribution",
        paths=(f"{V2}[/]", f"{V2}/*"),
        routes=ROUTES if v2 == "ping" else Table(),
        error_response=error_text,
        is_passed_on=v2 == "pass",
    )
