"""The user endpoints of the Docker Hub (Index) API v1: the routing table and the handlers (hub.md 2)."""

from __future__ import annotations

from typing import Any

from .. import errors
from ..access.account_rights import CHALLENGE
from ..access.credentials import Basic, parse_authorization
from ..paths import V1
from ..rights import User
from ..wsgi.bodies import SMALL_BODY_BYTES
from ..wsgi.documents import parse_json
from ..wsgi.request import configured
from ..wsgi.responses import Response, error_string, json_response, no_content
from ..wsgi.routing import Api, Route, Table
from .services import Request

# -- users: a server without accounts accepts everything (decisions.md 15)


def get_users(request: Request) -> Response:
    """Check a login. The right password of an inactive account mails its link again."""
    if not request.services.access.has_accounts:
        return json_response("OK")
    try:
        caller = _caller(request)
    except errors.AccountInactive:
        credentials = parse_authorization(request.headers.get("Authorization"))
        if isinstance(credentials, Basic):
            configured(request.services.accounts).logged_in_inactive(credentials.username)
        raise
    if caller is None:
        raise errors.Unauthorized(CHALLENGE)
    return json_response("OK")


def post_users(request: Request) -> Response:
    """Register. Credentials of the request are ignored."""
    fields = _json_body(request)
    if request.services.access.has_accounts:
        configured(request.services.accounts).register(fields, request.origin.client_address)
    return json_response("User Created", 201)


def put_user(request: Request) -> Response:
    """Add an address to an account, or replace its password."""
    if request.services.access.has_accounts:
        accounts, username = configured(request.services.accounts), request.fields["username"]
        caller = _caller(request)
        if caller is None:
            raise errors.Unauthorized(CHALLENGE)
        accounts.require_change(caller, username)
        accounts.change(username, _json_body(request))
    return no_content()


# -- inside


def _caller(request: Request) -> User | None:
    """Return the user who logged in; None without a login. A token is no login.

    :raises RegistryError: what ``request.rights`` raises for invalid credentials.
    """
    rights = request.rights
    return rights.user if rights.is_login else None


def _json_body(request: Request) -> Any:
    body = request.read_body(min(SMALL_BODY_BYTES, request.services.settings.max_document_bytes))
    try:
        return parse_json(body)
    except ValueError:
        raise errors.UndecodableJson from None


# fmt: off
ROUTES = Table(
    #     method    path                         handler     needs
    Route("GET",    "/v1/users[/]",              get_users,  None),
    # the model refuses it if read_only is on: the log-in of an engine begins with it
    Route("POST",   "/v1/users[/]",              post_users, None, changes=False),
    Route("PUT",    "/v1/users/{username}[/]",   put_user,   None),
)
# fmt: on

API = Api(
    "users",
    paths=(f"{V1}/users", f"{V1}/users/*"),
    routes=ROUTES,
    error_response=error_string,
)
