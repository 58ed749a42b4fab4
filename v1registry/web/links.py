"""The pages behind mailed links, which confirm addresses and activate accounts (hub.md 8).

Mail scanners follow links with GET, so GET changes nothing and people press a button. Nothing of a request stands in these
pages, the form goes to the address at which it was shown, and who is logged in makes no difference.
"""

from __future__ import annotations

from typing import Final

from ..wsgi.request import configured
from ..wsgi.responses import Response
from .forms import LARGEST_FORM
from .services import Request
from .visitors import Visitor

#: The address holds the token.
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
)


def get_link(request: Request) -> Response:
    is_good = configured(configured(request.services.accounts).confirmations).is_good(request.fields["token"])
    return _page(request, "link_asking.html") if is_good else _refusal(request)


def post_link(request: Request) -> Response:
    request.read_body(LARGEST_FORM)
    is_done = configured(configured(request.services.accounts).confirmations).follow(request.fields["token"])
    return _page(request, "link_followed.html") if is_done else _refusal(request)


def _refusal(request: Request) -> Response:
    return _page(request, "link_refused.html", 404)


def _page(request: Request, template: str, status: int = 200) -> Response:
    nobody = Visitor(None, None, None)
    return request.services.pages.render(request, template, status=status, visitor=nobody, headers=_HEADERS)
