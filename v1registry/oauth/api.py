"""The OAuth 2 endpoints for applications: table and handlers (oauth.md 3.2 to 3.6).

The page on which users consent is in ``web/consent.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final
from urllib.parse import unquote_plus

from .. import errors
from ..access.credentials import Basic, parse_authorization
from ..paths import OAUTH, OAUTH_METADATA
from ..wsgi.bodies import SMALL_BODY_BYTES, fields_of_body
from ..wsgi.documents import dump_json
from ..wsgi.request import configured
from ..wsgi.responses import Response, error_detail, json_response, respond
from ..wsgi.routing import Api, Route, Table
from .applications import Application
from .provider import CHALLENGE, ClientCredentials, metadata
from .services import Request

#: The documents name form parameters, and show JSON (oauth.md 3.2).
_BODY_TYPES: Final = ("application/x-www-form-urlencoded", "application/json")

#: RFC 6749, 5.1.
_NOT_STORED: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


def post_token(request: Request) -> Response:
    """Return tokens for a code or a refresh token."""
    parameters = _parameters(request)
    application = _application(request, parameters)
    return _answer(configured(request.services.oauth).provider.issue_tokens(application, parameters))


def post_revoke_token(request: Request) -> Response:
    """End a token (RFC 7009). The answer is 200 without a body, also for an unknown token."""
    parameters = _parameters(request)
    application = _application(request, parameters)
    configured(request.services.oauth).provider.revoke(application, parameters)
    return respond(200, b"", None, _NOT_STORED)


def post_introspect(request: Request) -> Response:
    """Return what an access token allows (RFC 7662)."""
    parameters = _parameters(request)
    application = _application(request, parameters)
    return _answer(configured(request.services.oauth).provider.introspect(application, parameters))


def get_metadata(request: Request) -> Response:
    """Return the URLs of the endpoints and what they support (RFC 8414)."""
    url = request.origin.url
    return json_response(metadata(f"{url}{OAUTH}"))


def require_https(request: Request) -> None:
    """Check that the request came over https, or that a setting allows http (RFC 6749, 1.6).

    :raises OAuthError: ``invalid_request``.
    """
    settings = request.services.settings
    if settings.oauth_http == "allow":
        return
    if not request.origin.is_secure:
        raise errors.OAuthError(
            "invalid_request",
            "OAuth needs https, and this request came over http. Reach the server by https; behind a proxy "
            "that does, set public_url to the https address, or trusted_proxies to the address of the proxy "
            "that sends X-Forwarded-Proto",
        )


# -- inside


def _over_https(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Return a handler that refuses plain http."""

    @wraps(handler)
    def handle(request: Request) -> Response:
        require_https(request)
        return handler(request)

    return handle


def _answer(document: Mapping[str, Any]) -> Response:
    return respond(200, dump_json(document), "application/json;charset=UTF-8", _NOT_STORED)


def _application(request: Request, parameters: Mapping[str, str]) -> Application:
    """Return the authenticated application.

    :raises OAuthError: ``invalid_client``.
    :raises TooManyClientAttempts: after many wrong secrets.
    """
    address = request.origin.client_address
    return configured(request.services.oauth).provider.authenticate(
        client_credentials(request.headers.get("Authorization"), parameters), address
    )


def client_credentials(authorization: str | None, parameters: Mapping[str, str]) -> ClientCredentials | None:
    """Return the credentials that an application sent, None if there are none.

    Name and secret are form-encoded inside Basic (RFC 6749, 2.3.1). Without a header, those of the body are
    used.

    :raises OAuthError: ``invalid_client``: the header is not Basic, or malformed.

    >>> client_credentials("Basic Y2ktYm90OnMlMkRj", {"client_id": "other"})
    ClientCredentials(client_id='ci-bot')
    """
    if authorization is None or not authorization.strip():
        if "client_id" not in parameters:
            return None
        return ClientCredentials(parameters["client_id"], parameters.get("client_secret"))
    credentials = parse_authorization(authorization)
    if not isinstance(credentials, Basic):
        raise errors.OAuthError(
            "invalid_client", "Authorization must be Basic with client_id and secret", 401, CHALLENGE
        )
    return ClientCredentials(unquote_plus(credentials.username), unquote_plus(credentials.password))


def _parameters(request: Request) -> dict[str, str]:
    """Return the parameters in the body of a request.

    :raises OAuthError: ``invalid_request``.
    """
    if request.environ.get("QUERY_STRING"):
        # URLs are logged by proxies, with the secrets in them
        raise errors.OAuthError("invalid_request", "Parameters must be in the body, not in the URL")
    try:
        body = request.read_body(SMALL_BODY_BYTES)
    except errors.RegistryError as error:
        raise errors.OAuthError("invalid_request", error.public, error.status) from error
    return parse_parameters(request.environ.get("CONTENT_TYPE", ""), body)


def parse_parameters(content_type: str, body: bytes) -> dict[str, str]:
    """Return the parameters of a form or of a JSON object. Empty ones count as absent (RFC 6749, 3.2).

    :raises OAuthError: ``invalid_request``: a different format, or a repeated parameter.

    >>> parse_parameters("application/json", b'{"grant_type": "code", "code": "x"}')
    {'grant_type': 'code', 'code': 'x'}
    """
    if content_type.partition(";")[0].strip().lower() not in _BODY_TYPES:
        raise errors.OAuthError("invalid_request", f"Content-Type must be {' or '.join(_BODY_TYPES)}")
    try:
        fields = fields_of_body(body, content_type)
        for name, value in fields.items():
            if not isinstance(value, str):
                raise ValueError("Each field must be text")
            # lone surrogates are not text
            (name + value).encode()
    except UnicodeError:
        raise errors.OAuthError("invalid_request", "Each field must be text") from None
    except ValueError as error:
        raise errors.OAuthError("invalid_request", str(error)) from None
    return {name: value for name, value in fields.items() if value}


# fmt: off
ROUTES = Table(
    #     method  path                                                  handler                         needs
    Route("POST", f"{OAUTH}/token[/]",                                  _over_https(post_token),        None),
    Route("POST", f"{OAUTH}/revoke_token[/]",                           _over_https(post_revoke_token), None),
    Route("POST", f"{OAUTH}/introspect[/]",                             _over_https(post_introspect),   None,
          changes=False),
    Route("GET",  f"{OAUTH}/.well-known/oauth-authorization-server[/]", _over_https(get_metadata),      None),
    Route("GET",  f"{OAUTH_METADATA}[/]",                               _over_https(get_metadata),      None),
)
# fmt: on

API = Api(
    "oauth",
    paths=(f"{OAUTH}/*", f"{OAUTH_METADATA}[/]"),
    routes=ROUTES,
    error_response=error_detail,
)
