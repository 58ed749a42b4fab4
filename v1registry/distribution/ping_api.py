"""``/v2/`` without the distribution API (clients.md 8, decisions.md 8a).

``GET /v2/`` checks logins. Everything below it is 404. ``Docker-Distribution-API-Version`` is never sent, so
engines up to 17.05 fall back to v1.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .. import errors
from ..names import RepositoryName, check_tag
from ..paths import V2
from ..wsgi.request import Request
from ..wsgi.responses import Response, error_text, json_response
from ..wsgi.routing import Route
from ..wsgi.user_agents import docker_version
from .answers import v2_error

#: Clients of ``/v2/`` send a password only for ``Basic``, and do not know tokens of v1.
CHALLENGE: Final = 'Basic realm="auth required"'

#: The first engine without v1. A JSON object below ``/v2/`` keeps some earlier ones from falling back.
_FIRST_WITHOUT_V1: Final = (17, 12)

_MANIFEST = re.compile(rf"{V2}/(.+)/manifests/([^/]+)")


def ping(request: Request[Any]) -> Response:
    """Answer an empty object, on a server with accounts only to users who log in.

    Today's ``docker login`` and ``podman login`` check passwords here. A failure counts like any other.

    :raises Unauthorized: there are accounts, and the credentials are missing or wrong.
    """
    if request.services.access.has_accounts and not _is_login(request):
        raise errors.Unauthorized(CHALLENGE)
    return json_response({})


def _is_login(request: Request[Any]) -> bool:
    try:
        return request.rights.is_login
    except errors.Unauthorized:
        return False


def error_response(request: Request[Any], error: errors.RegistryError) -> Response:
    """Return plain text to engines that can fall back to v1, and the v2 error form to all other clients."""
    version = docker_version(request.headers.get("User-Agent"))
    if version is not None and version < _FIRST_WITHOUT_V1:
        return error_text(error)
    message = _how_to_pull(request) if isinstance(error, errors.PathNotFound) else error.public
    return v2_error(error, "UNSUPPORTED" if error.status == 404 else None, message)


def _how_to_pull(request: Request[Any]) -> str:
    """Return a sentence that tells users of today's engines how to get an image of this registry.

    It names the image of the request if the request names one, whether or not the image exists.
    """
    name, mounted_at = _reference(request.decoded_path), request.origin.mount_path
    try:
        host = request.origin.host
    except errors.BadRequest:
        host, name = "HOST", _PLACEHOLDER
    if mounted_at:
        return (
            f"This registry speaks the Docker Registry API v1, below {host}{mounted_at}/v1/, and not v2; "
            "clients reach it if a host of its own leads there"
        )
    return (
        "This registry speaks the Docker Registry API v1 and not v2; pull with: "
        f"v1registry pull {host}/{name} -o image.tar && docker load -i image.tar"
    )


_PLACEHOLDER: Final = "NAME:TAG"


def _reference(path: str) -> str:
    """Return the name and tag that a path below ``/v2/`` asks for, else a placeholder.

    Users paste the sentence into a shell, so it may contain only names of the grammar.
    """
    found = _MANIFEST.fullmatch(path)
    if found is None:
        return _PLACEHOLDER
    try:
        return f"{RepositoryName.parse(found[1]).checked().short}:{check_tag(found[2])}"
    except (errors.InvalidRepositoryName, errors.InvalidTagName):
        return _PLACEHOLDER


ROUTES: Final = (Route("GET", "/v2[/]", ping, None),)
