"""The Docker Hub (Index) API v1 but its users: its routing tables, and the handlers under them (hub.md)."""

from __future__ import annotations

import json
from typing import Any

from .. import errors
from ..names import RepositoryName, check_image_id
from ..paths import V1
from ..registry.api import delete_repository as delete_now
from ..registry.api import get_tag, put_tag
from ..registry.image_lists import checked_entries, values_of
from ..registry.named import existing_repository, named_repository, writable_repository
from ..rights import Action, Content, Rights
from ..search.base import Hit, Page, search
from ..wsgi.documents import parse_json
from ..wsgi.immutable import json_stream
from ..wsgi.responses import NOT_CACHED, Response, error_object, json_response, no_content, raw_json_response
from ..wsgi.routing import Api, Route, Table
from .services import Request

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE


# -- repositories


def put_repository(request: Request) -> Response:
    """Start a push: the images that will come are announced."""
    repository = writable_repository(request)
    body, entries = _image_list(request)
    headers = _index_headers(request, repository, Action.WRITE)
    holding, announcements = request.services.holding, request.services.announcements
    holding.begin(repository)
    _mend_list(request, repository)
    request.services.repositories.announce(repository, body, entries)
    image_ids = [entry["id"] for entry in entries]
    if request.rights.user is not None and announcements is not None:
        announcements.add(request.rights.user, repository, image_ids)
    holding.announce(request.rights, repository, image_ids)
    return json_response("", headers=headers)


def get_images(request: Request) -> Response:
    """Start a pull. A registry elsewhere also asks this to have a token checked (hub.md 6.1)."""
    repositories, repository = request.services.repositories, named_repository(request)
    if not request.rights.can_read(repository, READ, WRITE, DELETE):
        raise errors.ImageListNotFound(repository=str(repository))
    even_deleted = request.rights.sees_deleted(repository)
    large = repositories.open_large_list(repository, even_deleted=even_deleted)
    if large is not None:
        try:
            headers = _index_headers(request, repository, Action.READ)
        except BaseException:
            large.close()
            raise
        return json_stream(request, large, [*NOT_CACHED, *headers])
    try:
        listed = repositories.image_list(repository, even_deleted=even_deleted)
    except errors.ImageListNotFound:
        listed = _images_of_tags(request, repository, even_deleted)
    headers = _index_headers(request, repository, Action.READ)
    return raw_json_response(listed, headers=[*NOT_CACHED, *headers])


def put_images(request: Request) -> Response:
    """End a push. Engines take 204 and nothing else."""
    repository = writable_repository(request)
    _, entries = _image_list(request)
    headers = _index_headers(request, repository, Action.WRITE)
    holding = request.services.holding
    holding.begin(repository)
    _mend_list(request, repository)
    request.services.repositories.add_images(repository, entries)
    holding.announce(request.rights, repository, [entry["id"] for entry in entries])
    return no_content(headers)


def delete_images(request: Request) -> Response:
    """Nothing is deleted: docker-registry's own tests ask for this answer (hub.md 4.4)."""
    repository = writable_repository(request, WRITE, WRITE, DELETE)
    return no_content(_index_headers(request, repository, Action.DELETE))


def get_images_or_tag(request: Request) -> Response:
    """``NAME/tags/images``: the image list of ``NAME/tags``, or the tag ``images`` of ``NAME``.

    Both are looked for, first the one whose repository has two parts: engines always send a namespace for
    tags.
    """
    listed = dict(request.fields)
    tagged = {"repository": listed["repository"].removesuffix("/tags"), "tag": "images"}
    readings = [(get_images, listed), (get_tag, tagged)]
    if "/" in tagged["repository"]:
        readings.reverse()
    failures: list[errors.NotFound] = []
    for handler, fields in readings:
        request.fields.update(fields)
        try:
            return handler(request)
        except errors.NotFound as error:
            failures.append(error)
    # a missing tag of a public repository is 404 for anonymous callers too (decisions.md 11)
    raise next((error for error in failures if not isinstance(error, errors.MissingOrHidden)), failures[0])


def put_images_or_tag(request: Request) -> Response:
    """``NAME/tags/images``: a list is the image list of ``NAME/tags``, a string the id for the tag ``images``
    of ``NAME``.
    """
    if isinstance(_json_body(request)[1], str):
        request.fields.update(repository=request.fields["repository"].removesuffix("/tags"), tag="images")
        return put_tag(request)
    return put_images(request)


def delete_repository(request: Request) -> Response:
    """Delete in the two steps of an index and a registry, or at once (hub.md 3.2, 6.4; decisions.md 14).

    A caller who logs in with a password and asks for a token is a client of an index: the repository
    vanishes, and the token lets the registry remove it. For all other callers, and at the second request, it
    is removed now.
    """
    repositories = request.services.repositories
    asks_index = (
        request.services.access.has_accounts and _wants_token(request) and not request.rights.has_token
    )
    if not asks_index:
        return delete_now(request)
    name = existing_repository(request, Action.DELETE)
    if repositories.exists(name):
        headers = _index_headers(request, name, Action.DELETE)
        request.services.holding.mark_deleted(name)
        return json_response("", 202, headers)
    delete_now(request)
    return json_response("")


def put_auth(request: Request) -> Response:
    """Tell a registry whether a token is good."""
    name = RepositoryName.parse(request.fields["repository"])
    access, repositories = request.services.access, request.services.repositories
    if not access.is_good_token(request.headers.get("Authorization"), name):
        raise errors.Forbidden("The token is not good for this repository", repository=str(name))
    if access.has_accounts and not (repositories.exists(name) or repositories.is_marked_deleted(name)):
        raise errors.RepositoryNotFound(repository=str(name))
    return json_response("OK")


def get_layer_access(request: Request) -> Response:
    """Tell a registry whether the bearer of a token may use an image (hub.md 6.3)."""
    image_id, rights = check_image_id(request.fields["image_id"]), request.rights
    repository = RepositoryName.parse(request.fields["repository"])
    is_readable = rights.can_read(repository, READ, WRITE, DELETE)
    # the token of a deletion is good, but not for images
    is_usable = not rights.sees_deleted(repository) and _is_usable(rights, repository, image_id)
    if not (is_readable and is_usable):
        rights.require_login()
    return json_response({"access": is_readable and is_usable})


def _is_usable(rights: Rights, repository: RepositoryName, image_id: str) -> bool:
    state = rights.image_state(image_id)
    if rights.is_open or state.is_pushing or state.content is not None:
        return True
    return rights.state_for(repository, image_id).content is not None


def get_search(request: Request) -> Response:
    query, n, page = request.query("q"), request.query("n"), request.query("page")
    settings = request.services.settings
    found = search(request.services.search, query or "", n, page, settings.search_limit, request.rights)
    lists_everything = not query and n is None and page is None
    is_long = settings.search_names == "long" or (settings.search_names == "auto" and lists_everything)
    is_docker_0_6 = (request.headers.get("User-Agent") or "").startswith("docker/0.6.")
    return json_response(_search_answer(query or "", found, is_long, is_docker_0_6))


def _search_answer(query: str, found: Page, is_long: bool, is_docker_0_6: bool) -> dict[str, object]:
    def result(hit: Hit) -> dict[str, object]:
        shown = {"name": str(hit.name) if is_long else hit.name.short, "description": hit.description}
        if is_docker_0_6:
            # docker 0.6.0 to 0.6.4 decodes every value as a string (moby 0.6.4, registry.go)
            return dict(shown)
        return shown | {
            "is_official": hit.name.is_official,
            "is_trusted": False,
            "is_automated": False,
            "star_count": hit.stars,
        }

    return {
        "query": query,
        "num_results": found.num_results,
        "num_pages": found.num_pages,
        "page": found.page,
        "page_size": found.page_size,
        "results": [result(hit) for hit in found.hits],
    }


# -- inside


def _wants_token(request: Request) -> bool:
    return (request.headers.get("X-Docker-Token") or "").strip().lower() == "true"


def _image_list(request: Request) -> tuple[bytes, list[dict[str, str]]]:
    """Return the image list of a request: as it was sent, and its entries.

    :raises UndecodableJson: it is not JSON.
    :raises InvalidData: it is not a list of images.
    :raises TooManyImages: it has too many ids.
    """
    body, parsed = _json_body(request)
    return body, checked_entries(parsed, request.services.settings.max_list_ids)


def _json_body(request: Request) -> tuple[bytes, Any]:
    """Return the body, and what it says.

    :raises UndecodableJson: it is not JSON.
    """
    settings = request.services.settings
    body = request.read_body(settings.max_document_bytes)
    try:
        return body, parse_json(body, most_values=values_of(settings.max_list_ids))
    except ValueError:
        raise errors.UndecodableJson from None


def _index_headers(request: Request, repository: RepositoryName, access: Action) -> list[tuple[str, str]]:
    """Return where to go with which token: what engines insist on in the answers to their index calls."""
    settings = request.services.settings
    headers = [
        (
            "X-Docker-Endpoints",
            settings.endpoints or request.origin.host,
        )
    ]
    token = request.rights.issue_token(access, repository) if _wants_token(request) else None
    if token is not None:
        headers += [("X-Docker-Token", token), ("WWW-Authenticate", f"Token {token}")]
    return headers


def _images_of_tags(request: Request, repository: RepositoryName, even_deleted: bool) -> bytes:
    """Return the list of a repository that was never announced, or whose list is damaged.

    :raises ImageListNotFound: the repository does not exist.
    """
    try:
        reached = _reached_by_tags(request, repository, even_deleted)
    except errors.RepositoryNotFound:
        raise errors.ImageListNotFound(repository=str(repository)) from None
    return json.dumps([{"id": image_id} for image_id in reached]).encode("ascii")


def _reached_by_tags(request: Request, repository: RepositoryName, even_deleted: bool = False) -> list[str]:
    """Return the ids of the images that the tags of a repository reach.

    :raises RepositoryNotFound: the repository does not exist.
    """
    contents, rights = request.services.images.contents, request.rights
    tags = request.services.repositories.tags(repository, even_deleted=even_deleted)
    reached: dict[str, None] = {}
    for image_id in sorted(set(tags.values())):
        if image_id not in reached:
            content = rights.content_in(repository, image_id) or Content(image_id)
            reached.update(dict.fromkeys(contents.known_ancestry(content)))
    return list(reached)


def _mend_list(request: Request, repository: RepositoryName) -> None:
    """Replace a damaged image list before ids are added to it (decisions.md 22)."""
    request.services.repositories.mend_list(repository, lambda: _reached_by_tags(request, repository))


# fmt: off
ROUTES = Table(
    #     method    path                                                   handler            needs
    # the image list of a repository that is named "tags": before the rows of the tags of the name above
    Route("GET",    "/v1/repositories/{repository_named_tags}/images[/]", get_images_or_tag, READ, rank=-1),
    Route("PUT",    "/v1/repositories/{repository_named_tags}/images",    put_images_or_tag, WRITE, rank=-1),

    Route("GET",    "/v1/search[/]",                                       get_search,        READ),

    # after the rows of tags, because a tag may be named "images", "auth" or "access"
    Route("GET",    "/v1/repositories/{repository}/images[/]",             get_images,        READ,   rank=1),
    Route("PUT",    "/v1/repositories/{repository}/images",                put_images,        WRITE,  rank=1),
    Route("DELETE", "/v1/repositories/{repository}/images",                delete_images,     WRITE,  rank=1),
    Route("PUT",    "/v1/repositories/{repository}/auth",                  put_auth,          None,   rank=1,
          changes=False),
    Route("GET", "/v1/repositories/{repository}/layer/{image_id}/access[/]", get_layer_access, READ, rank=1),

    # the repository itself: tried last, because its path may end in anything
    Route("PUT",    "/v1/repositories/{repository}/",                      put_repository,    WRITE,  rank=2),
    Route("PUT",    "/v1/repositories/{unreserved_repository}",            put_repository,    WRITE,  rank=2),
    Route("DELETE", "/v1/repositories/{repository}/",                      delete_repository, DELETE, rank=2),
    Route("DELETE", "/v1/repositories/{unreserved_repository}",            delete_repository, DELETE, rank=2),
)
# fmt: on

API = Api("hub", paths=(V1, f"{V1}/*"), routes=ROUTES, error_response=error_object)
