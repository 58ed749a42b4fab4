"""The page by which administrators see what uses the disk: the last report of ``v1registry usage``."""

from __future__ import annotations

from typing import Any, Final

from .. import errors
from ..housekeeping.kept_usage import kept
from ..wsgi.responses import Response
from .login import log_in_first
from .services import Request
from .views.paging import part_of
from .views.texts import shown
from .visitors import visitor_of

#: How many repositories are on one page.
REPOSITORIES_SHOWN: Final = 100


def get_usage(request: Request) -> Response:
    """Show the last report to administrators. Nothing is measured in a request.

    :raises Forbidden: the visitor is no administrator.
    """
    services, visitor = request.services, visitor_of(request)
    if visitor.user is None:
        return log_in_first(request, visitor, services.pages.url(request, "/usage"))
    if not visitor.user.is_administrator:
        raise errors.Forbidden("Only administrators may see what uses the disk")
    usage = kept(services.storage)
    part = part_of(() if usage is None else usage.repositories, request.query("page"), REPOSITORIES_SHOWN)
    values: dict[str, Any] = {
        "totals": None if usage is None else usage.totals,
        "part": part,
        "rows": [{"usage": row, "label": shown(row.name, 300)} for row in part.items],
        "now": services.clock.now(),
    }
    return services.pages.render(request, "usage.html", values, visitor=visitor)
