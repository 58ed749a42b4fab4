"""Endpoints of blobs (distribution.md 1: end-2)."""

from __future__ import annotations

from typing import Final

from .. import errors
from ..names import Digest, parse_v2_name
from ..rights import Action
from ..wsgi.immutable import stream_response
from ..wsgi.responses import Response
from ..wsgi.routing import Route
from .callers import caller_of
from .places import Place
from .services import Request


def get_blob(request: Request) -> Response:
    """Stream a blob that the repository contains, or a range of it.

    :raises BlobUnknown: the repository does not contain it, whether or not another one does.
    :raises DigestInvalid: the digest is malformed.
    """
    repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
    caller.require(Action.READ, repository)
    digest, blobs = Digest.parse(request.fields["digest"]), request.services.distribution.blobs
    sha256 = blobs.contains(Place.of(caller.rights, repository), digest)
    stat = None if sha256 is None else blobs.stat(sha256)
    if sha256 is None or stat is None:
        raise errors.BlobUnknown(detail={"digest": str(digest)})
    response = stream_response(
        request,
        lambda start, stop: blobs.open(sha256, start, stop),
        stat.size,
        f'"{digest}"',
        caller.rights.is_open,
    )
    response.headers["Docker-Content-Digest"] = str(digest)
    return response


# fmt: off
ROUTES: Final = (
    #     method    path                                 handler      needs
    Route("GET",    "/v2/{repository}/blobs/{digest}",   get_blob,    None),
)
