"""Pages that show an image: its history, the files in its layer, what the layer changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final, TypeVar

from .. import errors
from ..names import RepositoryName
from ..registry.images import Images
from ..registry.repositories import Repositories
from ..rights import ImageState, require_readable_image
from ..wsgi.responses import Response
from .browse import rights_of
from .services import Request
from .views.contents import KINDS, LONGEST_PATH, path_of
from .views.history import chain_of
from .views.paging import part_of
from .views.texts import shown
from .visitors import Visitor, visitor_of

T = TypeVar("T")

#: How many files, folders or changes are on one page.
ENTRIES_SHOWN: Final = 200

#: To make a list of files is work, and there is a page for each folder of each layer; nobody finds anything by them.
NOT_FOR_ROBOTS: Final = (("X-Robots-Tag", "noindex, nofollow"),)


def get_image(request: Request) -> Response:
    """Show an image: what it is, how it runs, and the chain of layers that it is made of."""
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    images = _images_for(request, visitor, image_id)
    rights = rights_of(visitor)
    chain = chain_of(images, image_id, rights.image_state)
    values = {
        **_way(request, visitor, image_id),
        "chain": chain,
        "image": chain.layers[0],
        "now": datetime.now(timezone.utc),
    }
    return pages.render(request, "image.html", values, visitor=visitor)


def get_files(request: Request) -> Response:
    """Show a folder of what is in an image's layer; that of ``path``, the root where it is left out."""
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    _images_for(request, visitor, image_id)
    folders = _unless_refused(lambda: request.services.shown_layers.folders(image_id))
    if isinstance(folders, errors.RegistryError):
        return _contents_refusal(request, visitor, image_id, folders, "Files in the layer")
    folder = folders.folder(path_of((request.query("path") or "")[:LONGEST_PATH]))
    if folder is None:
        raise errors.NotFound("There is no such file or folder in this layer", image_id=image_id)
    values = {
        **_way(request, visitor, image_id),
        "folder": folder,
        "part": part_of(folder.entries, request.query("page"), ENTRIES_SHOWN),
        "now": datetime.now(timezone.utc),
    }
    return pages.render(request, "files.html", values, visitor=visitor, headers=NOT_FOR_ROBOTS)


def get_changes(request: Request) -> Response:
    """Show what an image's layer added, changed and removed: one ``kind`` at a time."""
    pages, visitor, image_id = request.services.pages, visitor_of(request), request.fields["image_id"]
    images = _images_for(request, visitor, image_id)
    for ancestor in images.ancestry(image_id)[1:]:
        # the changes tell which of the files are theirs too
        if rights_of(visitor).image_state(ancestor) is not ImageState.READABLE:
            raise errors.ImageNotFound(image_id=ancestor)
    changes = _unless_refused(lambda: request.services.shown_layers.changes(image_id))
    if isinstance(changes, errors.RegistryError):
        return _contents_refusal(request, visitor, image_id, changes, "Changes of the layer")
    counts = changes.counts
    asked = request.query("kind") or ""
    kind: str = asked if asked in KINDS else next((kind for kind in KINDS if counts[kind]), "added")
    part = part_of(changes.of(kind), request.query("page"), ENTRIES_SHOWN)
    values = {
        **_way(request, visitor, image_id),
        "kind": kind,
        "counts": counts,
        "part": part,
        "entries": part.items,
        "now": datetime.now(timezone.utc),
    }
    return pages.render(request, "changes.html", values, visitor=visitor, headers=NOT_FOR_ROBOTS)


def _images_for(request: Request, visitor: Visitor, image_id: str) -> Images:
    """Return the images, if the visitor may read this one. ImageNotFound, as for an absent one, if not; ImageInProgress.

    InvalidImageId.
    """
    require_readable_image(rights_of(visitor), image_id)
    return request.services.images


def _way(request: Request, visitor: Visitor, image_id: str) -> dict[str, str]:
    """Return what pages tell of the way to an image: which it is, and the repository from which the visitor came.

    Anybody can make a link, so the name in ``repository`` counts only if the visitor may see that repository, and the image is in
    it: nothing else is to look as if it belonged there. Whatever else it is, the page is the same as without it.
    """
    way = {"image_id": image_id, "repository": "", "repository_label": ""}
    asked, repositories = request.query("repository"), request.services.repositories
    if not asked:
        return way
    name = RepositoryName.parse(asked)
    if rights_of(visitor).may_list(name) and _is_in(repositories, name, image_id):
        way |= {"repository": str(name), "repository_label": shown(name.short, 300)}
    return way


def _is_in(repositories: Repositories, name: RepositoryName, image_id: str) -> bool:
    """Tell whether an image is in the list of a repository or has a tag there: old data may have no list."""
    try:
        # no character of an id is one that JSON escapes
        if f'"{image_id}"'.encode() in repositories.image_list(name):
            return True
    except errors.ImageListNotFound:
        pass
    return image_id in repositories.tags_or_none(name).values()


def _unless_refused(look: Callable[[], T]) -> T | errors.RegistryError:
    """Look into a layer; return what was found, or why it cannot be looked into."""
    try:
        return look()
    except (errors.LayerNotSupported, errors.LayerTooLarge) as error:
        return error


def _contents_refusal(
    request: Request, visitor: Visitor, image_id: str, error: errors.RegistryError, title: str
) -> Response:
    """Return the page that says why nobody can look into a layer, and leads back to the image."""
    values = {**_way(request, visitor, image_id), "title": title, "text": shown(error.public, 300)}
    return request.services.pages.render(
        request, "unreadable.html", values, status=error.status, visitor=visitor, headers=NOT_FOR_ROBOTS
    )
