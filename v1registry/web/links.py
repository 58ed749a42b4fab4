"""The pages of mailed links, which confirm addresses and activate accounts (hub.md 8).

Mail scanners follow links with GET, so GET changes nothing and the page has a button. The pages contain
nothing of the request, the form is sent to the address of the page, and sessions are ignored.
"""

from __future__ import annotations

from typing import Final

from ..wsgi.bodies import SMALL_BODY_BYTES
from ..wsgi.request import configured
from ..wsgi.responses import Response
from .services import Request
from .visitors import Visitor

#: The address contains the token, so it must not leak.
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
)


def get_link(request: Request) -> Response:
    """Show the button that confirms an address; 404 if the link is invalid."""
    is_good = configured(configured(request.services.accounts).confirmations).is_good(request.fields["token"])
    return _page(request, "link_asking.html") if is_good else _refusal(request)


def post_link(request: Request) -> Response:
    """Confirm an address; 404 if the link is invalid."""
    request.read_body(SMALL_BODY_BYTES)
    is_done = configured(configured(request.services.accounts).confirmations).follow(request.fields["token"])
    return _page(request, "link_followed.html") if is_done else _refusal(request)


def _refusal(request: Request) -> Response:
    return _page(request, "link_refused.html", 404)


def _page(request: Request, template: str, status: int = 200) -> Response:
    anonymous = Visitor(None, None, None)
    return request.services.pages.render(
        request, template, status=status, visitor=anonymous, headers=_HEADERS
    )
