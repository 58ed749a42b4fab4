"""The pages of an image: its history, the files in its layer, and the changes of the layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from .. import errors
from ..access.policy import own_namespaces
from ..names import DEFAULT_NAMESPACE, RepositoryName
from ..registry import layout
from ..registry.repositories import Repositories
from ..rights import Content, ImageState, require_readable_image
from ..wsgi.responses import Response
from .browse import rights_of
from .services import Request
from .views.contents import KINDS, LONGEST_PATH, path_of
from .views.history import history_of
from .views.paging import part_of
from .views.places import Finder
from .views.texts import shown
from .visitors import Visitor, visitor_of

T = TypeVar("T")

#: How many files, folders or changes are on one page.
ENTRIES_SHOWN: Final = 200

#: Lists of files are expensive, and there is one for each folder of each layer. They are useless in a web
#: search.
NOT_FOR_ROBOTS: Final = (("X-Robots-Tag", "noindex, nofollow"),)


def get_image(request: Request) -> Response:
    """Show an image: its facts, its settings, and its history.

    :raises ImageNotFound: the image does not exist, or the visitor may not see it.
    :raises ImageInProgress: the push of the image has not ended.
    """
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    state, rights = _readable(request, visitor, image_id), rights_of(visitor)

    def state_of(ancestor: str) -> ImageState:
        content = rights.content_in(state.repository, ancestor)
        return rights.image_state(ancestor) if content is None else ImageState(content, state.repository)

    history = history_of(request.services.images, _content(state), state_of, is_open=rights.is_open)
    breadcrumbs = _breadcrumbs(request, visitor, image_id)
    values = {
        **breadcrumbs,
        "places": _places(request, visitor, _content(state), breadcrumbs["repository"]),
        "history": history,
        "image": history.layers[0],
        "now": request.services.clock.now(),
    }
    return pages.render(request, "image.html", values, visitor=visitor)


def get_files(request: Request) -> Response:
    """Show the folder ``path`` of an image's layer; the root if ``path`` is missing.

    :raises ImageNotFound: the image does not exist, or the visitor may not see it.
    :raises ImageInProgress: the push of the image has not ended.
    :raises NotFound: the layer has no such file or folder.
    :raises LayerBusy: too many layers are being read.
    """
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    content = _content(_readable(request, visitor, image_id))
    tree = _unless_refused(lambda: request.services.shown_layers.tree(content))
    if isinstance(tree, errors.RegistryError):
        return _unreadable(request, visitor, image_id, tree, "Files in the layer")
    folder = tree.folder(path_of((request.query("path") or "")[:LONGEST_PATH]))
    if folder is None:
        raise errors.NotFound("There is no such file or folder in this layer", image_id=image_id)
    values = {
        **_breadcrumbs(request, visitor, image_id),
        "folder": folder,
        "part": part_of(folder.entries, request.query("page"), ENTRIES_SHOWN),
        "now": request.services.clock.now(),
    }
    return pages.render(request, "files.html", values, visitor=visitor, headers=NOT_FOR_ROBOTS)


def get_changes(request: Request) -> Response:
    """Show what an image's layer added, changed or removed, as ``kind`` says.

    :raises ImageNotFound: the image or an ancestor does not exist, or the visitor may not see it.
    :raises ImageInProgress: the push of the image has not ended.
    :raises LayerBusy: too many layers are being read.
    """
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    state = _readable(request, visitor, image_id)
    # the changes reveal files of the ancestors
    chain = request.services.images.chains.contents(rights_of(visitor), state)
    changes = _unless_refused(lambda: request.services.shown_layers.changes(chain))
    if isinstance(changes, errors.RegistryError):
        return _unreadable(request, visitor, image_id, changes, "Changes of the layer")
    counts = changes.counts
    asked = request.query("kind") or ""
    kind: str = asked if asked in KINDS else next((kind for kind in KINDS if counts[kind]), "added")
    values = {
        **_breadcrumbs(request, visitor, image_id),
        "kind": kind,
        "counts": counts,
        "part": part_of(changes.of(kind), request.query("page"), ENTRIES_SHOWN),
        "now": request.services.clock.now(),
    }
    return pages.render(request, "changes.html", values, visitor=visitor, headers=NOT_FOR_ROBOTS)


def _readable(request: Request, visitor: Visitor, image_id: str) -> ImageState:
    """Return the state of an image that the visitor may read, in the repository from which the visitor came.

    :raises InvalidImageId: the id does not follow the grammar.
    :raises ImageNotFound: there is no such image, or the visitor may not read it.
    :raises ImageInProgress: its push has not ended.
    """
    rights, name = rights_of(visitor), _breadcrumbs(request, visitor, image_id)["repository"]
    if name:
        repository = RepositoryName.parse(name)
        held = rights.content_in(repository, image_id)
        if held is not None:
            content = request.services.images.contents.whole(held)
            if content is None:
                raise errors.ImageNotFound(image_id=image_id)
            return ImageState(content, repository)
    return require_readable_image(rights, image_id)


def _places(request: Request, visitor: Visitor, content: Content, came_from: str) -> dict[str, Any]:
    """Return the repositories and tags that hold an image, as the page shows them."""
    services, user, rights = request.services, visitor.user, rights_of(visitor)
    namespaces = () if user is None else tuple(own_namespaces(user))
    found = Finder(services.holding, services.repositories, rights.may_list).places(
        content,
        first=RepositoryName.parse(came_from) if came_from else None,
        near=(*namespaces, DEFAULT_NAMESPACE),
        seeker="" if user is None else user.name,
    )
    rows = [
        {
            "name": place.name,
            "label": shown(place.name.short, 300),
            "tags": [shown(tag, 300) for tag in place.tags],
            "more_count": place.more_count,
        }
        for place in found.items
    ]
    return {"rows": rows, "is_complete": found.is_complete}


def _content(state: ImageState) -> Content:
    assert state.content is not None, "only readable images come here"
    return state.content


def _breadcrumbs(request: Request, visitor: Visitor, image_id: str) -> dict[str, str]:
    """Return the values of the breadcrumbs: the image, and the repository that the visitor came from.

    The repository is a query parameter, which any link can set. It is shown only if the visitor may see the
    repository and the image is in it. Otherwise the page is the same as without the parameter.
    """
    values = {"image_id": image_id, "repository": "", "repository_label": ""}
    asked, repositories = request.query("repository"), request.services.repositories
    if not asked:
        return values
    name = RepositoryName.parse(asked)
    if rights_of(visitor).may_list(name) and _is_in(repositories, name, image_id):
        values |= {"repository": str(name), "repository_label": shown(name.short, 300)}
    return values


def _is_in(repositories: Repositories, name: RepositoryName, image_id: str) -> bool:
    """Say whether a repository lists an image or has a tag of it. Old repositories have no list."""
    try:
        listed = layout.parse_stored(repositories.image_list(name))
    except errors.ImageListNotFound:
        listed = None
    entries = listed if isinstance(listed, list) else []
    if any(isinstance(entry, dict) and entry.get("id") == image_id for entry in entries):
        return True
    return image_id in repositories.tags_or_none(name).values()


def _unless_refused(look: Callable[[], T]) -> T | errors.RegistryError:
    """Return what ``look`` returns, or the error that says why a layer cannot be shown."""
    try:
        return look()
    except (errors.LayerNotSupported, errors.LayerTooLarge) as error:
        return error


def _unreadable(
    request: Request, visitor: Visitor, image_id: str, error: errors.RegistryError, title: str
) -> Response:
    """Return the page that says why a layer cannot be shown, with a link to the image."""
    values = {**_breadcrumbs(request, visitor, image_id), "title": title, "text": shown(error.public, 300)}
    return request.services.pages.render(
        request, "unreadable.html", values, status=error.status, visitor=visitor, headers=NOT_FOR_ROBOTS
    )
