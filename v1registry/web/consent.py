"""The page on which a user allows an application something, or does not (oauth.md 3.1).

It is at the address of the API and has no place in the other pages, so it is there without them. Nothing is remembered: each
request of an application is asked about, and its answer is checked like the question.
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

#: What stands in a query as it is; the rest is quoted before it comes back as a part of another one.
_QUERY_CHARACTERS: Final = "!$&'()*+,;=:@/?%~"

#: The fields of the page's form that are no parameters of the question.
_OWN_FIELDS: Final = ("form_token", "allow")


def get_authorize(request: Request) -> Response:
    """Ask. What is wrong with the question is told to the application before anybody has to log in for it."""
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
    return _page(request, visitor, asked, query)


def post_authorize(request: Request) -> Response:
    """Take the answer of the page: ``allow=1``, or anything else for no.

    It comes with the parameters of the question, in the query as this page has it, or among the fields (oauth.md 3.1).
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
    """Return the path and the query of the question, as the browser asks for it."""
    mounted_at = request.origin.mount_path
    quoted = quote(query.encode("latin-1"), safe=_QUERY_CHARACTERS)
    return f"{mounted_at}{quote(request.decoded_path)}?{quoted}"


def _back(request: Request, location: str) -> Response:
    return request.services.pages.redirect(request, location, status=302)


def _dead_end(request: Request, unsafe: UnsafeAuthorization) -> Response:
    """Tell the user, whoever that is, what the application has to know and cannot be told."""
    log.info("a question of an application has no way back: %s", unsafe.public)
    return request.services.pages.render(
        request,
        "consent_dead_end.html",
        {"problem": unsafe.public},
        status=unsafe.status,
        visitor=Visitor(None, None, None),
    )


def _page(
    request: Request, visitor: Visitor, asked: AuthorizationRequest, query: str, problem: str | None = None
) -> Response:
    values = {
        "application": asked.application,
        # the form goes to the address of the page, but for a question that did not come in it
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
    """Return where an answer goes, in words for people.

    >>> place_of("https://ci.example.org:8443/back?x=1"), place_of("http://127.0.0.1:4711/"), place_of("org.example.app:/back")
    ('ci.example.org:8443', 'a program on this computer', 'the app org.example.app on this device')
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme not in ("http", "https"):
        return f"the app {parts.scheme} on this device"
    return (
        "a program on this computer" if is_loopback(parts.hostname or "") else parts.netloc.rpartition("@")[2]
    )


def form_target(redirect_uri: str) -> str:
    """Return the source by which a Content-Security-Policy names where an answer goes: an origin, or a scheme.

    A policy has no words for addresses of IPv6 (https://www.w3.org/TR/CSP3/#grammardef-host-source).

    >>> form_target("https://ci.example.org:8443/back?x=1"), form_target("http://[::1]:4711/"), form_target("org.example.app:/back")
    ('https://ci.example.org:8443', 'http:', 'org.example.app:')
    """
    parts = urlsplit(redirect_uri)
    is_named = parts.scheme in ("http", "https") and is_host(parts.netloc) and "[" not in parts.netloc
    return f"{parts.scheme}://{parts.netloc}" if is_named else f"{parts.scheme}:"
