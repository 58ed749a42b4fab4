"""Endpoints of blobs (distribution.md 1: end-2 and end-10)."""

from __future__ import annotations

from typing import Final

from .. import errors
from ..log import audit
from ..names import Digest, parse_v2_name
from ..rights import Action
from ..storage.base import Blob, KeyNotFound, Stat
from ..storage.memory import MemoryBlob
from ..wsgi.immutable import stream_response
from ..wsgi.responses import Response, respond
from ..wsgi.routing import Route
from . import layout
from .answers import EMPTY_TYPE
from .blobs import SMALL_BYTES
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
    if sha256 is None:
        raise _unknown(digest)
    key = layout.blob_key(sha256)
    # a client that pushes asks by HEAD what is stored
    kept = blobs.kept(sha256) if request.method != "HEAD" else None
    stat = blobs.stat(sha256) if kept is None else Stat(key, len(kept), sha256, 0)
    if stat is None:
        raise _unknown(digest)

    def open_blob(start: int, stop: int) -> Blob:
        try:
            if stat.size > SMALL_BYTES or not blobs.is_far:
                return blobs.open(sha256, start, stop)
            return MemoryBlob(blobs.read_to_send(sha256), stat, start, stop)
        except KeyNotFound:
            # it was removed meanwhile
            raise _unknown(digest) from None

    etag, is_public = f'"{digest}"', caller.rights.is_open
    # nothing has to be asked for bytes that are in memory
    sent_key = key if kept is None else ""
    response = stream_response(request, open_blob, stat.size, etag, is_public, sent_key)
    response.headers["Docker-Content-Digest"] = str(digest)
    return response


def delete_blob(request: Request) -> Response:
    """Let the repository contain a blob no more. Other repositories keep it.

    :raises Unsupported: deletion is off, or a manifest of the repository needs the blob.
    :raises NameUnknown: the repository does not exist, or the user may not read it.
    :raises BlobUnknown: the repository does not contain the blob.
    :raises DigestInvalid: the digest is malformed.
    :raises DeletionBusy: other deletions of the client take too long.
    """
    repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
    caller.require(Action.DELETE, repository)
    if not request.services.settings.v2_delete:
        raise errors.Unsupported("Deletion is off on this registry")
    digest, services = Digest.parse(request.fields["digest"]), request.services.distribution
    place = Place.of(caller.rights, repository)
    sha256 = services.blobs.contains(place, digest)
    if sha256 is None:
        raise _unknown(digest)
    with services.deletions.turn(request.client):
        if services.manifests.needs_blob(place, sha256):
            raise errors.Unsupported("A manifest of the repository needs the blob; delete the manifest first")
        services.blobs.unmark(place, sha256)
    audit("deleted blob sha256:%s of repository %r", sha256, str(repository))
    return respond(202, b"", EMPTY_TYPE)


def _unknown(digest: Digest) -> errors.BlobUnknown:
    return errors.BlobUnknown(detail={"digest": str(digest)})


# fmt: off
ROUTES: Final = (
    #     method    path                                 handler      needs
    Route("GET",    "/v2/{repository}/blobs/{digest}",   get_blob,    None),
    Route("DELETE", "/v2/{repository}/blobs/{digest}",   delete_blob, None),
)
# fmt: on
