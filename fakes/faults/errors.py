"""The errors that a fault lets the registry raise: for each status that of the API itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from v1registry import errors
from v1registry.distribution.challenges import challenge_of
from v1registry.oauth.accounts_api import CHALLENGE as ACCOUNTS_CHALLENGE
from v1registry.oauth.provider import CHALLENGE as OAUTH_CHALLENGE
from v1registry.paths import OAUTH
from v1registry.wsgi.request import Request

from ..recording.recorded_request import ApiName

#: A code of the distribution API or of OAuth, in place of a text.
_CODE: Final = re.compile(r"[A-Z]+(?:_[A-Z]+)*|[a-z]+(?:_[a-z]+)+")

#: The challenges of the Registry API and the Hub API, without and with accounts (decisions.md 2).
_TOKEN: Final = "Token"  # noqa: S105  a scheme, not a secret
_BASIC_OR_TOKEN: Final = 'Basic realm="auth required",Token'  # noqa: S105

#: The codes of OAuth for a status (RFC 6749, 5.2).
_OAUTH_CODES: Final[Mapping[int, str]] = {400: "invalid_request", 401: "invalid_client"}

#: The words of a route -> what is missing, or exists already.
_MISSING: Final[Mapping[tuple[ApiName, str], Callable[[], errors.RegistryError]]] = {
    ("v2", "manifest"): errors.ManifestUnknown,
    ("v2", "upload"): errors.UploadUnknown,
    ("v2", "blob"): errors.BlobUnknown,
    ("v2", ""): errors.NameUnknown,
    ("v1", "tags"): errors.RepositoryNotFound,
    ("v1", "tag"): lambda: errors.NotFound("Tag not found"),
    ("v1", "repository"): errors.RepositoryNotFound,
    ("v1", "properties"): errors.RepositoryNotFound,
    ("v1", "json"): errors.ImageNotFound,
    ("v1", "layer"): errors.ImageNotFound,
    ("v1", "checksum"): errors.ImageNotFound,
    ("v1", "ancestry"): errors.ImageNotFound,
    ("v1", "files"): errors.ImageNotFound,
    ("v1", "diff"): errors.ImageNotFound,
    ("hub", "images"): errors.ImageListNotFound,
    ("hub", "repository"): errors.RepositoryNotFound,
}

#: The errors for a status that do not depend on the path.
_ANYWHERE: Final[Mapping[int, Callable[[], errors.RegistryError]]] = {
    400: errors.BadRequest,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    500: errors.RegistryError,
    503: errors.Unavailable,
    507: errors.OutOfSpace,
}


class FaultError(errors.RegistryError):
    """A failure with any status and text."""

    def __init__(self, status: int, public: str, headers: Mapping[str, str]):
        super().__init__(public)
        self.status = status  # type: ignore[misc]  # of the instance, not of the class
        self._headers = headers

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers


class DistributionFaultError(errors.DistributionError):
    """A failure of the distribution API with any status, code and text."""

    def __init__(self, status: int, code: str, public: str, headers: Mapping[str, str]):
        super().__init__(public)
        self.status = status  # type: ignore[misc]  # of the instance, not of the class
        self.code = code  # type: ignore[misc]
        self._headers = headers

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers


def error_of(
    status: int, error: str | None, request: Request[Any], api: ApiName | None, route: str | None
) -> errors.RegistryError:
    """Return the error of a status, as the API of the request would raise it.

    :param error: the text of the answer, or a code such as ``MANIFEST_UNKNOWN`` or ``invalid_grant`` in APIs
        that have codes. None leaves both to the API.
    """
    found = _error_without_text(status, request, api, route)
    if error is None:
        return found
    is_code = _CODE.fullmatch(error) is not None
    if api == "oauth" and is_code and error.islower():
        return errors.OAuthError(error, found.public, status, found.headers.get("WWW-Authenticate"))
    if api == "oauth" and isinstance(found, errors.OAuthError):
        return errors.OAuthError(found.code, error, status, found.challenge)
    if api == "v2" and is_code and error.isupper():
        return DistributionFaultError(status, error, found.public, found.headers)
    if isinstance(found, errors.DistributionError):
        return DistributionFaultError(status, found.code, error, found.headers)
    return FaultError(status, error, found.headers)


def _error_without_text(
    status: int, request: Request[Any], api: ApiName | None, route: str | None
) -> errors.RegistryError:
    if status == 401:
        return _unauthorized(request, api)
    if api == "oauth" and status in _OAUTH_CODES and _is_oauth(request):
        return errors.OAuthError(_OAUTH_CODES[status], "A fault of the test rejects the request", status)
    if status == 404 and api is not None:
        return _not_found(api, route or "")
    if status == 403 and api == "v2":
        return errors.Denied()
    if status == 409 and api == "v1":
        return errors.ImageExists()
    if status in _ANYWHERE:
        return _ANYWHERE[status]()
    return FaultError(status, _phrase(status), {})


def _unauthorized(request: Request[Any], api: ApiName | None) -> errors.RegistryError:
    if api == "v2":
        return errors.Unauthorized(challenge_of(request, errors.Unauthorized("")))
    if api == "oauth" and _is_oauth(request):
        return errors.OAuthError(
            "invalid_client", "The application is unknown, or its secret is wrong", 401, OAUTH_CHALLENGE
        )
    if api == "oauth":
        return errors.Unauthorized(ACCOUNTS_CHALLENGE)
    return errors.Unauthorized(_BASIC_OR_TOKEN if request.services.access.has_accounts else _TOKEN)


def _not_found(api: ApiName, route: str) -> errors.RegistryError:
    words = route.split("_")
    for (of_api, word), missing in _MISSING.items():
        if of_api == api and (not word or word in words):
            return missing()
    return errors.NotFound()


def _is_oauth(request: Request[Any]) -> bool:
    path: str = request.environ.get("PATH_INFO", "")
    return path.startswith(f"{OAUTH}/")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "A fault of the test rejects the request"
