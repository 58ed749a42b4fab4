"""The accounts API: profiles, e-mail addresses, and what was granted to applications; its table and handlers (oauth.md 4).

Every endpoint looks, in this order, at who is asking (401; 403 for an account that is not active), at what the access token was granted
(403), at whether the name is known (404) and is the caller's own (403), at whether the account can be changed here (403), and then at
the request itself (400, 403 for a right that only some have, 404 for an unknown address). So whoever is not logged in
learns nothing of names, and an application nothing beyond its scopes.

What users granted they see and revoke by these endpoints too, which the documents do not know: themselves, and no application for
them.

An administrator may do one thing to another's account: say that an address is verified (oauth.md 4.5), with a password of his own and not
through an application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import quote

from .. import errors
from ..accounts.base import Account, NotSupported
from ..accounts.profiles import emails_of, profile_of, shown_time
from ..paths import ACCOUNTS
from ..rights import Bearer, User
from ..wsgi.bodies import SMALL_BODY_BYTES, fields_of_body
from ..wsgi.request import configured
from ..wsgi.responses import NOT_CACHED, Response, error_detail, json_response
from ..wsgi.routing import Api, Route, Table
from .grants import GrantSummary
from .services import Request

#: What these endpoints take: a password, or an access token. A token of a repository says nothing here.
CHALLENGE: Final = 'Basic realm="api", Bearer realm="api"'

#: Longer names are nobody's, in characters.
_LONGEST_NAME: Final = 255


# -- profiles


def get_user(request: Request) -> Response:
    account = _own_account(request, _caller(request, "profile_read"))
    return _profile_response(request, account)


def patch_user(request: Request) -> Response:
    """Change what is given, and answer the whole, whether or not the scopes let it be read (oauth.md 5)."""
    account = _own_account(request, _caller(request, "profile_write"))
    accounts = configured(request.services.accounts)
    accounts.require_changeable(account.user.name)
    return _profile_response(request, accounts.change_profile(account.user.name, _fields(request)))


# -- addresses


def get_emails(request: Request) -> Response:
    account = _own_account(request, _caller(request, "email_read"))
    return json_response([asdict(email) for email in emails_of(account)])


def post_email(request: Request) -> Response:
    caller = _caller(request, "email_write")
    name = _own_account(request, caller).user.name
    _refuse_other_sites(request, caller)
    accounts = configured(request.services.accounts)
    accounts.require_changeable(name)
    return json_response(asdict(accounts.add_email(name, _fields(request).get("email"))), 201)


def patch_email(request: Request) -> Response:
    """Verify an address, which not everybody may, or make it the primary one, or both."""
    caller = _caller(request, "email_write")
    account = _account(request, caller)
    name, is_own = account.user.name, caller.owns(account)
    if not (is_own or caller.is_administrator):
        raise errors.Forbidden(username=caller.user.name)
    accounts = configured(request.services.accounts)
    accounts.require_changeable(name)
    changed = accounts.change_email(name, _fields(request), may_verify=caller.may_verify, may_choose=is_own)
    return json_response(asdict(changed))


def delete_email(request: Request) -> Response:
    """Remove the address of the body, or of the query where the body names none (oauth.md 4.6)."""
    name = _own_account(request, _caller(request, "email_write")).user.name
    accounts = configured(request.services.accounts)
    accounts.require_changeable(name)
    accounts.remove_email(name, _fields(request).get("email", request.query("email")))
    return _gone()


# -- what was granted to applications


def get_grants(request: Request) -> Response:
    name = _own_account(request, _caller(request, None)).user.name
    return json_response(
        [_shown_grant(grant) for grant in configured(request.services.oauth).grants.of_user(name)]
    )


def delete_grant(request: Request) -> Response:
    """Revoke: the application's tokens are no good from then on."""
    name = _own_account(request, _caller(request, None)).user.name
    if not configured(request.services.oauth).grants.revoke(name, request.fields["grant_id"]):
        raise errors.GrantNotFound
    return _gone()


def _shown_grant(grant: GrantSummary) -> dict[str, Any]:
    application = grant.application
    return {
        "id": grant.id,
        "application": {
            "client_id": application.client_id,
            "name": application.name,
            "description": application.description,
        },
        "scopes": list(grant.scopes),
        "granted_at": shown_time(grant.granted_at),
    }


# -- who is asking


@dataclass(frozen=True)
class _Caller:
    """A user, in person or by an application that acts for them."""

    user: User
    bearer: Bearer | None

    @property
    def is_administrator(self) -> bool:
        return self.user.is_administrator and self.bearer is None

    @property
    def may_verify(self) -> bool:
        """Whether the caller may vouch for addresses."""
        return self.is_administrator or (self.bearer is not None and self.bearer.is_trusted)

    def owns(self, account: Account) -> bool:
        return account.user.name == self.user.name


def _caller(request: Request, scope: str | None) -> _Caller:
    """Return who is asking, if an access token has the scope. Of None only users in person are good.

    Unauthorized, InvalidBearer, OAuthError, AccountInactive, TooManyAttempts, Unavailable; InsufficientScope, Forbidden.
    """
    try:
        rights = request.rights
    except errors.InvalidBearer:
        raise
    except errors.Unauthorized:
        raise errors.Unauthorized(CHALLENGE) from None
    if rights.user is None or rights.has_token:
        raise errors.Unauthorized(CHALLENGE)
    bearer = rights.bearer
    if bearer is not None and scope is None:
        raise errors.Forbidden("Only users themselves can do that, no application for them")
    if bearer is not None and scope is not None and scope not in bearer.scopes:
        raise errors.InsufficientScope(scope, client_id=bearer.client_id)
    return _Caller(rights.user, bearer)


def _account(request: Request, caller: _Caller) -> Account:
    """Return the account of the path. AccountNotFound; Forbidden where its backend does not tell who is there."""
    accounts, username = configured(request.services.accounts), request.fields["username"]
    if username == caller.user.name:
        account = accounts.current(caller.user)
    elif len(username) > _LONGEST_NAME:
        account = None
    else:
        try:
            account = accounts.account(username)
        except NotSupported:
            raise errors.Forbidden(username=caller.user.name) from None
    if account is None:
        raise errors.AccountNotFound(username=username[:_LONGEST_NAME])
    return account


def _own_account(request: Request, caller: _Caller) -> Account:
    """Return the account of the path if it is the caller's. AccountNotFound, Forbidden."""
    account = _account(request, caller)
    if not caller.owns(account):
        raise errors.Forbidden(username=caller.user.name)
    return account


def _refuse_other_sites(request: Request, caller: _Caller) -> None:
    """Refuse what a browser sends for a page of another site, with the password or log-in that it remembers. Forbidden.

    Forms of other sites can POST, and nothing else. An access token no browser remembers.
    """
    if caller.bearer is None and request.origin.is_from_other_site:
        raise errors.Forbidden("This comes from a page of another site", username=caller.user.name)


# -- inside


def _fields(request: Request) -> Mapping[str, Any]:
    """Return the fields of the body. BadRequest, BodyTooLarge, and what reading a body raises."""
    body = request.read_body(min(SMALL_BODY_BYTES, request.services.settings.max_document_bytes))
    try:
        return fields_of_body(body, request.environ.get("CONTENT_TYPE"), ("verified", "primary"))
    except ValueError as error:
        raise errors.BadRequest(str(error)) from None


def _gone() -> Response:
    """Return the answer to a deletion, with the length 0 that the document shows (oauth.md 4.6).

    HTTP lets a 204 have none (RFC 9110, 8.6): granian, gunicorn and waitress were seen to take it away, cheroot and uWSGI to leave it.
    """
    return Response(status=204, headerlist=[*NOT_CACHED, ("Content-Length", "0")])


def _profile_response(request: Request, account: Account) -> Response:
    base = request.origin.url
    name = quote(account.user.name, safe="", errors="surrogatepass")
    return json_response(profile_of(account, f"{base}{ACCOUNTS}/users/{name}/"))


# fmt: off
# the rights of repositories say nothing of accounts, so none of the rows needs one
ROUTES = Table(
    #     method    path                                      handler         needs
    Route("GET",    "/api/v1.1/users/{username}[/]",          get_user,       None),
    Route("PATCH",  "/api/v1.1/users/{username}[/]",          patch_user,     None),

    Route("GET",    "/api/v1.1/users/{username}/emails[/]",   get_emails,     None),
    Route("POST",   "/api/v1.1/users/{username}/emails[/]",   post_email,     None),
    Route("PATCH",  "/api/v1.1/users/{username}/emails[/]",   patch_email,    None),
    Route("DELETE", "/api/v1.1/users/{username}/emails[/]",   delete_email,   None),
)

GRANT_ROUTES = Table(
    #     method    path                                      handler         needs
    Route("GET",    "/api/v1.1/users/{username}/grants[/]",   get_grants,     None),
    Route("DELETE", "/api/v1.1/users/{username}/grants/{grant_id}[/]", delete_grant, None),
)
# fmt: on

API = Api("accounts", paths=(f"{ACCOUNTS}/*",), routes=ROUTES, error_response=error_detail)

#: What users granted to applications; a server without OAuth does not have it.
GRANTS_API = Api("grants", paths=API.paths, routes=GRANT_ROUTES, error_response=error_detail)
