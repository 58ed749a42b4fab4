"""What RFC 6749 and RFC 7636 say of requests, by oauthlib. The only module that knows it, imported with the first request.

oauthlib reads every parameter of a request into one namespace, with names of its own among them (``user``, ``scopes``); so it is
given nothing but the parameters that are named here, each once, and none that is empty. It also writes refresh tokens and new tokens
into its log; so it never sees one, only that one is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from oauthlib.common import Request
from oauthlib.oauth2 import (
    AuthorizationCodeGrant,
    OAuth2Error,
    RefreshTokenGrant,
    RequestValidator,
    TokenEndpoint,
)
from oauthlib.oauth2.rfc6749.errors import (
    InvalidRequestError,
    InvalidScopeError,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)
from oauthlib.oauth2.rfc6749.tokens import TokenBase

from ..errors import OAuthError
from .applications import Application
from .grants import Grants, Issued
from .records import Grant
from .scopes import DEFAULT_SCOPES, SCOPES, parse_scope

#: RFC 6749, 4.1.3 and 6; RFC 7636, 4.5. Who asks is known already.
_TOKEN_PARAMETERS: Final = ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope")

#: What oauthlib is told of without its value. A code_verifier it checks itself, and does not log.
_SECRET_PARAMETERS: Final = frozenset({"code", "refresh_token"})

#: RFC 7636, 4.2: the base64url of a SHA-256.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: RFC 7636, 4.1.
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")

#: oauthlib looks at nothing but the parameters; our own check of https is done before.
_ANY_URL: Final = "https://localhost/"


def check_authorization(application: Application, parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Return the scopes for which an application asks. OAuthError with a code of RFC 6749, 4.1.2.1.

    :param parameters: nothing but those of RFC 6749, 4.1.1, and RFC 7636, 4.3; application and redirect URI belong together.
    """
    rules = _Authorization(application)
    grant = AuthorizationCodeGrant(rules, pre_auth=[_check_challenge])
    request = Request(f"{_ANY_URL}?{urlencode(_normal(parameters))}")
    try:
        scopes, _ = grant.validate_authorization_request(request)
    except OAuth2Error as error:
        _tell(error.error or "invalid_request", error.description, error.status_code)
    return tuple(scopes)


def issue_tokens(grants: Grants, application: Application, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer to a request for tokens of an authenticated application (oauth.md 3.2). OAuthError."""
    rules = _Tokens(grants, application, parameters)
    issuer = _Issuer(rules)
    by_code = AuthorizationCodeGrant(rules, pre_token=[_check_verifier])
    endpoint = TokenEndpoint(
        default_grant_type="authorization_code",
        default_token_type=issuer,  # type: ignore[arg-type]  # typeshed takes it for a name
        grant_types={"authorization_code": by_code, "refresh_token": RefreshTokenGrant(rules)},
    )
    known = {name: parameters[name] for name in _TOKEN_PARAMETERS if name in parameters}
    hidden = dict.fromkeys(_SECRET_PARAMETERS & known.keys(), "-")
    body = urlencode(_normal({**known, **hidden}))
    try:
        _, answer, status = endpoint.create_token_response(_ANY_URL, body=body)
    except OAuth2Error as error:
        _tell(error.error or "invalid_request", error.description, error.status_code)
    if issuer.issued is None:
        problem: dict[str, str] = json.loads(answer)
        _tell(problem["error"], problem.get("error_description"), status)
    return _document(issuer.issued)


class _Authorization(RequestValidator):
    """What an application may ask for."""

    def __init__(self, application: Application):
        super().__init__()
        self._application = application

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = self._application
        return client_id == self._application.client_id

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return redirect_uri in self._application.redirect_uris

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> str:
        return self._application.redirect_uris[0]

    def validate_response_type(
        self, client_id: str, response_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        if response_type != "code":
            raise UnsupportedResponseTypeError(
                "The only response_type that is taken here is code", request=request
            )
        return True

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return self._application.is_public

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return [scope for scope in DEFAULT_SCOPES if scope in self._application.scopes]

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        request.scopes = list(dict.fromkeys(scopes))
        if not scopes or not set(scopes) <= SCOPES.keys():
            raise InvalidScopeError(f"The scopes are {', '.join(SCOPES)}", request=request)
        if not set(scopes) <= set(self._application.scopes):
            raise InvalidScopeError("This application may not ask for that scope", request=request)
        return True


class _Tokens(RequestValidator):
    """What the code or the refresh token of a request is worth in the hands of an authenticated application."""

    def __init__(self, grants: Grants, application: Application, parameters: Mapping[str, str]):
        super().__init__()
        self._grants = grants
        self._application = application
        self._code = parameters.get("code", "")
        self._verifier = parameters.get("code_verifier")
        self._refresh_token = parameters.get("refresh_token", "")

    def issue(self, request: Any) -> Issued:
        """Use the code or refresh token of a valid request. OAuthError: of many at once, one gets tokens."""
        if request.grant_type == "refresh_token":
            return self._grants.refresh(self._refresh_token, self._application, tuple(request.scopes))
        return self._grants.redeem(self._code, self._application, self._verifier)

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        return True

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = self._application
        return True

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        if grant_type not in ("authorization_code", "refresh_token"):
            raise UnsupportedGrantTypeError(request=request)
        return True

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:  # fmt: skip
        grant = self._grants.of_code(self._code, self._application, self._verifier)
        request.user, request.scopes = grant, list(grant.scopes)
        return True

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return self._application.is_public

    # oauthlib asks for None where there is no challenge, and its stub knows only str
    def get_code_challenge(self, code: str, request: Any) -> str | None:  # type: ignore[override]
        grant: Grant = request.user
        if grant.code.challenge is None and request.code_verifier is not None:
            # else a code that an attacker asked for without a challenge could be slipped in (RFC 9700, 2.1.1)
            raise OAuthError(
                "invalid_grant", "There is a code_verifier, but the code was asked for without a challenge"
            )
        return grant.code.challenge

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return "S256"

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> str:
        grant: Grant = request.user
        return grant.code.redirect_uri

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:  # fmt: skip
        grant: Grant = request.user
        if request.using_default_redirect_uri and grant.code.is_redirect_given:
            raise OAuthError("invalid_grant", "The redirect_uri with which the code was asked for is missing")
        if redirect_uri != grant.code.redirect_uri:
            raise OAuthError(
                "invalid_grant", "The redirect_uri is not the one with which the code was asked for"
            )
        return True

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        request.user = self._grants.of_refresh_token(self._refresh_token, self._application)
        return True

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        grant: Grant = request.user
        return list(grant.scopes)

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: what issued the token stored it."""

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: that happened in one step with the issue of the tokens."""


class _Issuer(TokenBase):
    """Issues the tokens for a valid request."""

    __slots__ = ("_rules", "issued")

    def __init__(self, rules: _Tokens):
        self._rules = rules
        self.issued: Issued | None = None

    def create_token(self, request: Any, refresh_token: bool = False) -> dict[str, Any]:
        """Issue tokens, and tell oauthlib nothing of them. OAuthError."""
        self.issued = self._rules.issue(request)
        return {}


def _document(issued: Issued) -> dict[str, Any]:
    """Return the answer of the token endpoint, with its seven keys (oauth.md 3.2)."""
    return {
        "username": issued.account.user.name,
        "user_id": issued.account.id,
        "access_token": issued.access_token,
        "expires_in": issued.expires_in_s,
        "token_type": "Bearer",
        "scope": " ".join(issued.scopes),
        "refresh_token": issued.refresh_token,
    }


def _check_challenge(request: Any) -> dict[str, Any]:
    """Refuse a challenge that is none, and the method ``plain``, which hides nothing."""
    challenge, method = request.code_challenge, request.code_challenge_method
    if method is not None and challenge is None:
        raise InvalidRequestError(
            "There is a code_challenge_method without a code_challenge", request=request
        )
    if challenge is not None and method != "S256":
        raise InvalidRequestError(
            "The only code_challenge_method that is taken here is S256", request=request
        )
    if challenge is not None and not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequestError("A code_challenge of S256 has 43 characters of base64url", request=request)
    return {}


def _check_verifier(request: Any) -> None:
    verifier = request.code_verifier
    if verifier is not None and not _VERIFIER.fullmatch(verifier):
        raise InvalidRequestError(
            "A code_verifier has 43 to 128 letters, digits, - . _ and ~", request=request
        )


def _normal(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters with single blanks between scopes, and no empty scope: oauthlib parts at other white space too."""
    scope = " ".join(parse_scope(parameters.get("scope", "")))
    others = {name: value for name, value in parameters.items() if name != "scope"}
    return {**others, "scope": scope} if scope else others


#: What is told where oauthlib has no text.
_TEXTS: Final[Mapping[str, str]] = {
    "unsupported_grant_type": "The grant_types that are taken here are authorization_code and refresh_token",
    "invalid_grant": "The code_verifier does not fit the code_challenge",
    "invalid_scope": "The scope is wider than what was granted",
}


def _tell(code: str, text: str | None, status: int) -> NoReturn:
    # texts of oauthlib name a parameter or nothing; none holds what the client sent
    raise OAuthError(code, text or _TEXTS.get(code, "The request is not one that is taken here"), status)
