"""The page on which a user allows or denies access to an application (oauth.md 3.1).

It has the address of the API, and works without the other pages. Nothing is remembered: each request of an
application asks the user, and the answer is checked like the request.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from ..log import get_logger
from ..names import is_host, is_loopback
from ..oauth.api import require_https
from ..oauth.provider import AuthorizationRefused, AuthorizationRequest, UnsafeAuthorization
from ..oauth.scopes import in_words
from ..wsgi.request import configured
from ..wsgi.responses import Response
from .forms import read_form
from .login import log_in_first
from .pages import OPENED_BY_OTHERS
from .services import Request
from .visitors import Visitor, visitor_of

log = get_logger(__name__)

#: Characters of a query that are kept. All others are quoted before the query becomes a part of an address.
_QUERY_CHARACTERS: Final = "!$&'()*+,;=:@/?%~"

#: The fields of the page's form that are not parameters of the request.
_OWN_FIELDS: Final = ("form_token", "allow")


_WITHOUT_ID: Final = (
    "This account cannot give applications access, because the server has no id for it. "
    "Log in with another account, or deny"
)


def get_authorize(request: Request) -> Response:
    """Show the page. An invalid request is reported to the application before the user must log in."""
    require_https(request)
    query: str = request.environ.get("QUERY_STRING", "")
    try:
        asked = configured(request.services.oauth).provider.check_authorization(query)
    except AuthorizationRefused as refused:
        return _back(request, refused.location)
    except UnsafeAuthorization as unsafe:
        return _dead_end(request, unsafe)
    visitor = visitor_of(request)
    if visitor.user is None:
        return log_in_first(request, visitor, _address(request, query))
    can_allow = configured(request.services.oauth).grants.account(visitor.user.name) is not None
    return _page(request, visitor, asked, query, None if can_allow else _WITHOUT_ID, can_allow=can_allow)


def post_authorize(request: Request) -> Response:
    """Process the answer: ``allow=1`` allows, anything else denies.

    The parameters of the request are in the query, as in the form of the page, or among the fields (oauth.md
    3.1).
    """
    require_https(request)
    form, provider = read_form(request), configured(request.services.oauth).provider
    query: str = request.environ.get("QUERY_STRING", "") or urlencode(
        {name: value for name, value in form.items() if name not in _OWN_FIELDS}
    )
    try:
        asked = provider.check_authorization(query)
        visitor = visitor_of(request)
        if visitor.user is None:
            return log_in_first(request, visitor, _address(request, query))
        problem = visitor.form_problem(request, form)
        if problem is not None:
            return _page(request, visitor, asked, query, problem)
        is_allowed = form.get("allow") == "1"
        location = provider.allow(asked, visitor.user) if is_allowed else provider.deny(asked)
    except AuthorizationRefused as refused:
        location = refused.location
    except UnsafeAuthorization as unsafe:
        return _dead_end(request, unsafe)
    return _back(request, location)


# -- inside


def _address(request: Request, query: str) -> str:
    """Return the path and the query of this page, as the browser requests it."""
    mounted_at = request.origin.mount_path
    quoted = quote(query.encode("latin-1"), safe=_QUERY_CHARACTERS)
    return f"{mounted_at}{quote(request.decoded_path)}?{quoted}"


def _back(request: Request, location: str) -> Response:
    return request.services.pages.redirect(request, location, status=302)


def _dead_end(request: Request, unsafe: UnsafeAuthorization) -> Response:
    """Show the error to the user, because there is no safe address of the application to send it to."""
    log.info("an authorization request is invalid and has no safe redirect URI: %s", unsafe.public)
    return request.services.pages.render(
        request,
        "consent_dead_end.html",
        {"problem": unsafe.public},
        status=unsafe.status,
        visitor=Visitor(None, None, None),
    )


def _page(
    request: Request,
    visitor: Visitor,
    asked: AuthorizationRequest,
    query: str,
    problem: str | None = None,
    *,
    can_allow: bool = True,
) -> Response:
    values = {
        "can_allow": can_allow,
        "application": asked.application,
        # the form is sent to the address of the page, unless the parameters came in the body
        "address": "" if request.environ.get("QUERY_STRING") else _address(request, query),
        "place": place_of(asked.redirect_uri),
        "words": in_words(asked.scopes),
        "problem": problem,
    }
    return request.services.pages.render(
        request,
        "consent.html",
        values,
        status=200 if problem is None else 403,
        visitor=visitor,
        form_targets=[form_target(asked.redirect_uri)],
        headers=OPENED_BY_OTHERS,
    )


def place_of(redirect_uri: str) -> str:
    """Return the target of a redirect URI, in words for users.

    >>> place_of("https://ci.example.org:8443/back?x=1"), place_of("http://127.0.0.1:4711/")
    ('ci.example.org:8443', 'a program on this computer')
    >>> place_of("org.example.app:/back")
    'the app org.example.app on this device'
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme not in ("http", "https"):
        return f"the app {parts.scheme} on this device"
    return (
        "a program on this computer" if is_loopback(parts.hostname or "") else parts.netloc.rpartition("@")[2]
    )


def form_target(redirect_uri: str) -> str:
    """Return the source of a Content-Security-Policy that matches a redirect URI: an origin, or a scheme.

    A policy cannot name IPv6 addresses (https://www.w3.org/TR/CSP3/#grammardef-host-source).

    >>> form_target("https://ci.example.org:8443/back?x=1"), form_target("http://[::1]:4711/")
    ('https://ci.example.org:8443', 'http:')
    >>> form_target("org.example.app:/back")
    'org.example.app:'
    """
    parts = urlsplit(redirect_uri)
    is_named = parts.scheme in ("http", "https") and is_host(parts.netloc) and "[" not in parts.netloc
    return f"{parts.scheme}://{parts.netloc}" if is_named else f"{parts.scheme}:"
