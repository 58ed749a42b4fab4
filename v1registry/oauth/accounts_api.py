"""The accounts API: profiles, e-mail addresses and grants; its tables and handlers (oauth.md 4).

Every endpoint checks, in this order:

1. the caller (401; 403 for an inactive account),
2. the scopes of an access token (403),
3. the name in the path: known (404), and the caller's (403),
4. whether the account can be changed here (403),
5. the request (400; 403 for a missing right; 404 for an unknown address).

So a client without credentials learns no names, and an application learns nothing beyond its scopes.

The endpoints of grants are ours. Users see and revoke their grants themselves; no application may do it for
them.

An administrator may do one thing with accounts of other users: verify an address (oauth.md 4.5). That needs
the password of the administrator; an application cannot do it.
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

#: These endpoints accept a password, or an access token if there is OAuth, but no repository token.
CHALLENGE: Final = 'Basic realm="api", Bearer realm="api"'
_CHALLENGE_WITHOUT_OAUTH: Final = 'Basic realm="api"'

#: In characters. Longer names are unknown.
_LONGEST_NAME: Final = 255


# -- profiles


def get_user(request: Request) -> Response:
    """Return the profile."""
    account = _own_account(request, _caller(request, "profile_read"))
    return _profile_response(request, account)


def patch_user(request: Request) -> Response:
    """Change the given fields. Return the profile even without the scope to read it (oauth.md 5)."""
    account = _own_account(request, _caller(request, "profile_write"))
    accounts = configured(request.services.accounts)
    accounts.require_changeable(account.user.name)
    return _profile_response(request, accounts.change_profile(account.user.name, _fields(request)))


# -- addresses


def get_emails(request: Request) -> Response:
    """Return the addresses, the primary one first."""
    account = _own_account(request, _caller(request, "email_read"))
    return json_response([asdict(email) for email in emails_of(account)])


def post_email(request: Request) -> Response:
    """Add an unconfirmed address."""
    caller = _caller(request, "email_write")
    name = _own_account(request, caller).user.name
    _refuse_other_sites(request, caller)
    accounts = configured(request.services.accounts)
    accounts.require_changeable(name)
    return json_response(asdict(accounts.add_email(name, _fields(request).get("email"))), 201)


def patch_email(request: Request) -> Response:
    """Verify an address, which needs a right, or make it the primary one, or both."""
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
    """Remove the address of the body, or of the query if the body names none (oauth.md 4.6)."""
    name = _own_account(request, _caller(request, "email_write")).user.name
    accounts = configured(request.services.accounts)
    accounts.require_changeable(name)
    accounts.remove_email(name, _fields(request).get("email", request.query("email")))
    return _gone()


# -- grants


def get_grants(request: Request) -> Response:
    """Return the valid grants, the newest first."""
    name = _own_account(request, _caller(request, None)).user.name
    return json_response(
        [_shown_grant(grant) for grant in configured(request.services.oauth).grants.of_user(name)]
    )


def delete_grant(request: Request) -> Response:
    """End a grant. Its tokens are invalid from now on."""
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


# -- the caller


@dataclass(frozen=True)
class _Caller:
    """A user, or an application that acts for a user."""

    user: User
    bearer: Bearer | None

    @property
    def is_administrator(self) -> bool:
        return self.user.is_administrator and self.bearer is None

    @property
    def may_verify(self) -> bool:
        """Whether the caller may verify addresses."""
        return self.is_administrator or (self.bearer is not None and self.bearer.is_trusted)

    def owns(self, account: Account) -> bool:
        return account.user.name == self.user.name


def _caller(request: Request, scope: str | None) -> _Caller:
    """Return the caller.

    :param scope: which an access token must have; None if only users themselves are allowed.
    :raises Unauthorized: no credentials that are accepted here, or wrong ones.
    :raises InvalidBearer: the access token is invalid.
    :raises InsufficientScope: the access token does not have the scope.
    :raises Forbidden: only users themselves are allowed.
    """
    challenge = _CHALLENGE_WITHOUT_OAUTH if request.services.oauth is None else CHALLENGE
    try:
        rights = request.rights
    except errors.InvalidBearer:
        raise
    except errors.Unauthorized:
        raise errors.Unauthorized(challenge) from None
    if rights.user is None or rights.has_token:
        raise errors.Unauthorized(challenge)
    bearer = rights.bearer
    if bearer is not None and scope is None:
        raise errors.Forbidden("Only users themselves can do that, no application for them")
    if bearer is not None and scope is not None and scope not in bearer.scopes:
        raise errors.InsufficientScope(scope, client_id=bearer.client_id)
    return _Caller(rights.user, bearer)


def _account(request: Request, caller: _Caller) -> Account:
    """Return the account of the path.

    :raises AccountNotFound: the name is unknown.
    :raises Forbidden: the backend cannot look up other users.
    """
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
    """Return the account of the path, which must be the caller's.

    :raises AccountNotFound: the name is unknown.
    :raises Forbidden: it is the account of a different user.
    """
    account = _account(request, caller)
    if not caller.owns(account):
        raise errors.Forbidden(username=caller.user.name)
    return account


def _refuse_other_sites(request: Request, caller: _Caller) -> None:
    """Refuse requests that a browser sends for a page of another site, with credentials that it remembers.

    Forms of other sites can send POST only. Browsers do not remember access tokens.

    :raises Forbidden: the request comes from another site.
    """
    if caller.bearer is None and request.origin.is_from_other_site:
        raise errors.Forbidden("This comes from a page of another site", username=caller.user.name)


# -- inside


def _fields(request: Request) -> Mapping[str, Any]:
    """Return the fields of the body.

    :raises BadRequest: the body is not JSON and not a form.
    :raises BodyTooLarge: the body is larger than the limit.
    """
    body = request.read_body(min(SMALL_BODY_BYTES, request.services.settings.max_document_bytes))
    try:
        return fields_of_body(body, request.environ.get("CONTENT_TYPE"), ("verified", "primary"))
    except ValueError as error:
        raise errors.BadRequest(str(error)) from None


def _gone() -> Response:
    """Return the answer to a deletion, with the length 0 that the document shows (oauth.md 4.6).

    HTTP does not require a length of a 204 (RFC 9110, 8.6): gunicorn, granian and waitress remove it, cheroot
    and uWSGI keep it.
    """
    return Response(status=204, headerlist=[*NOT_CACHED, ("Content-Length", "0")])


def _profile_response(request: Request, account: Account) -> Response:
    base = request.origin.url
    name = quote(account.user.name, safe="", errors="surrogatepass")
    return json_response(profile_of(account, f"{base}{ACCOUNTS}/users/{name}/"))


# fmt: off
# rights of repositories do not apply to accounts, so no row needs one
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
