"""What stands at ``/v2/`` on a host without the bridge to today's engines (clients.md 8, decisions.md 8a).

podman searches by ``/v1/search`` only where ``GET /v2/`` answers 200 or 401, and engines from 0.9 to 17.05 fall back to v1 all
the same as long as ``Docker-Distribution-API-Version`` is missing. Everything below is 404 in plain text.
"""

from __future__ import annotations

from typing import Any

from ..wsgi.request import Request
from ..wsgi.responses import Response, json_response
from ..wsgi.routing import Route, Table


def ping(request: Request[Any]) -> Response:
    return json_response({})


# fmt: off
ROUTES = Table(
    #     method  path         handler  needs
    Route("GET",  "/v2[/]",    ping,    None),
)
# fmt: on
