"""Answers to callers of the distribution API who lack credentials or rights (distribution.md 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from .. import errors
from ..names import is_v2_name, parse_v2_name
from ..paths import V2
from ..wsgi.responses import Response
from ..wsgi.routing import Route
from .callers import caller_of
from .scopes import CATALOG
from .services import Request

#: The characters of a URL that stay as they are in a header: no quotes, no backslash.
_URL_CHARACTERS: Final = ":/?#[]@!$&'()*+,;=~%"


def challenge_of(request: Request, error: errors.Unauthorized) -> str:
    """Return the value of ``WWW-Authenticate`` for a request that was not authorized.

    :raises BadRequest: the request names no valid host.
    """
    origin = request.origin
    fields = {
        "realm": quote(f"{origin.url}{V2}/token", safe=_URL_CHARACTERS),
        "service": quote(origin.host, safe=_URL_CHARACTERS),
        "scope": _scope_of(request),
    }
    if isinstance(error, errors.InvalidBearer):
        fields["error"] = "invalid_token"
    elif isinstance(error, errors.TokenTooNarrow):
        fields["error"] = "insufficient_scope"
    return "Bearer " + ",".join(f'{name}="{value}"' for name, value in fields.items() if value)


def _scope_of(request: Request) -> str:
    """Return the scope that the client should ask for; empty if the request needs none.

    It names pushing for a request that reads too, because some clients keep the first token that they got.
    """
    name = request.fields.get("repository", "")
    if is_v2_name(name):
        actions = "pull,push,delete" if request.method == "DELETE" else "pull,push"
        return f"repository:{name}:{actions}"
    return CATALOG if request.decoded_path == f"{V2}/_catalog" else ""


def guarded(route: Route) -> Route:
    """Return a row whose failures hide what callers may not know, and say how to log in."""
    return replace(route, handler=_guarded(route.handler))


def _guarded(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return _answer(handler, request)
        except errors.Unauthorized as error:
            raise errors.Unauthorized(challenge_of(request, error), error.public, **error.context) from None

    return answer


def _answer(handler: Callable[[Request], Response], request: Request) -> Response:
    try:
        return handler(request)
    except errors.RegistryError as error:
        name = request.fields.get("repository")
        # a malformed digest is noticed only after the check of the rights, so 400 would tell them apart too
        if error.status in (400, 404) and name is not None:
            caller_of(request).hide_missing(parse_v2_name(name))
        raise


def refused(route: Route) -> Route:
    """Return a row that answers that the registry is for pulling alone."""
    return replace(route, handler=_refuse)


def _refuse(request: Request) -> Response:
    raise errors.Unsupported("This registry is for pulling alone: nothing can be pushed or deleted here")
