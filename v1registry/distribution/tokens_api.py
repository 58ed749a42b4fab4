"""``GET /v2/``, and the tokens of the distribution API (distribution.md 3)."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Final
from urllib.parse import parse_qs

from .. import errors
from ..access.distribution_logins import Login
from ..paths import V2
from ..wsgi.documents import dump_json
from ..wsgi.responses import Response, json_response, respond
from ..wsgi.routing import Route
from .callers import caller_of
from .scopes import parse_scopes, scope_text
from .services import Request

#: The challenge of the token endpoint.
_CHALLENGE: Final = 'Basic realm="auth required"'

#: Caches must not keep tokens (RFC 6749, 5.1).
_NOT_STORED: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))

#: The longest form and query, in bytes, and the most fields in them.
_LONGEST_FORM: Final = 64 << 10
_MOST_FIELDS: Final = 100


def version_check(request: Request) -> Response:
    """Answer an empty object, on a server with accounts only to callers with credentials.

    :raises Unauthorized: there are accounts, and the credentials are missing or wrong.
    """
    caller_of(request).require_login()
    return json_response({})


def get_token(request: Request) -> Response:
    """Answer a token for the user of the request, or for an anonymous caller.

    There is no refresh token: docker would keep it in place of the password, and send v1 an empty password.

    :raises Unauthorized: the credentials are wrong.
    """
    fields = _fields(request.environ.get("QUERY_STRING", ""))
    return _token_response(request, _login(request), fields)


def post_token(request: Request) -> Response:
    """Answer a token for a password or a refresh token in a form.

    :raises Unauthorized: they are wrong.
    :raises BadRequest: a field is missing.
    """
    body = request.read_body(_LONGEST_FORM)
    fields = _fields(body.decode("utf-8", "replace"))
    is_offline = _first(fields, "access_type") == "offline"
    grant_type = _first(fields, "grant_type")
    if grant_type == "refresh_token":
        refresh_token = _required(fields, "refresh_token")
        login = _login_of_refresh(request, refresh_token)
    elif grant_type == "password":
        username, password = _required(fields, "username"), _required(fields, "password")
        encoded = base64.b64encode(f"{username}:{password}".encode("utf-8", "surrogatepass"))
        login = _login(request, f"Basic {encoded.decode('ascii')}")
        refresh_token = request.services.logins.issue_refresh(login, request.origin.host) or ""
    else:
        raise errors.BadRequest("grant_type must be password or refresh_token")
    return _token_response(request, login, fields, refresh_token if is_offline else "")


def _login(request: Request, authorization: str | None = None) -> Login:
    """Return the caller.

    :param authorization: replaces the header of that name.
    :raises Unauthorized: the credentials are wrong, or are a token of this endpoint, which gives no new ones.
    """
    given = request.headers.get("Authorization") if authorization is None else authorization
    try:
        login = request.services.logins.login(given, request.environ, lambda: request.origin.host)
    except errors.Unauthorized as error:
        raise errors.Unauthorized(_CHALLENGE, error.public) from None
    if login.token is not None:
        raise errors.Unauthorized(_CHALLENGE, "A token is not accepted here: log in with the password")
    request.use_rights(login.rights)
    return login


def _login_of_refresh(request: Request, refresh_token: str) -> Login:
    try:
        login = request.services.logins.login_of_refresh(refresh_token, request.origin.host)
    except errors.Unauthorized:
        raise errors.Unauthorized(_CHALLENGE, "The refresh token is not valid: log in again") from None
    request.use_rights(login.rights)
    return login


def _token_response(
    request: Request, login: Login, fields: dict[str, list[str]], refresh_token: str = ""
) -> Response:
    asked = parse_scopes(fields.get("scope", []))
    token, scope, issued_at_s, lifetime_s = request.services.logins.issue(login, asked, request.origin.host)
    document = {
        "token": token,
        "access_token": token,
        "scope": scope_text(scope),
        "expires_in": lifetime_s,
        "issued_at": datetime.fromtimestamp(issued_at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **({"refresh_token": refresh_token} if refresh_token else {}),
    }
    return respond(200, dump_json(document), "application/json", _NOT_STORED)


def _fields(text: str) -> dict[str, list[str]]:
    """Return the fields of a form or a query: name -> values. Invalid bytes become U+FFFD.

    :raises BadRequest: there are too many, or the text is too long.
    """
    try:
        if len(text) > _LONGEST_FORM:
            raise ValueError("the text is too long")
        return parse_qs(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise errors.BadRequest(
            f"At most {_MOST_FIELDS} fields in {_LONGEST_FORM} bytes are accepted"
        ) from None


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0]


def _required(fields: dict[str, list[str]], name: str) -> str:
    value = _first(fields, name)
    if not value:
        raise errors.BadRequest(f"The form must have the field {name}")
    return value


VERSION_ROUTE: Final = Route("GET", f"{V2}[/]", version_check, None, name="ping")

#: Their failures have a challenge of their own.
ROUTES: Final = (
    Route("GET", f"{V2}/token", get_token, None),
    Route("POST", f"{V2}/token", post_token, None, changes=False),
)
