"""The OAuth 2 provider: what the authorize page and the endpoints ask (oauth.md 3). Plain Python; the rules are in ``rules.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl, quote, urlencode

from ..access.attempts import LoginLimiter
from ..accounts.base import BackendUnavailable
from ..errors import BadRequest, OAuthError, TooManyClientAttempts
from ..log import get_logger
from ..rights import User
from ..storage.base import StorageUnavailable
from .applications import Application, Applications
from .grants import Grants
from .scopes import SCOPES

log = get_logger(__name__)

#: What a client that did not prove who it is is told to send (oauth.md 3.4).
CHALLENGE: Final = 'Basic realm="oauth"'

#: Longer queries are nobody's, in characters.
_LONGEST_QUERY: Final = 8192

#: How many parameters a query may have.
_MOST_PARAMETERS: Final = 100

#: What the authorize page reads (RFC 6749, 4.1.1; RFC 7636, 4.3). Others are ignored (RFC 6749, 3.1).
_PARAMETERS: Final = (
    "client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
)  # fmt: skip


@dataclass(frozen=True)
class ClientCredentials:
    """What an application said of itself; nothing of it is believed."""

    client_id: str
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class AuthorizationRequest:
    """What an application asks a user for: checked, and not yet decided."""

    application: Application
    redirect_uri: str  #: where the answer goes; registered
    scopes: tuple[str, ...]
    state: str | None  #: to be returned as it came
    is_redirect_given: bool  #: the request named the redirect URI itself
    challenge: str | None  #: of PKCE, by S256


class UnsafeAuthorization(BadRequest):
    """The browser cannot be sent back: nobody knows whose request it is. It gets a page (RFC 6749, 4.1.2.1)."""

    text = "The request of the application cannot be answered"


class AuthorizationRefused(Exception):
    """The request is refused, and the application is told: by a redirect of the browser.

    :param location: where to, with ``error``, ``error_description`` and ``state`` added.
    :param code: the ``error``.
    """

    def __init__(self, location: str, code: str):
        super().__init__(code)
        self.location = location
        self.code = code


class Provider:
    """Answers applications. Safe for threads.

    StorageUnavailable and BackendUnavailable from every method that says nothing else.

    :param limiter: of failed proofs of applications; one of its own, because names of applications are no names of users.
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
        """Return what the query of the authorize page asks for (oauth.md 3.1).

        :param query: as it came, still encoded.
        :raises UnsafeAuthorization: nobody knows where an answer might go: an unknown application, or an unregistered
            redirect URI. A page tells the user.
        :raises AuthorizationRefused: everything else that is wrong.
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
        """Return where the browser goes after the user allowed the request: the redirect URI with a code and the state.

        :raises AuthorizationRefused: the account is deleted or disabled, or its backend gives it no id, or nothing can
            be stored now.
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
        log.info("%r granted %s to %r", user.name, " ".join(request.scopes), request.application.client_id)
        return _location(request.redirect_uri, {"code": code}, request.state)

    def deny(self, request: AuthorizationRequest) -> str:
        """Return where the browser goes after the user refused."""
        answer = {"error": "access_denied", "error_description": "The user did not allow it"}
        return _location(request.redirect_uri, answer, request.state)

    # -- the endpoints for applications

    def authenticate(self, credentials: ClientCredentials | None, address: str) -> Application:
        """Return the application that proved who it is; a public one only says so. OAuthError ``invalid_client``.

        TooManyClientAttempts after many wrong secrets.

        :param address: from which the request comes, empty where that is not known.
        """
        if credentials is None:
            raise OAuthError("invalid_client", "The application has to say who it is", 401, CHALLENGE)
        client_id, secret = credentials.client_id, credentials.secret
        if not secret:
            # nothing is guessed here, and nobody is to be kept waiting by those who guess
            application = self._applications.authenticated(client_id, None)
        else:
            wait_s = self._limiter.wait_s(client_id, address)
            if wait_s > 0:
                raise TooManyClientAttempts(wait_s)
            application = self._applications.authenticated(client_id, secret)
            note = self._limiter.failed if application is None else self._limiter.succeeded
            note(client_id, address)
        if application is None:
            raise OAuthError(
                "invalid_client", "There is no such application, or its secret is another one", 401, CHALLENGE
            )
        return application

    def issue_tokens(self, application: Application, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a request for tokens, with its seven keys (oauth.md 3.2, 3.3). OAuthError.

        The documents' example has ``code`` for ``authorization_code``.
        """
        if "grant_type" not in parameters:
            raise OAuthError("invalid_request", "grant_type is missing")
        if parameters["grant_type"] == "code":
            parameters = {**parameters, "grant_type": "authorization_code"}
        from .rules import issue_tokens

        return issue_tokens(self._grants, application, parameters)

    def revoke(self, application: Application, parameters: Mapping[str, str]) -> None:
        """End a token, whatever its ``token_type_hint`` says; one that is no good is no error (RFC 7009, 2.2). OAuthError."""
        self._grants.revoke_token(_token(parameters), application)

    def introspect(self, application: Application, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return what an access token is good for (RFC 7662, 2.2). OAuthError.

        A trusted application may ask about all, another one about its own, a public one, which proves nothing, about none.
        Refresh tokens are not active: nobody is to take one for an access token.
        """
        if application.is_public:
            raise OAuthError("invalid_client", "A public application cannot ask that", 401, CHALLENGE)
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
    """Return what a client has to know of the server (RFC 8414, 2)."""
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
    """Return the parameters that count, and the names of those that are repeated. UnsafeAuthorization.

    An empty one counts as absent (RFC 6749, 3.1). Bytes that are not UTF-8 become lone surrogates.
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
    """OAuthError for parameters that are repeated, or no text."""
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
    """Return a redirect URI with parameters added; the query that it has stays as it is (RFC 6749, 3.1.2)."""
    parameters = dict(answer) if state is None else {**answer, "state": state}
    if "?" not in redirect_uri:
        separator = "?"
    else:
        separator = "" if redirect_uri.endswith(("?", "&")) else "&"
    return f"{redirect_uri}{separator}{urlencode(parameters, quote_via=quote)}"
