"""Endpoints of images that need no registry (remote.md 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from v1registry.wsgi.framework import Response

from . import image_archives
from .errors import EngineError, InvalidParameter, NoSuchObject
from .image_documents import FILTERS, created_s, history_of, inspected, summaries
from .image_removal import Removal
from .image_store import EngineImage
from .references import ImageReference
from .requests import EngineRequest, answer, empty, stream
from .routing import row
from .state import EngineState
from .times import moment_s
from .versions import ApiVersion


def get_images(request: EngineRequest) -> Response:
    """List images."""
    filters = request.filters(*FILTERS)
    old = request.parameter("filter")
    if old and request.version < ApiVersion(1, 41):
        filters = filters.with_value("reference", old)
    state = request.state
    with state.lock:
        return answer(summaries(state.images, filters, request.version, is_all=request.flag("all")))


def get_image(request: EngineRequest) -> Response:
    """Inspect an image."""
    state, name = request.state, request.fields["name"]
    with state.lock:
        try:
            image = state.images.find(name)
        except (NoSuchObject, InvalidParameter) as error:
            if state.release.api >= ApiVersion(1, 42):
                raise
            raise type(error)(f"no such image: {name}: {error.message}") from None
        return answer(inspected(state.images, image, request.version))


def get_history(request: EngineRequest) -> Response:
    """Return how an image was made."""
    state = request.state
    with state.lock:
        return answer(history_of(state.images, state.images.find(request.fields["name"])))


def post_tag(request: EngineRequest) -> Response:
    """Give an image one more name."""
    state = request.state
    name = request.parameter("repo") or ""
    with state.lock:
        image = state.images.find(request.fields["name"])
        reference = ImageReference.parse(name)
        if reference.digest:
            raise InvalidParameter("refusing to create a tag with a digest reference")
        tag = request.parameter("tag")
        reference = reference.with_tag(tag) if tag else reference
        state.images.name(reference.tagged, image)
        _note(state, "tag", image, str(reference))
    return empty(201)


def delete_image(request: EngineRequest) -> Response:
    """Remove a name or an image."""
    state = request.state
    removal = Removal(state.images, state.events, state.users_of)
    with state.lock:
        return answer(
            removal.run(
                request.fields["name"],
                is_forced=request.flag("force"),
                prunes=not request.flag("noprune"),
            )
        )


def post_prune(request: EngineRequest) -> Response:
    """Remove images without names, or all that no container uses."""
    filters = request.filters("dangling", "label", "label!", "until")
    is_dangling = filters.boolean("dangling") is not False
    until = [moment_s(text) for text in filters.get("until")]
    state = request.state
    records: list[dict[str, str]] = []
    freed = 0
    with state.lock:
        for image in state.images.all():
            references = state.images.references(image.id)
            if (is_dangling and any(reference.tag for reference in references)) or state.users_of(image.id):
                continue
            if state.images.children(image) or state.images.get(image.id) is None:
                continue
            if not filters.allows_labels(image.labels) or filters.forbids_labels(image.labels):
                continue
            if any(limit is not None and created_s(image) >= limit for limit in until):
                continue
            removal = Removal(state.images, state.events, state.users_of)
            before = state.images.size_bytes
            records += removal.run(image.id, is_forced=True, prunes=True)
            freed += before - state.images.size_bytes
    state.events.add("image", "prune", "", {"reclaimed": str(freed)})
    return answer({"ImagesDeleted": records or None, "SpaceReclaimed": freed})


def get_archive(request: EngineRequest) -> Response:
    """Save images into an archive."""
    state = request.state
    texts = [request.fields["name"]] if "name" in request.fields else request.parameters("names")
    with state.lock:
        images = list(_to_save(state, texts))
        for saved in images:
            _note(state, "save", saved.image, saved.image.id)
    return stream(image_archives.saved(images), "application/x-tar")


def _to_save(state: EngineState, texts: list[str]) -> Iterator[image_archives.SavedImage]:
    """Yield images with the names under which they were asked for.

    :raises NoSuchObject: an image does not exist.
    """
    names: dict[str, list[str]] = {}
    for text in texts:
        try:
            image = state.images.find(text)
        except NoSuchObject:
            tagged = _all_tags(state, text)
            if not tagged:
                raise NoSuchObject(f"No such image: {text}") from None
            for name, image_id in tagged.items():
                names.setdefault(image_id, []).append(name)
            continue
        names.setdefault(image.id, [])
        if not state.images.is_id_of(text, image):
            reference = ImageReference.parse(text)
            # a name without a tag means all tags of the repository
            wanted = [str(reference)] if reference.tag else list(_all_tags(state, text, image.id))
            names[image.id] += [name for name in wanted if name not in names[image.id]]
    for image_id, found in names.items():
        saved = state.images.find(image_id)
        yield image_archives.SavedImage(saved, state.images.layers(saved), sorted(found))


def _all_tags(state: EngineState, text: str, image_id: str | None = None) -> dict[str, str]:
    """Return name with tag -> image id of a repository, or of one image in it."""
    try:
        reference = ImageReference.parse(text)
    except InvalidParameter:
        return {}
    if reference.tag or reference.digest:
        return {}
    return {
        str(other): named
        for other, named in state.images.names().items()
        if other.tag and other.name == reference.name and image_id in (None, named)
    }


def post_load(request: EngineRequest) -> Response:
    """Load images from an archive. Failures are part of the stream."""
    state = request.state

    def lines() -> Iterator[bytes]:
        try:
            request.check_disk()
            for loaded in image_archives.loaded(request.chunks()):
                with state.lock:
                    image = state.images.add(loaded.config, loaded.layers)
                    names = [ImageReference.parse(name).tagged for name in loaded.names]
                    for reference in names:
                        state.images.name(reference, image)
                _note(state, "load", image, image.id)
                for reference in names:
                    yield _line({"stream": f"Loaded image: {reference}\n"})
                if not names:
                    yield _line({"stream": f"Loaded image ID: {image.id}\n"})
        except EngineError as error:
            yield _line({"errorDetail": {"message": error.message}, "error": error.message})

    return stream(lines())


def _line(value: object) -> bytes:
    return json.dumps(value).encode("utf-8") + b"\r\n"


def _note(state: EngineState, action: str, image: EngineImage, name: str) -> None:
    state.events.add("image", action, image.id, {"name": name, **image.labels})


ROUTES = (
    row("GET", "/images/json", get_images),
    row("GET", "/images/get", get_archive),
    row("POST", "/images/load", post_load),
    row("POST", "/images/prune", post_prune),
    row("GET", "/images/{image}/json", get_image),
    row("GET", "/images/{image}/history", get_history),
    row("GET", "/images/{image}/get", get_archive),
    row("POST", "/images/{image}/tag", post_tag),
    row("DELETE", "/images/{image}", delete_image),
)
