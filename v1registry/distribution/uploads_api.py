"""Endpoints of uploads (distribution.md 1: end-4a, 4b, 5, 6, 11 and 13)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from .. import errors
from ..names import Digest, RepositoryName, is_v2_name, parse_v2_name
from ..rights import Action
from ..wsgi.responses import NOT_CACHED, Response, respond
from ..wsgi.routing import Route
from .answers import EMPTY_TYPE
from .callers import caller_of
from .places import Place
from .services import Request
from .uploads import OutOfOrder, Upload

#: The form of the header in uploads: without a unit (OCI distribution-spec 1.1, "Pushing a blob in chunks").
_CONTENT_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


def post_upload(request: Request) -> Response:
    """Begin an upload, take a whole blob at once, or mount a blob of another repository.

    :raises DigestInvalid: a digest is malformed, or is not that of the body.
    """
    repository = _writable(request)
    rights, services = caller_of(request).rights, request.services
    place = Place.begin(rights, services.holding, repository)
    mounted = request.query("mount")
    if mounted is not None:
        digest = Digest.parse(mounted)
        if _mount(request, place, digest):
            return _created(request, digest)
    uploads = services.distribution.uploads
    announced = request.query("digest")
    digest_of_body = None if announced is None or mounted is not None else Digest.parse(announced)
    upload = uploads.begin(place, rights.push_key().owner)
    if digest_of_body is None:
        return _accepted(request, upload)
    upload = _append(request, upload, is_partial_kept=False)
    return _finish(request, place, upload, digest_of_body)


def _mount(request: Request, place: Place, digest: Digest) -> bool:
    """Let the repository contain a blob of another one, if the caller may read that; tell whether it does."""
    source = request.query("from") or ""
    if not is_v2_name(source):
        return False
    caller, other, blobs = caller_of(request), parse_v2_name(source), request.services.distribution.blobs
    if not caller.allows(Action.READ, other):
        return False
    sha256 = blobs.contains(Place.of(caller.rights, other), digest)
    if sha256 is None or blobs.stat(sha256) is None:
        return False
    if place.is_open:
        # a mark of its own: one that is there may be taken back by an upload
        blobs.mark_while(place, sha256, lambda: True)
    else:
        blobs.mark(place, sha256)
        _check(request, place)
    keeper = blobs.keeping.now()
    return keeper is None or blobs.keep(keeper, place, sha256)


def get_upload(request: Request) -> Response:
    """Tell how many bytes of an upload have arrived.

    :raises UploadUnknown: there is no such upload.
    """
    _, upload = _found(request)
    return respond(204, b"", None, _headers(request, upload))


def patch_upload(request: Request) -> Response:
    """Add bytes to an upload.

    :raises UploadUnknown: there is no such upload.
    :raises RangeInvalid: the bytes do not begin where the upload goes on.
    :raises BrokenUpload: the body broke off. What arrived is kept.
    """
    _, upload = _found(request)
    return _accepted(request, _append(request, upload, is_partial_kept=True))


def put_upload(request: Request) -> Response:
    """Finish an upload, with or without a last part.

    :raises UploadUnknown: there is no such upload.
    :raises DigestInvalid: the digest is missing, malformed or wrong. After a wrong one the upload is gone.
    :raises RangeInvalid: the last part does not begin where the upload goes on.
    """
    place, upload = _found(request)
    digest = Digest.parse(request.query("digest") or "")
    upload = _append(request, upload, is_partial_kept=False)
    return _finish(request, place, upload, digest)


def delete_upload(request: Request) -> Response:
    """Remove an upload.

    :raises UploadUnknown: there is no such upload.
    """
    _, upload = _found(request)
    request.services.distribution.uploads.cancel(upload)
    return respond(204, b"", None)


# -- inside


def _writable(request: Request) -> RepositoryName:
    repository = parse_v2_name(request.fields["repository"])
    caller_of(request).require(Action.WRITE, repository)
    return repository


def _found(request: Request) -> tuple[Place, Upload]:
    repository, rights = _writable(request), caller_of(request).rights
    place, owner = Place.of(rights, repository), rights.push_key().owner
    return place, request.services.distribution.uploads.find(place, request.fields["upload_id"], owner)


def _append(request: Request, upload: Upload, *, is_partial_kept: bool) -> Upload:
    body = request.upload
    start, size = _content_range(request)
    chunks: Iterable[bytes] = body
    if size is not None:
        if body.size is not None and body.size != size:
            raise errors.SizeInvalid
        chunks = _exactly(body, size)
    uploads = request.services.distribution.uploads
    try:
        return uploads.append(
            upload,
            chunks,
            start=start,
            announced=body.size if size is None else size,
            is_partial_kept=is_partial_kept,
        )
    except OutOfOrder:
        place = Place.of(caller_of(request).rights, parse_v2_name(request.fields["repository"]))
        now = uploads.find(place, upload.id, upload.key.owner)
        raise errors.RangeInvalid(_location(request, now), _received(now)) from None


def _content_range(request: Request) -> tuple[int | None, int | None]:
    """Return the offset and the length that a request names; None for each that it does not name.

    :raises UploadInvalid: the header is malformed.
    """
    text = request.headers.get("Content-Range")
    if text is None:
        return None, None
    found = _CONTENT_RANGE.fullmatch(text.strip())
    if found is None or int(found[2]) < int(found[1]):
        raise errors.UploadInvalid(detail={"Content-Range": text[:80]})
    return int(found[1]), int(found[2]) - int(found[1]) + 1


def _exactly(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the chunks of a body of a length that the client named.

    :raises SizeInvalid: it is shorter or longer.
    """
    received = 0
    for chunk in chunks:
        received += len(chunk)
        if received > size:
            raise errors.SizeInvalid
        yield chunk
    if received < size:
        raise errors.SizeInvalid


def _finish(request: Request, place: Place, upload: Upload, digest: Digest) -> Response:
    request.services.distribution.uploads.finish(upload, place, digest)
    _check(request, place)
    return _created(request, digest)


def _check(request: Request, place: Place) -> None:
    """Check that the repository was not deleted meanwhile.

    :raises NameUnknown: it was.
    """
    if not request.services.holding.check(place.repository, place.incarnation):
        raise errors.NameUnknown


def _location(request: Request, upload: Upload) -> str:
    name = request.fields["repository"]
    return f"{request.origin.mount_path}/v2/{name}/blobs/uploads/{upload.id}"


def _received(upload: Upload) -> str:
    """Return the value of ``Range``. Without bytes it is ``0-0``, as with one byte (distribution.md 1)."""
    return f"0-{max(upload.size - 1, 0)}"


def _headers(request: Request, upload: Upload) -> list[tuple[str, str]]:
    return [
        *NOT_CACHED,
        ("Location", _location(request, upload)),
        ("Range", _received(upload)),
        ("Docker-Upload-UUID", upload.id),
    ]


def _accepted(request: Request, upload: Upload) -> Response:
    return respond(202, b"", EMPTY_TYPE, _headers(request, upload))


def _created(request: Request, digest: Digest) -> Response:
    name = request.fields["repository"]
    location = f"{request.origin.mount_path}/v2/{name}/blobs/{digest}"
    headers = (*NOT_CACHED, ("Location", location), ("Docker-Content-Digest", str(digest)))
    return respond(201, b"", EMPTY_TYPE, headers)


# fmt: off
ROUTES: Final = (
    #     method    path                                              handler        needs
    Route("POST",   "/v2/{repository}/blobs/uploads[/]",              post_upload,   None),
    Route("GET",    "/v2/{repository}/blobs/uploads/{upload_id}",     get_upload,    None),
    Route("PATCH",  "/v2/{repository}/blobs/uploads/{upload_id}",     patch_upload,  None),
    Route("PUT",    "/v2/{repository}/blobs/uploads/{upload_id}",     put_upload,    None),
    Route("DELETE", "/v2/{repository}/blobs/uploads/{upload_id}",     delete_upload, None),
)
