"""Endpoints of manifests and referrers (distribution.md 1: end-3, 7, 9 and 12)."""

from __future__ import annotations

from typing import Final

from .. import errors
from ..names import Digest, RepositoryName, check_v2_tag, parse_v2_name
from ..rights import Action
from ..wsgi.documents import dump_json
from ..wsgi.immutable import is_not_modified
from ..wsgi.responses import NOT_CACHED, Response, respond
from ..wsgi.routing import Route
from .answers import EMPTY_TYPE
from .callers import Caller, caller_of
from .manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, parse_manifest
from .pages import next_link, wanted_page
from .places import Place
from .referrers import MOST_READ
from .services import Request


def get_manifest(request: Request) -> Response:
    """Return a manifest byte for byte, by tag or by digest.

    :raises NameUnknown: the repository does not exist.
    :raises ManifestUnknown: it has no such manifest.
    """
    repository, caller = _named_repository(request)
    reference = _reference(request)
    services, place = request.services.distribution, Place.of(caller.rights, repository)
    is_oci = isinstance(reference, str) and wants_oci(request.headers.get("Accept"))
    record = services.manifests.find(caller.rights, place, reference, is_oci=is_oci, client=request.client)
    digest = str(reference if isinstance(reference, Digest) else record.digest)
    etag = f'"{digest}"'
    headers = [
        ("Cache-Control", "private, no-cache"),
        ("ETag", etag),
        ("Docker-Content-Digest", digest),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if is_not_modified(request, etag, is_public=False):
        return respond(304, b"", None, headers)
    # a client that pushes asks by HEAD what is stored
    data = services.records.data(record, is_sent=request.method != "HEAD")
    return respond(200, data, record.media_type, headers)


def put_manifest(request: Request) -> Response:
    """Store a manifest under a tag or its digest.

    :raises ManifestInvalid: it is malformed, or contradicts its media type.
    :raises ManifestTooLarge: it is too large.
    :raises ManifestBlobUnknown: the repository does not contain what it needs.
    :raises DigestMismatch: it has a different digest than the path names.
    """
    repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
    caller.require(Action.WRITE, repository)
    reference, services = _reference(request), request.services
    limit_bytes = services.settings.max_manifest_bytes
    try:
        data = request.read_body(limit_bytes)
    except errors.BodyTooLarge:
        raise errors.ManifestTooLarge(limit_bytes) from None
    if isinstance(reference, Digest) and not reference.fits(data):
        raise errors.DigestMismatch(detail={"digest": str(reference)})
    manifest = parse_manifest(data, request.headers.get("Content-Type") or "")
    place = Place.begin(caller.rights, services.holding, repository)
    user_agent = request.headers.get("User-Agent") or ""
    services.distribution.manifests.put(caller.rights, place, manifest, reference, user_agent=user_agent)
    digest = reference if isinstance(reference, Digest) else manifest.digest
    location = f"{request.origin.mount_path}/v2/{request.fields['repository']}/manifests/{digest}"
    headers = [*NOT_CACHED, ("Location", location), ("Docker-Content-Digest", str(digest))]
    if manifest.subject is not None:
        headers.append(("OCI-Subject", str(manifest.subject.digest)))
    return respond(201, b"", EMPTY_TYPE, headers)


def delete_manifest(request: Request) -> Response:
    """Remove a tag; or a manifest, with all tags that point to it.

    :raises Unsupported: deletion is off.
    :raises NameUnknown: the repository does not exist.
    :raises ManifestUnknown: it has no such tag or manifest.
    :raises DeletionBusy: other deletions of the client take too long.
    """
    repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
    caller.require(Action.DELETE, repository)
    if not request.services.settings.v2_delete:
        raise errors.Unsupported("Deletion is off on this registry")
    manifests = request.services.distribution.manifests
    manifests.require_existing(repository)
    reference, place = _reference(request), Place.of(caller.rights, repository)
    if isinstance(reference, Digest):
        with request.services.distribution.deletions.turn(request.client):
            manifests.delete(place, reference)
    else:
        manifests.delete_tag(place, reference)
    return respond(202, b"", EMPTY_TYPE)


def get_referrers(request: Request) -> Response:
    """Return an index of the manifests that name a manifest as their subject.

    It is empty for an unknown manifest or repository: clients ask before the first push.

    :raises DigestInvalid: the digest is malformed.
    """
    repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
    caller.require(Action.READ, repository)
    subject, artifact_type = Digest.parse(request.fields["digest"]), request.query("artifactType") or None
    index: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    headers = list(NOT_CACHED)
    if artifact_type is not None:
        headers.append(("OCI-Filters-Applied", "artifactType"))
    most, last = wanted_page(request, MOST_READ)
    if request.services.repositories.exists(repository):
        place = Place.of(caller.rights, repository)
        page = request.services.distribution.referrers.page(place, subject, artifact_type, last, max(most, 1))
        index["manifests"] = page.descriptors
        if page.last is not None:
            headers.append(next_link(request, page.last, most, artifactType=artifact_type))
    else:
        caller.hide_missing(repository)
    return respond(200, dump_json(index), OCI_INDEX, headers)


# -- inside


def readable_repository(request: Request) -> tuple[RepositoryName, Caller]:
    """Return the repository of the path, and the caller, who may read it.

    :raises NameUnknown: it does not exist, or the user may not read it.
    :raises Unauthorized: one of both, and the caller is anonymous.
    """
    repository, caller = _named_repository(request)
    request.services.distribution.manifests.require_existing(repository)
    return repository, caller


def _named_repository(request: Request) -> tuple[RepositoryName, Caller]:
    """Return the repository of the path, which may be missing, and the caller, who may read it.

    :raises NameUnknown: the user may not read it.
    :raises Unauthorized: the same, and the caller is anonymous.
    """
    repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
    caller.require(Action.READ, repository)
    return repository, caller


def _reference(request: Request) -> str | Digest:
    """Return the tag or the digest of the path.

    :raises DigestInvalid: it is no tag, and no digest.
    :raises TagInvalid: it is no tag.
    """
    text = request.fields["reference"]
    return Digest.parse(text) if ":" in text else check_v2_tag(text)


def wants_oci(accept: str | None) -> bool:
    """Tell whether a header wants the OCI form of an image, and not that of Docker (engine-formats.md 7.2).

    >>> wants_oci("application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
    True
    >>> wants_oci("application/vnd.oci.image.manifest.v1+json;q=0.5, */*"), wants_oci(None)
    (False, False)
    """
    accepted = set()
    for part in (accept or "").split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        if not any(_is_zero(parameter) for parameter in parameters):
            accepted.add(media_type)
    return OCI_MANIFEST in accepted and accepted.isdisjoint({DOCKER_MANIFEST, "*/*", "application/*"})


def _is_zero(parameter: str) -> bool:
    """Tell whether a parameter of ``Accept`` says that the type is not wanted."""
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in ("", "0.", ".")


# fmt: off
ROUTES: Final = (
    #     method    path                                       handler          needs
    Route("GET",    "/v2/{repository}/manifests/{reference}",  get_manifest,    None),
    Route("PUT",    "/v2/{repository}/manifests/{reference}",  put_manifest,    None),
    Route("DELETE", "/v2/{repository}/manifests/{reference}",  delete_manifest, None),
    Route("GET",    "/v2/{repository}/referrers/{digest}",     get_referrers,   None),
)
