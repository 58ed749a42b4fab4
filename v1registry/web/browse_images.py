"""The pages of an image: its history, the files in its layer, and the changes of the layer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final, TypeVar

from .. import errors
from ..names import RepositoryName
from ..registry import layout
from ..registry.images import Images
from ..registry.repositories import Repositories
from ..rights import ImageState, require_readable_image
from ..wsgi.responses import Response
from .browse import rights_of
from .services import Request
from .views.contents import KINDS, LONGEST_PATH, path_of
from .views.history import history_of
from .views.paging import part_of
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
    images = _images_for(request, visitor, image_id)
    history = history_of(images, image_id, rights_of(visitor).image_state)
    values = {
        **_breadcrumbs(request, visitor, image_id),
        "history": history,
        "image": history.layers[0],
        "now": datetime.now(timezone.utc),
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
    _images_for(request, visitor, image_id)
    tree = _unless_refused(lambda: request.services.shown_layers.tree(image_id))
    if isinstance(tree, errors.RegistryError):
        return _unreadable(request, visitor, image_id, tree, "Files in the layer")
    folder = tree.folder(path_of((request.query("path") or "")[:LONGEST_PATH]))
    if folder is None:
        raise errors.NotFound("There is no such file or folder in this layer", image_id=image_id)
    values = {
        **_breadcrumbs(request, visitor, image_id),
        "folder": folder,
        "part": part_of(folder.entries, request.query("page"), ENTRIES_SHOWN),
        "now": datetime.now(timezone.utc),
    }
    return pages.render(request, "files.html", values, visitor=visitor, headers=NOT_FOR_ROBOTS)


def get_changes(request: Request) -> Response:
    """Show what an image's layer added, changed or removed, as ``kind`` says.

    :raises ImageNotFound: the image or an ancestor does not exist, or the visitor may not see it.
    :raises ImageInProgress: the push of the image has not ended.
    :raises LayerBusy: too many layers are being read.
    """
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    images = _images_for(request, visitor, image_id)
    for ancestor in images.ancestry(image_id)[1:]:
        # the changes reveal files of the ancestors
        if rights_of(visitor).image_state(ancestor) is not ImageState.READABLE:
            raise errors.ImageNotFound(image_id=ancestor)
    changes = _unless_refused(lambda: request.services.shown_layers.changes(image_id))
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
        "now": datetime.now(timezone.utc),
    }
    return pages.render(request, "changes.html", values, visitor=visitor, headers=NOT_FOR_ROBOTS)


def _images_for(request: Request, visitor: Visitor, image_id: str) -> Images:
    """Return the images, if the visitor may read this one.

    :raises InvalidImageId: the id is invalid.
    :raises ImageNotFound: the image does not exist, or the visitor may not see it.
    :raises ImageInProgress: the push of the image has not ended.
    """
    require_readable_image(rights_of(visitor), image_id)
    return request.services.images


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
