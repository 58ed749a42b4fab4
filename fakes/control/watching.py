"""Handlers of the control API that show what clients asked, and what the fake contains."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from v1registry.errors import BadRequest, NotFound
from v1registry.wsgi.request import Request
from v1registry.wsgi.responses import Response, json_response, no_content

from ..recording.expectations import RequestExpectations
from .services import ControlServices, parameters, refusals, whole_number
from .views import shown_request

ControlRequest: TypeAlias = Request[ControlServices]

_PATTERN: Final = ("method", "path", "route", "user", "api", "status")

#: The longest wait for a request, in seconds. A waiting request occupies a thread of the process.
_MOST_WAIT_S: Final = 60


def list_requests(request: ControlRequest) -> Response:
    """List the requests of clients; ?method=, path=, route=, user=, api= and status= select some.

    ``wait_s`` waits until ``count`` of them are finished. ``bodies=1`` shows the bodies too.

    :raises NotFound: the requests did not come in time; the text says what came nearest.
    :raises BadRequest: a parameter is invalid.
    """
    return requests_of(request.services.fake, request)


def requests_of(fake: RequestExpectations, request: ControlRequest) -> Response:
    """List the requests of clients of a fake.

    :raises NotFound: the requests did not come in time; the text says what came nearest.
    :raises BadRequest: a parameter is invalid.
    """
    values = parameters(request, (*_PATTERN, "wait_s", "count", "bodies"))
    with_bodies = values.get("bodies", "0")
    if with_bodies not in ("0", "1"):
        raise BadRequest(f"bodies must be 0 or 1, not {with_bodies[:40]!r}")
    wait_s, count = whole_number(values, "wait_s"), whole_number(values, "count")
    if (wait_s or 0) > _MOST_WAIT_S:
        raise BadRequest(f"wait_s must be at most {_MOST_WAIT_S}, not {wait_s}")
    if count is not None and wait_s is None:
        raise BadRequest("count is for wait_s: give both, or neither")
    pattern: dict[str, Any] = {name: values.get(name) for name in _PATTERN if name != "status"}
    pattern["status"] = whole_number(values, "status")
    with refusals():
        if wait_s is not None:
            try:
                fake.wait_for_request(**pattern, count=1 if count is None else count, timeout_s=float(wait_s))
            except AssertionError as error:
                raise NotFound(str(error)) from None
        found = fake.requests.matching(**pattern)
    return json_response([shown_request(each, with_bodies=with_bodies == "1") for each in found])


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
