"""The Registry API v1: its routing table, and the handlers under it (registry.md)."""

from __future__ import annotations

import re
import secrets

from .. import errors
from ..names import RepositoryName, check_image_id, check_tag, check_target_id
from ..paths import PING, STATUS, V1
from ..rights import Action, ImageState, require_readable_image, require_readable_repository
from ..storage.base import StorageError
from ..wsgi.documents import dump_json, parse_json
from ..wsgi.immutable import etag_of, immutable_headers, immutable_response, stream_response
from ..wsgi.responses import NOT_CACHED, Response, error_object, json_response, respond
from ..wsgi.routing import Api, Route, Table
from . import layout
from .images import AnnouncedSums, checked_parent, layer_etag
from .repositories import UNKNOWN_INFO
from .services import Request

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE

# -- for people and monitors: no credentials, ever


def ping(request: Request) -> Response:
    standalone = request.services.access.standalone
    return json_response({}, headers=[("X-Docker-Registry-Standalone", standalone)])


def status(request: Request) -> Response:
    """Write, read back and remove a key; 503 where that fails (docker-registry 0.8.1, status.py)."""
    storage = request.services.storage
    key = f"_status/{secrets.token_hex(8)}"
    failures = {}
    try:
        storage.write(key, key.encode("ascii"))
        try:
            if storage.read(key)[0] != key.encode("ascii"):
                failures["storage"] = "what was written is not what is read"
        finally:
            storage.delete(key)
    except StorageError as error:
        failures["storage"] = error.reason
    return json_response({"failures": failures, "services": ["storage"]}, 503 if failures else 200)


def root(request: Request) -> Response:
    return json_response(request.services.settings.message)


# -- images


def get_json(request: Request) -> Response:
    image_id = _readable_image(request)
    facts = request.services.images.facts(image_id)
    headers = []
    if facts.layer_size is not None:
        headers.append(("X-Docker-Size", str(facts.layer_size)))
    if facts.payload_checksum is not None:
        # the name changed with 0.9.0; its own tests read the older one (decisions.md 4)
        headers.append(("X-Docker-Checksum-Payload", facts.payload_checksum))
        headers.append(("X-Docker-Payload-Checksum", facts.payload_checksum))
    if facts.tarsum is not None:
        headers.append(("X-Docker-Checksum", facts.tarsum))
    is_public = request.rights.is_public_image(image_id)
    return immutable_response(request, facts.json, etag_of(facts.json), is_public, headers)


def put_json(request: Request) -> Response:
    image_id = check_image_id(request.fields["image_id"])
    try:
        request.rights.require_image_write(image_id)
    except errors.ImageNotListed:
        # what is wrong with the document itself is told first (registry.md 4.5)
        checked_parent(image_id, _read_document(request)[1])
        raise
    document, parsed = _read_document(request)
    request.services.images.put_json(image_id, document, parsed, request.rights)
    return json_response(True)


def _read_document(request: Request) -> tuple[bytes, object]:
    """Return an image's JSON as sent, and what it says. InvalidJson where it says nothing."""
    document = request.read_body(request.services.settings.max_document_bytes)
    try:
        return document, parse_json(document)
    except ValueError:
        raise errors.InvalidJson(image_id=request.fields["image_id"]) from None


def get_layer(request: Request) -> Response:
    images, image_id = request.services.images, _readable_image(request)
    is_public = request.rights.is_public_image(image_id)
    stat, checksums = images.layer(image_id)
    settings, etag = request.services.settings, layer_etag(image_id, stat, checksums)
    path = layout.image_key(image_id, layout.LAYER)
    if settings.layer_redirect and is_public:
        # whoever knows an address there needs no rights
        location = ("Location", f"{settings.layer_redirect.rstrip('/')}/{path}")
        # the layer never changes, but where it is served may
        return respond(302, b"", "application/octet-stream", (*NOT_CACHED, location))
    if settings.x_accel_redirect:
        offload = ("X-Accel-Redirect", f"{settings.x_accel_redirect.rstrip('/')}/{path}")
        return respond(200, b"", "application/octet-stream", (*immutable_headers(etag, is_public), offload))
    return stream_response(
        request, lambda start, stop: images.open_layer(image_id, start, stop), stat.size, etag, is_public
    )


def put_layer(request: Request) -> Response:
    request.services.images.put_layer(_writable_image(request), request.upload, request.rights)
    return json_response(True)


def put_checksum(request: Request) -> Response:
    announced = AnnouncedSums(
        payload=_stripped(request.headers.get("X-Docker-Checksum-Payload")),
        tarsum=_stripped(request.headers.get("X-Docker-Checksum")),
        is_old_engine=is_docker_before_0_10(request.headers.get("User-Agent") or ""),
    )
    request.services.images.put_checksum(_writable_image(request), announced, request.rights)
    return json_response(True)


def get_ancestry(request: Request) -> Response:
    image_id = _readable_image(request)
    data = dump_json(request.services.images.ancestry(image_id))
    return immutable_response(request, data, etag_of(data), request.rights.is_public_image(image_id))


def get_files(request: Request) -> Response:
    image_id = _readable_image(request)
    data = request.services.images.files(image_id)
    return immutable_response(request, data, etag_of(data), request.rights.is_public_image(image_id))


def get_diff(request: Request) -> Response:
    images, image_id = request.services.images, _readable_image(request)
    for ancestor in images.ancestry(image_id)[1:]:
        # the diff tells which of the image's files are theirs too
        if request.rights.image_state(ancestor) is not ImageState.READABLE:
            raise errors.ImageNotFound(image_id=ancestor)
    data = images.diff(image_id)
    return immutable_response(request, data, etag_of(data), request.rights.is_public_image(image_id))


def _readable_image(request: Request) -> str:
    return require_readable_image(request.rights, request.fields["image_id"])


def _writable_image(request: Request) -> str:
    image_id = check_image_id(request.fields["image_id"])
    request.rights.require_image_write(image_id)
    return image_id


def is_docker_before_0_10(user_agent: str) -> bool:
    """Tell whether the request comes from docker 0.6 to 0.9 (docker-registry 0.9.0, images.py).

    >>> is_docker_before_0_10("docker/0.9.1 go/go1.2.1"), is_docker_before_0_10("docker/17.05.0-ce go/go1.7.5")
    (True, False)
    """
    found = re.search(r"(?:^|\s)docker/(\d{1,4})\.(\d{1,4})", user_agent)
    return found is not None and (int(found[1]), int(found[2])) < (0, 10)


def _stripped(header: str | None) -> str | None:
    return None if header is None else header.strip()


# -- tags


def get_tags(request: Request) -> Response:
    name = require_readable_repository(request.rights, named_repository(request))
    return json_response(request.services.repositories.tags(name))


def get_tag(request: Request) -> Response:
    name, tag = named_repository(request), request.fields["tag"]
    if not request.rights.can_read(name):
        raise errors.TagNotFound(repository=str(name), tag=tag[:200])
    return json_response(request.services.repositories.tag(name, tag))


def put_tag(request: Request) -> Response:
    repository, tag, rights = writable_repository(request), check_tag(request.fields["tag"]), request.rights
    try:
        image_id = parse_json(request.read_body(request.services.settings.max_document_bytes))
    except ValueError:
        raise errors.InvalidData from None
    if not isinstance(image_id, str) or not image_id:
        raise errors.InvalidData
    check_target_id(image_id)
    if rights.image_state(image_id) is ImageState.ABSENT or not request.services.images.is_announced(
        image_id
    ):
        raise errors.ImageNotFound(image_id=image_id)
    user_agent = request.headers.get("User-Agent") or ""
    with rights.changing(repository):
        # so that the repository has a mark of whatever its tags reach
        rights.announce(repository, [image_id])
        request.services.repositories.set_tag(repository, tag, image_id, user_agent)
    return json_response(True)


def delete_tag(request: Request) -> Response:
    """Remove a tag. Who may write may do that, except where it would undo that tags are not to be moved."""
    repository, tag = writable_repository(request, WRITE, WRITE, DELETE), request.fields["tag"]
    repositories = request.services.repositories
    if not repositories.may_move_tag(repository, tag):
        request.rights.require(DELETE, repository, WRITE, DELETE)
    repositories.delete_tag(repository, tag)
    return json_response(True)


def get_tag_info(request: Request) -> Response:
    name = named_repository(request)
    if not request.rights.can_read(name):
        return json_response(UNKNOWN_INFO)
    return json_response(request.services.repositories.tag_info(name, request.fields["tag"]))


# -- repositories


def get_info(request: Request) -> Response:
    name = named_repository(request)
    if not request.rights.can_read(name):
        return json_response(UNKNOWN_INFO)
    return json_response(request.services.repositories.info(name))


def get_properties(request: Request) -> Response:
    name = named_repository(request)
    # a hidden repository looks like a missing one, which is public
    is_private = request.rights.can_read(name) and request.services.repositories.is_private(name)
    return json_response({"access": "private" if is_private else "public"})


def put_properties(request: Request) -> Response:
    repository = writable_repository(request)
    try:
        properties = parse_json(request.read_body(request.services.settings.max_document_bytes))
    except ValueError:
        raise errors.InvalidData from None
    if not isinstance(properties, dict) or properties.get("access") not in ("private", "public"):
        raise errors.InvalidData
    with request.rights.changing(repository):
        request.services.repositories.set_private(repository, properties["access"] == "private")
    return json_response(True)


def named_repository(request: Request) -> RepositoryName:
    """Return the repository of the path. Whether the caller may read it was not checked.

    :raises InvalidRepositoryName: the name is too odd to be looked for.
    """
    return RepositoryName.parse(request.fields["repository"])


def writable_repository(request: Request, action: Action = WRITE, *tokens_for: Action) -> RepositoryName:
    """Return the repository of the path. InvalidRepositoryName, Unauthorized, Forbidden.

    :param tokens_for: what a token may be good for; ``action`` when left out.
    """
    name = RepositoryName.parse(request.fields["repository"]).checked()
    request.rights.require(action, name, *tokens_for)
    return name


def delete_repository(request: Request) -> Response:
    """Remove the repository now, also one that was only marked as deleted. Images stay."""
    name, repositories = writable_repository(request, DELETE), request.services.repositories
    with request.rights.changing(name):
        if not (repositories.exists(name) or repositories.is_marked_deleted(name)):
            raise errors.RepositoryNotFound(repository=str(name))
        request.rights.release(name)
        repositories.remove(name)
    return json_response(True)


# fmt: off
ROUTES = Table(
    #     method    path                                                handler            needs
    # not served if the start page of the pages is there
    Route("GET",    "/",                                                root,              None),

    Route("GET",    "/_ping[/]",                                        ping,              None),
    Route("GET",    "/v1/_ping[/]",                                     ping,              None),
    Route("GET",    "/_status[/]",                                      status,            None),
    Route("GET",    "/v1/_status[/]",                                   status,            None),

    Route("GET",    "/v1/images/{image_id}/json",                       get_json,          READ),
    Route("PUT",    "/v1/images/{image_id}/json",                       put_json,          WRITE),
    Route("GET",    "/v1/images/{image_id}/layer",                      get_layer,         READ),
    Route("PUT",    "/v1/images/{image_id}/layer",                      put_layer,         WRITE),
    Route("PUT",    "/v1/images/{image_id}/checksum",                   put_checksum,      WRITE),
    Route("GET",    "/v1/images/{image_id}/ancestry",                   get_ancestry,      READ),
    Route("GET",    "/v1/images/{image_id}/files",                      get_files,         READ),
    Route("GET",    "/v1/images/{image_id}/diff",                       get_diff,          READ),

    # NS/tags/tags is the list of NS/tags: engines always send a namespace there
    Route("GET",    "/v1/repositories/{two_part_repository}/tags[/]",   get_tags,          READ),
    Route("GET",    "/v1/repositories/{repository}/tags/{tag}/json[/]", get_tag_info,      READ),
    Route("GET",    "/v1/repositories/{repository}/tags/{tag}",         get_tag,           READ),
    Route("PUT",    "/v1/repositories/{repository}/tags/{tag}",         put_tag,           WRITE),
    Route("PUT",    "/v1/repositories/{repository}/tags/{slashed_tag}", put_tag,           WRITE),
    Route("DELETE", "/v1/repositories/{repository}/tags/{tag}",         delete_tag,        DELETE),
    Route("GET",    "/v1/repositories/{repository}/tags[/]",            get_tags,          READ),
    Route("DELETE", "/v1/repositories/{repository}/tags",               delete_repository, DELETE),
    Route("GET",    "/v1/repositories/{repository}/json[/]",            get_info,          READ),
    Route("GET",    "/v1/repositories/{repository}/properties[/]",      get_properties,    READ),
    Route("PUT",    "/v1/repositories/{repository}/properties",         put_properties,    WRITE),

    # the repository itself: tried last, because its path may end in anything. The Hub API has its own rows
    Route("DELETE", "/v1/repositories/{repository}/",                   delete_repository, DELETE, rank=2),
    Route("DELETE", "/v1/repositories/{unreserved_repository}",         delete_repository, DELETE, rank=2),
)
# fmt: on

#: The handlers of an index whose images are elsewhere: it has no images, and so no tags.
_OF_AN_INDEX = (root, ping, status, get_properties, put_properties)


def registry_api(*, has_images: bool, has_hub: bool, has_start_page: bool) -> Api:
    """Return the Registry API as a configuration serves it.

    :param has_images: whether images are stored here.
    :param has_hub: whether the Hub API is served too; it deletes repositories in its own way.
    :param has_start_page: whether a page is at ``/``.
    """

    def is_served(route: Route) -> bool:
        if route.path == "/" and has_start_page:
            return False
        if route.rank == 2 and has_hub:
            return False
        return has_images or route.handler in _OF_AN_INDEX

    return Api(
        "registry",
        paths=(V1, f"{V1}/*", f"{PING}[/]", f"{STATUS}[/]"),
        routes=Table(*filter(is_served, ROUTES)),
        error_response=error_object,
    )
