"""The rules of RFC 6749 and RFC 7636 for requests, by oauthlib.

The only module that imports oauthlib. It is imported with the first request.

oauthlib reads all parameters of a request into one namespace with names of its own, such as ``user`` and
``scopes``. So it gets only the parameters that are named here, each at most once and never empty. It also
logs refresh tokens and codes, so it gets ``-`` in place of their values. Tokens are issued by
:class:`~v1registry.oauth.grants.Grants` and not by oauthlib.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from oauthlib.common import Request
from oauthlib.oauth2 import AuthorizationCodeGrant, OAuth2Error, RefreshTokenGrant, RequestValidator
from oauthlib.oauth2.rfc6749.errors import (
    InvalidRequestError,
    InvalidScopeError,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)

from ..errors import OAuthError
from .applications import Application
from .grants import Grants, Issued
from .records import Grant
from .scopes import DEFAULT_SCOPES, SCOPES, parse_scope

#: RFC 6749, 4.1.3 and 6; RFC 7636, 4.5. The client is authenticated before.
_TOKEN_PARAMETERS: Final = ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope")

#: oauthlib does not get the values of these. It verifies a code_verifier itself, and does not log it.
_SECRET_PARAMETERS: Final = frozenset({"code", "refresh_token"})

#: RFC 7636, 4.2: the base64url of a SHA-256.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: RFC 7636, 4.1.
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")

#: oauthlib uses nothing but the parameters; https is required elsewhere.
_ANY_URL: Final = "https://localhost/"


def check_authorization(application: Application, parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Return the scopes for which an application asks.

    :param parameters: only those of RFC 6749, 4.1.1, and RFC 7636, 4.3; the redirect URI belongs to the
        application.
    :raises OAuthError: with a code of RFC 6749, 4.1.2.1.
    """
    rules = _AuthorizationRules(application)
    grant = AuthorizationCodeGrant(rules, pre_auth=[_check_challenge])
    request = Request(f"{_ANY_URL}?{urlencode(_normal(parameters))}")
    try:
        scopes, _ = grant.validate_authorization_request(request)
    except OAuth2Error as error:
        _tell(error.error or "invalid_request", error.description, error.status_code)
    return tuple(scopes)


def issue_tokens(grants: Grants, application: Application, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer to a request for tokens of an authenticated application (oauth.md 3.2).

    :raises OAuthError: with a code of RFC 6749, 5.2.
    """
    rules = _TokenRules(grants, application, parameters)
    known = {name: parameters[name] for name in _TOKEN_PARAMETERS if name in parameters}
    hidden = dict.fromkeys(_SECRET_PARAMETERS & known.keys(), "-")
    request = Request(_ANY_URL, "POST", urlencode(_normal({**known, **hidden})))
    is_refresh = parameters.get("grant_type") == "refresh_token"
    by_code = AuthorizationCodeGrant(rules, pre_token=[_check_verifier])
    try:
        (RefreshTokenGrant(rules) if is_refresh else by_code).validate_token_request(request)
    except OAuth2Error as error:
        _tell(error.error or "invalid_request", error.description, error.status_code)
    if is_refresh:
        return _document(
            grants.refresh(parameters["refresh_token"], application, tuple(request.scopes or ()))
        )
    return _document(grants.redeem(parameters["code"], application, parameters.get("code_verifier")))


class _AuthorizationRules(RequestValidator):
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
            raise UnsupportedResponseTypeError("The only supported response_type is code", request=request)
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


class _TokenRules(RequestValidator):
    """Whether an authenticated application may use the code or the refresh token of a request."""

    def __init__(self, grants: Grants, application: Application, parameters: Mapping[str, str]):
        super().__init__()
        self._grants = grants
        self._application = application
        self._code = parameters.get("code", "")
        self._verifier = parameters.get("code_verifier")
        self._refresh_token = parameters.get("refresh_token", "")

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = self._application
        return True

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        # oauthlib takes "openid" for a name of authorization_code
        if grant_type not in ("authorization_code", "refresh_token"):
            raise UnsupportedGrantTypeError(request=request)
        return True

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        grant = self._grants.of_code(self._code, self._application, self._verifier)
        request.user, request.scopes = grant, list(grant.scopes)
        return True

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return self._application.is_public

    # oauthlib expects None if there is no challenge; the stub has only str
    def get_code_challenge(self, code: str, request: Any) -> str | None:  # type: ignore[override]
        grant: Grant = request.user
        if grant.code.challenge is None and request.code_verifier is not None:
            # an attacker could inject a code that was requested without a challenge (RFC 9700, 2.1.1)
            raise OAuthError(
                "invalid_grant", "There is a code_verifier, but the code was requested without a challenge"
            )
        return grant.code.challenge

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return "S256"

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> str:
        grant: Grant = request.user
        return grant.code.redirect_uri

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Any,
        request: Any,
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        grant: Grant = request.user
        if request.using_default_redirect_uri and grant.code.is_redirect_given:
            raise OAuthError("invalid_grant", "The redirect_uri with which the code was requested is missing")
        if redirect_uri != grant.code.redirect_uri:
            raise OAuthError(
                "invalid_grant", "The redirect_uri is not the one with which the code was requested"
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
    """Check the challenge of PKCE. The method ``plain`` is refused, because it hides nothing.

    :raises InvalidRequestError: the challenge or its method is invalid.
    """
    challenge, method = request.code_challenge, request.code_challenge_method
    if method is not None and challenge is None:
        raise InvalidRequestError(
            "There is a code_challenge_method without a code_challenge", request=request
        )
    if challenge is not None and method != "S256":
        raise InvalidRequestError("The only supported code_challenge_method is S256", request=request)
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
    """Return the parameters with single blanks between scopes. oauthlib also splits at other space."""
    scope = " ".join(parse_scope(parameters.get("scope", "")))
    others = {name: value for name, value in parameters.items() if name != "scope"}
    return {**others, "scope": scope} if scope else others


#: Texts for codes that oauthlib raises without one.
_TEXTS: Final[Mapping[str, str]] = {
    "unsupported_grant_type": "The supported grant_types are authorization_code and refresh_token",
    "invalid_grant": "The code_verifier does not fit the code_challenge",
    "invalid_scope": "The scope is wider than what was granted",
}


def _tell(code: str, text: str | None, status: int) -> NoReturn:
    # texts of oauthlib contain names of parameters, and nothing that the client sent
    raise OAuthError(code, text or _TEXTS.get(code, "The request is invalid"), status)
