"""The user endpoints of the Docker Hub (Index) API v1, and the pages behind mailed links: tables and handlers (hub.md 2, 8)."""

from __future__ import annotations

from typing import Any, Final

from .. import errors
from ..auth.access import Access
from ..auth.base import User
from ..auth.credentials import Basic, parse_authorization
from ..http import Request, Response, json_response, no_content, parse_json, respond
from ..routing import Route, Table
from ..settings import Settings
from .accounts import Accounts
from .confirmations import Confirmations
from .rights import CHALLENGE, AccountRights

#: Nobody needs credentials to send these bodies, so they may not be as large as others, in bytes.
_LARGEST_BODY: Final = 64 << 10


# -- users: a server without accounts plays along with everything (decisions.md 15)


def get_users(request: Request) -> Response:
    """Check a login. Who comes with the right password of an inactive account may get another mail."""
    if not request.service(Access).has_accounts:
        return json_response("OK")
    try:
        caller = _caller(request)
    except errors.AccountInactive:
        credentials = parse_authorization(request.header("Authorization"))
        if isinstance(credentials, Basic):
            request.service(Accounts).logged_in_inactive(credentials.username)
        raise
    if caller is None:
        raise errors.Unauthorized(CHALLENGE)
    return json_response("OK")


def post_users(request: Request) -> Response:
    """Register. There are no credentials, and those that come are not looked at."""
    fields = _json_body(request)
    if request.service(Access).has_accounts:
        request.service(Accounts).register(fields)
    return json_response("User Created", 201)


def put_user(request: Request) -> Response:
    if request.service(Access).has_accounts:
        accounts, username = request.service(Accounts), request.fields["username"]
        accounts.require_change(_caller(request), username)
        accounts.change(username, _json_body(request))
    return no_content()


# -- links in mails: mail scanners follow them with GET, so GET changes nothing and people press a button


def get_link(request: Request) -> Response:
    is_good = request.service(Confirmations).is_good(request.fields["token"])
    return _page(_ASKING) if is_good else _page(_REFUSED, 404)


def post_link(request: Request) -> Response:
    request.read_body(_LARGEST_BODY)
    is_done = request.service(Confirmations).follow(request.fields["token"])
    return _page(_DONE) if is_done else _page(_REFUSED, 404)


#: Nothing of a request stands in a page, and its form goes to the address at which it was shown.
_HTML: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""
_ASKING: Final = _HTML.format(
    title="Confirm your address",
    content='<form method="post"><button type="submit">Confirm</button></form>',
).encode()
_DONE: Final = _HTML.format(
    title="Your address is confirmed", content="<p>The account is active. You can log in.</p>"
).encode()
_REFUSED: Final = _HTML.format(
    title="This link does not work",
    content=(
        "<p>It was used already, it is too old, or it was cut short on its way. "
        "Log in to an account that waits for its activation, and you get another one.</p>"
    ),
).encode()

_PAGE_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    # the address holds the token
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex"),
)


def _page(page: bytes, status: int = 200) -> Response:
    return respond(status, page, "text/html; charset=utf-8", _PAGE_HEADERS)


# -- inside


def _caller(request: Request) -> User | None:
    """Return who logged in, None for nobody: a token of whatever kind is no login. What :attr:`Request.rights` raises."""
    rights = request.rights
    return rights.user if isinstance(rights, AccountRights) and rights.is_login else None


def _json_body(request: Request) -> Any:
    body = request.read_body(min(_LARGEST_BODY, request.service(Settings).max_document_bytes))
    try:
        return parse_json(body)
    except ValueError:
        raise errors.UndecodableJson from None


# fmt: off
ROUTES = Table(
    #     method    path                         handler     needs
    Route("GET",    "/v1/users[/]",              get_users,  None),
    Route("POST",   "/v1/users[/]",              post_users, None),
    Route("PUT",    "/v1/users/{username}[/]",   put_user,   None),
)


def link_routes(path: str) -> Table:
    """Return the rows of the links below a path, of two segments at least, that a setting names."""
    return Table(
        Route("GET",    f"{path}/{{token}}",     get_link,   None),
        Route("POST",   f"{path}/{{token}}",     post_link,  None),
    )
# fmt: on
