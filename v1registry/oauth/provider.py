"""The OAuth 2 provider behind the page of consent and the endpoints (oauth.md 3).

It knows no HTTP. The rules for parameters are in ``rules.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import WARNING
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl, quote, urlencode

from ..access.attempts import LoginLimiter
from ..accounts.base import BackendUnavailable
from ..errors import BadRequest, OAuthError, TooManyAttempts, TooManyClientAttempts
from ..log import audit, get_logger
from ..rights import User
from ..storage.base import StorageUnavailable
from .applications import Application, Applications
from .grants import Grants
from .scopes import SCOPES

log = get_logger(__name__)

#: Tells a client without valid credentials what to send (oauth.md 3.4).
CHALLENGE: Final = 'Basic realm="oauth"'

#: In characters. Longer queries are refused.
_LONGEST_QUERY: Final = 8192

#: The most parameters of a query.
_MOST_PARAMETERS: Final = 100

#: The parameters of an authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3). Others are ignored (RFC 6749,
#: 3.1).
_PARAMETERS: Final = (
    "client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
)  # fmt: skip


@dataclass(frozen=True)
class ClientCredentials:
    """The credentials that an application sent, not yet verified."""

    client_id: str
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class AuthorizationRequest:
    """What an application asks a user for: valid, and not yet decided."""

    application: Application
    redirect_uri: str  #: where the answer is sent; a registered one
    scopes: tuple[str, ...]
    state: str | None  #: is returned as it came
    is_redirect_given: bool  #: the request named the redirect URI itself
    challenge: str | None  #: of PKCE, by S256


class UnsafeAuthorization(BadRequest):
    """The browser cannot be redirected, because the application or its URI is unknown. It gets a page.

    Source: RFC 6749, 4.1.2.1.
    """

    text = "The request of the application cannot be answered"


class AuthorizationRefused(Exception):
    """The request is refused. A redirect of the browser reports that to the application.

    :param location: the target, with ``error``, ``error_description`` and ``state`` added.
    :param code: the ``error``.
    """

    def __init__(self, location: str, code: str):
        super().__init__(code)
        self.location = location
        self.code = code


class Provider:
    """Answers applications. Safe for threads.

    :param limiter: counts wrong secrets of applications, apart from wrong passwords of users.
    :raises StorageUnavailable: from every method that says nothing else.
    :raises BackendUnavailable: from every method that says nothing else.
    """

    def __init__(
        self,
        applications: Applications,
        grants: Grants,
        *,
        limiter: LoginLimiter | None = None,
    ):
        self._applications = applications
        self._grants = grants
        self._limiter = LoginLimiter() if limiter is None else limiter

    # -- the authorize page

    def check_authorization(self, query: str) -> AuthorizationRequest:
        """Return the request in the query of the authorize page (oauth.md 3.1).

        :param query: as it came, still encoded.
        :raises UnsafeAuthorization: the application is unknown, or the redirect URI is not registered.
        :raises AuthorizationRefused: anything else is invalid.
        """
        parameters, repeated = _parsed(query)
        for name in ("client_id", "redirect_uri"):
            if name in repeated:
                raise UnsafeAuthorization(f"{name} is there more than once")
        if "client_id" not in parameters:
            raise UnsafeAuthorization("client_id is missing")
        application = self._applications.get(parameters["client_id"])
        if application is None:
            raise UnsafeAuthorization(
                "The client_id is not the one of an application that is registered here"
            )
        redirect_uri = parameters.get("redirect_uri", application.redirect_uris[0])
        if redirect_uri not in application.redirect_uris:
            raise UnsafeAuthorization("The redirect_uri is not one that the application registered here")
        state = None if "state" in repeated else parameters.get("state")
        if state is not None and not _is_text(state):
            state = None
        try:
            _check_parameters(parameters, repeated)
            from .rules import check_authorization

            scopes = check_authorization(application, parameters)
        except OAuthError as error:
            _refuse(redirect_uri, error.code, error.public, state)
        return AuthorizationRequest(
            application,
            redirect_uri,
            scopes,
            state,
            is_redirect_given="redirect_uri" in parameters,
            challenge=parameters.get("code_challenge"),
        )

    def allow(self, request: AuthorizationRequest, user: User) -> str:
        """Return where to send the browser after the user allowed the request, with a code and the state.

        :raises AuthorizationRefused: the account is deleted or disabled, or has no id, or the storage or the
            backend is unavailable.
        """
        try:
            account = self._grants.account(user.name)
            if account is None or not account.user.is_active:
                text = "The account of the user is deleted or disabled, or has no id"
                _refuse(request.redirect_uri, "access_denied", text, request.state)
            code = self._grants.issue_code(
                request.application,
                account,
                request.scopes,
                redirect_uri=request.redirect_uri,
                is_redirect_given=request.is_redirect_given,
                challenge=request.challenge,
            )
        except (StorageUnavailable, BackendUnavailable) as error:
            log.error("no code could be issued: %s", error)
            _refuse(request.redirect_uri, "temporarily_unavailable", "Try again later", request.state)
        audit(
            "%r granted %s to the application %r",
            user.name,
            " ".join(request.scopes),
            request.application.client_id,
        )
        return _location(request.redirect_uri, {"code": code}, request.state)

    def deny(self, request: AuthorizationRequest) -> str:
        """Return where to send the browser after the user refused the request."""
        answer = {"error": "access_denied", "error_description": "The user did not allow it"}
        return _location(request.redirect_uri, answer, request.state)

    # -- the endpoints for applications

    def authenticate(self, credentials: ClientCredentials | None, address: str) -> Application:
        """Return the authenticated application. A public application has no secret, and is identified only.

        :param address: of the client; empty if unknown.
        :raises OAuthError: ``invalid_client``.
        :raises TooManyClientAttempts: after many wrong secrets.
        """
        if credentials is None:
            raise OAuthError(
                "invalid_client", "The credentials of the application are missing", 401, CHALLENGE
            )
        client_id, secret = credentials.client_id, credentials.secret
        if not secret:
            # no secret is guessed here, so attackers must not be able to delay this
            application = self._applications.authenticated(client_id, None)
        else:
            application = self._authenticated(client_id, secret, address)
        if application is None:
            raise OAuthError(
                "invalid_client", "The application is unknown, or its secret is wrong", 401, CHALLENGE
            )
        return application

    def _authenticated(self, client_id: str, secret: str, address: str) -> Application | None:
        """Return the application of an id and a secret; None if they are wrong.

        :raises TooManyClientAttempts: after many wrong secrets.
        """
        try:
            with self._limiter.attempt(client_id, address) as attempt:
                application = self._applications.authenticated(client_id, secret)
                if application is None:
                    attempt.failed()
                else:
                    attempt.succeeded()
        except TooManyAttempts as error:
            raise TooManyClientAttempts(error.wait_s) from None
        if application is None:
            audit("failed authentication of the application %r", client_id[:255], level=WARNING)
        return application

    def issue_tokens(self, application: Application, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a request for tokens, with its seven keys (oauth.md 3.2, 3.3).

        ``code`` is accepted for ``authorization_code``, because the documents have it in an example.

        :raises OAuthError: with a code of RFC 6749, 5.2.
        """
        if "grant_type" not in parameters:
            raise OAuthError("invalid_request", "grant_type is missing")
        if parameters["grant_type"] == "code":
            parameters = {**parameters, "grant_type": "authorization_code"}
        from .rules import issue_tokens

        return issue_tokens(self._grants, application, parameters)

    def revoke(self, application: Application, parameters: Mapping[str, str]) -> None:
        """End a token. ``token_type_hint`` and unknown tokens are ignored (RFC 7009, 2.2).

        :raises OAuthError: the token is missing, or belongs to a different application.
        """
        self._grants.revoke_token(_token(parameters), application)

    def introspect(self, application: Application, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return what an access token allows (RFC 7662, 2.2).

        A trusted application may ask about every token, other applications about their own. Refresh tokens
        are not active, so that they are not mistaken for access tokens.

        :raises OAuthError: ``invalid_client``: a public application, which is not authenticated, cannot ask.
        """
        if application.is_public:
            raise OAuthError(
                "invalid_client", "A public application cannot introspect tokens", 401, CHALLENGE
            )
        valid = self._grants.valid_token(_token(parameters))
        if valid is None or not valid.account.user.is_active:
            return {"active": False}
        if not application.is_trusted and valid.application.id != application.id:
            return {"active": False}
        return {
            "active": True,
            "client_id": valid.application.client_id,
            "exp": int(valid.expires_at_s),
            "iat": int(valid.issued_at_s),
            "scope": " ".join(valid.scopes),
            "sub": str(valid.account.id),
            "token_type": "Bearer",
            "username": valid.account.user.name,
        }


def metadata(issuer: str) -> dict[str, Any]:
    """Return the metadata of the server (RFC 8414, 2)."""
    methods = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize/",
        "token_endpoint": f"{issuer}/token/",
        "token_endpoint_auth_methods_supported": [*methods, "none"],
        "revocation_endpoint": f"{issuer}/revoke_token/",
        "revocation_endpoint_auth_methods_supported": [*methods, "none"],
        "introspection_endpoint": f"{issuer}/introspect/",
        "introspection_endpoint_auth_methods_supported": methods,
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
    }


def _token(parameters: Mapping[str, str]) -> str:
    if "token" not in parameters:
        raise OAuthError("invalid_request", "token is missing")
    return parameters["token"]


def _parsed(query: str) -> tuple[dict[str, str], set[str]]:
    """Return the known parameters, and the names of repeated ones.

    Empty ones count as absent (RFC 6749, 3.1). Bytes that are not UTF-8 become lone surrogates.

    :raises UnsafeAuthorization: the query is too long, not ASCII, or has too many parameters.
    """
    if len(query) > _LONGEST_QUERY or not query.isascii():
        raise UnsafeAuthorization("The query of the address is too long, or not ASCII")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise UnsafeAuthorization("The query of the address has too many parameters") from None
    known = [(name, value) for name, value in pairs if name in _PARAMETERS]
    repeated = {name for name, count in Counter(name for name, _ in known).items() if count > 1}
    return {name: value for name, value in known if value}, repeated


def _check_parameters(parameters: Mapping[str, str], repeated: set[str]) -> None:
    """Check that no parameter is repeated, and that all are text.

    :raises OAuthError: ``invalid_request``.
    """
    for name in sorted(repeated):
        raise OAuthError("invalid_request", f"{name} is there more than once")
    for name, value in parameters.items():
        if not _is_text(value):
            raise OAuthError("invalid_request", f"{name} is not UTF-8")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeError:
        return False
    return True


def _refuse(redirect_uri: str, code: str, text: str, state: str | None) -> NoReturn:
    raise AuthorizationRefused(
        _location(redirect_uri, {"error": code, "error_description": text}, state), code
    )


def _location(redirect_uri: str, answer: Mapping[str, str], state: str | None) -> str:
    """Return a redirect URI with parameters added. Its own query stays as it is (RFC 6749, 3.1.2)."""
    parameters = dict(answer) if state is None else {**answer, "state": state}
    if "?" not in redirect_uri:
        separator = "?"
    else:
        separator = "" if redirect_uri.endswith(("?", "&")) else "&"
    return f"{redirect_uri}{separator}{urlencode(parameters, quote_via=quote)}"
