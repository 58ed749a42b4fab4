"""The pages for people: their routing tables, and the handlers of what belongs to all of them (design.md 9)."""

from __future__ import annotations

from ..http import Request, Response
from ..routing import Route, Table
from .pages import Pages


def get_static(request: Request) -> Response:
    """Return a style sheet or a script."""
    return request.service(Pages).static(request)


# fmt: off
def essential_routes(base: str) -> Table:
    """Return the rows that OAuth needs too, below a path."""
    return Table(
        #     method    path                                   handler            needs  is_page
        Route("GET",    f"{base}/static/{{file}}",             get_static,        None),
    )
# fmt: on
