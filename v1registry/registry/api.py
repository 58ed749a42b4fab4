"""The Registry API v1: its routing table, and the handlers under it (registry.md)."""

from __future__ import annotations

from .. import errors
from ..names import RepositoryName, check_image_id, check_tag, check_target_id
from ..paths import PING, STATUS, V1
from ..rights import (
    Action,
    ImageState,
    require_readable_content,
    require_readable_image,
    require_readable_repository,
)
from ..wsgi.documents import dump_json, parse_json
from ..wsgi.immutable import (
    etag_of,
    immutable_json_stream,
    immutable_response,
    stream_response,
)
from ..wsgi.responses import NOT_CACHED, Response, error_object, json_response, raw_json_response, respond
from ..wsgi.routing import Api, Route, Table
from ..wsgi.user_agents import docker_version
from . import layout
from .announced import AnnouncedSums
from .images import layer_etag
from .kept_lists import Document
from .monitoring import ping, root, status
from .named import existing_repository, named_repository, writable_repository
from .services import Request
from .tags import UNKNOWN_INFO

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE

# -- images


def get_json(request: Request) -> Response:
    content = require_readable_content(request.rights, request.fields["image_id"])
    facts = request.services.images.facts(content)
    payload, tarsum = facts.payload_checksum, facts.tarsum
    headers = []
    if facts.layer_size is not None:
        headers.append(("X-Docker-Size", str(facts.layer_size)))
    if payload is not None:
        # the name changed with 0.9.0; its own tests read the older one (decisions.md 4)
        headers.append(("X-Docker-Checksum-Payload", payload))
        headers.append(("X-Docker-Payload-Checksum", payload))
    if tarsum is not None:
        headers.append(("X-Docker-Checksum", tarsum))
    return immutable_response(request, facts.json, etag_of(facts.json), request.rights.is_open, headers)


def put_json(request: Request) -> Response:
    image_id = check_image_id(request.fields["image_id"])
    request.rights.push_key()
    document, parsed = _read_document(request)
    request.services.pushes.put_json(image_id, document, parsed, request.rights)
    return json_response(True)


def _read_document(request: Request) -> tuple[bytes, object]:
    """Return an image's JSON as sent, and what it says.

    :raises InvalidJson: it is not JSON.
    """
    document = request.read_body(request.services.settings.max_document_bytes)
    try:
        return document, parse_json(document)
    except ValueError:
        raise errors.InvalidJson(image_id=request.fields["image_id"]) from None


def get_layer(request: Request) -> Response:
    images, state = (
        request.services.images,
        require_readable_image(request.rights, request.fields["image_id"]),
    )
    content, is_open = state.content, request.rights.is_open
    assert content is not None
    stat, checksums = images.layer(content)
    settings, etag = request.services.settings, layer_etag(content.image_id, stat, checksums)
    path = layout.content_key(content, layout.LAYER)
    if settings.layer_redirect and request.rights.is_public_image(state):
        # the address there is all that a reader needs: no rights are checked
        location = ("Location", f"{settings.layer_redirect.rstrip('/')}/{path}")
        # the layer never changes, but the address may
        return respond(302, b"", "application/octet-stream", (*NOT_CACHED, location))
    return stream_response(
        request, lambda start, stop: images.open_layer(content, start, stop), stat.size, etag, is_open, path
    )


def put_layer(request: Request) -> Response:
    image_id = check_image_id(request.fields["image_id"])
    upload = request.upload
    # docker up to 0.8 has no other sum; the payload sum of 0.9 covers other bytes (registry.md 6.2)
    is_old_engine = is_docker_before_0_10(request.headers.get("User-Agent") or "")
    request.services.pushes.put_layer(
        image_id, upload, request.rights, announced_bytes=upload.size, has_tarsum_alone=is_old_engine
    )
    return json_response(True)


def put_checksum(request: Request) -> Response:
    announced = AnnouncedSums(
        payload=_stripped(request.headers.get("X-Docker-Checksum-Payload")),
        tarsum=_stripped(request.headers.get("X-Docker-Checksum")),
        is_old_engine=is_docker_before_0_10(request.headers.get("User-Agent") or ""),
    )
    image_id = check_image_id(request.fields["image_id"])
    request.services.pushes.put_checksum(image_id, announced, request.rights)
    return json_response(True)


def get_ancestry(request: Request) -> Response:
    content = require_readable_content(request.rights, request.fields["image_id"])
    data = dump_json(request.services.images.ancestry(content))
    return immutable_response(request, data, etag_of(data), request.rights.is_open)


def get_files(request: Request) -> Response:
    content = _held_image(request).content
    assert content is not None
    return _document_response(request, request.services.images.files(content))


def get_diff(request: Request) -> Response:
    images, state = request.services.images, _held_image(request)
    assert state.content is not None
    # the diff shows which of the image's files the ancestors have too
    chain = images.chains.contents(request.rights, state)
    return _document_response(request, images.diff(chain))


def _document_response(request: Request, document: Document) -> Response:
    return immutable_json_stream(request, document.open, document.size, document.etag, request.rights.is_open)


def _held_image(request: Request) -> ImageState:
    """Return the state of a readable image. An image that a push may take over is not readable here
    (decisions.md 17).

    :raises ImageNotFound: the caller may not read it.
    :raises ImageInProgress: its push has not ended.
    """
    image_id = request.fields["image_id"]
    state = require_readable_image(request.rights, image_id)
    if state.is_lent:
        raise errors.ImageNotFound(image_id=image_id)
    return state


def is_docker_before_0_10(user_agent: str) -> bool:
    """Tell whether the request comes from docker 0.6 to 0.9 (docker-registry 0.9.0, images.py).

    >>> [is_docker_before_0_10(f"docker/{version} go/go1.2.1") for version in ("0.9.1", "17.05.0-ce")]
    [True, False]
    """
    version = docker_version(user_agent)
    return version is not None and version < (0, 10)


def _stripped(header: str | None) -> str | None:
    return None if header is None else header.strip()


# -- tags


def get_tags(request: Request) -> Response:
    name = require_readable_repository(request.rights, named_repository(request))
    tags = request.services.repositories.tag_list(name)
    if request.services.settings.tags_form == "hub":
        hub_form = [{"layer": image_id[:8], "name": tag} for tag, image_id in tags.image_ids.items()]
        return json_response(hub_form)
    return raw_json_response(tags.json)


def get_tag(request: Request) -> Response:
    name, tag = named_repository(request), request.fields["tag"]
    repositories = request.services.repositories
    if not request.rights.can_read(name):
        raise errors.HiddenTagNotFound(repository=str(name), tag=tag[:200])
    try:
        return json_response(repositories.tag(name, tag))
    except errors.TagNotFound:
        if repositories.exists(name):
            raise
        raise errors.HiddenTagNotFound(repository=str(name), tag=tag[:200]) from None


def put_tag(request: Request) -> Response:
    repository, tag, rights = writable_repository(request), check_tag(request.fields["tag"]), request.rights
    try:
        image_id = parse_json(request.read_body(request.services.settings.max_document_bytes))
    except ValueError:
        image_id = None
    if not isinstance(image_id, str) or not image_id:
        raise errors.InvalidData("Invalid data: the body must be a JSON string, the image id in quotes")
    check_target_id(image_id)
    holding = request.services.holding
    incarnation = holding.take_over(rights, repository, image_id, is_named=True)
    # an earlier tag stays if the garbage collection was faster
    if incarnation is None or not holding.keep(repository, image_id):
        raise errors.ImageNotFound(image_id=image_id)
    user_agent, repositories = request.headers.get("User-Agent") or "", request.services.repositories
    stat = repositories.set_tag(repository, tag, image_id, user_agent, is_created=bool(incarnation))
    if not holding.check(repository, incarnation):
        # it was deleted meanwhile, with all that it held
        repositories.undo_tag(stat)
        raise errors.RepositoryNotFound(repository=str(repository))
    if not holding.keep(repository, image_id):
        # a whole collection ran in between
        repositories.undo_tag(stat)
        raise errors.ImageNotFound(image_id=image_id)
    return json_response(True)


def delete_tag(request: Request) -> Response:
    """Remove a tag. Who may write may do that, except where it would undo that tags are not to be moved."""
    repository, tag = existing_repository(request, WRITE, WRITE, DELETE), request.fields["tag"]
    repositories = request.services.repositories
    if not repositories.may_move_tag(repository, tag):
        request.rights.require(DELETE, repository, WRITE, DELETE)
    repositories.delete_tag(repository, tag)
    return json_response(True)


def get_tag_info(request: Request) -> Response:
    name = named_repository(request)
    if not _is_shown(request, name):
        return json_response(UNKNOWN_INFO)
    return json_response(request.services.repositories.tag_info(name, request.fields["tag"]))


# -- repositories


def get_info(request: Request) -> Response:
    name = named_repository(request)
    if not _is_shown(request, name):
        return json_response(UNKNOWN_INFO)
    return json_response(request.services.repositories.info(name))


def get_properties(request: Request) -> Response:
    name = named_repository(request)
    # to a user a hidden repository looks like a missing one, which is public
    is_private = _is_shown(request, name) and request.services.repositories.is_private(name)
    return json_response({"access": "private" if is_private else "public"})


def _is_shown(request: Request, name: RepositoryName) -> bool:
    """Tell whether the caller may read a repository.

    :raises Unauthorized: it is hidden or missing, and the caller is anonymous (decisions.md 11).
    """
    can_read = request.rights.can_read(name)
    if not can_read or not request.services.repositories.exists(name):
        request.rights.require_login()
    return can_read


def put_properties(request: Request) -> Response:
    repository = writable_repository(request)
    try:
        properties = parse_json(request.read_body(request.services.settings.max_document_bytes))
    except ValueError:
        raise errors.InvalidData from None
    if not isinstance(properties, dict) or properties.get("access") not in ("private", "public"):
        raise errors.InvalidData
    request.services.holding.begin(repository)
    request.services.repositories.set_private(repository, properties["access"] == "private")
    return json_response(True)


def delete_repository(request: Request) -> Response:
    """Remove the repository now, also one that was only marked as deleted. Images that others hold stay."""
    name = existing_repository(request, DELETE)
    request.services.holding.delete(name)
    request.services.access.forget()
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
