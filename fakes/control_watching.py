"""Handlers of the control API that show what clients asked, and what the fake contains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import parse_qsl

from v1registry.errors import BadRequest
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, json_response, no_content

from .control_services import ControlServices, refusals
from .control_views import shown_request

if TYPE_CHECKING:
    from .recorded_request import ApiName

ControlRequest: TypeAlias = Request[ControlServices]

_REQUEST_KEYS: Final = ("method", "path", "route", "user", "api", "status")


def list_requests(request: ControlRequest) -> Response:
    """List the requests of clients; ?method=, path=, route=, user=, api= and status= select some."""
    values = _parameters(request, _REQUEST_KEYS)
    with refusals():
        found = request.services.fake.requests.matching(
            values.get("method"),
            values.get("path"),
            _whole_number(values, "status"),
            route=values.get("route"),
            user=values.get("user"),
            api=cast("ApiName | None", values.get("api")),
        )
    return json_response([shown_request(each) for each in found])


def clear_requests(request: ControlRequest) -> Response:
    """Forget the requests so far."""
    request.services.fake.requests.clear()
    return no_content()


def list_contents(request: ControlRequest) -> Response:
    """List the repositories with their tags, and all images and manifests."""
    fake = request.services.fake
    return json_response(
        {
            "repositories": {name: fake.all_tags(name) for name in fake.repositories},
            "images": {image.id: {"is_complete": image.is_complete} for image in fake.images.values()},
            "manifests": {
                manifest.digest: {"media_type": manifest.media_type} for manifest in fake.manifests.values()
            },
        }
    )


def _parameters(request: ControlRequest, known: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of the query.

    :raises BadRequest: a parameter is unknown, or is there twice.
    """
    query = request.environ.get("QUERY_STRING", "")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError as error:
        raise BadRequest(f"The query is invalid: {error}") from None
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in known:
            raise BadRequest(f"The query must have {', '.join(known)} only, not {name[:40]!r}")
        if name in values:
            raise BadRequest(f"The query must have {name} once")
        values[name] = value
    return values


def _whole_number(values: dict[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number; None if it is not there.

    :raises BadRequest: the parameter is not a whole number of at most 9 digits.
    """
    text = values.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise BadRequest(f"{name} must be a whole number of at most 9 digits, not {text[:40]!r}")
    return int(text)
