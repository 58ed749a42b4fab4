"""The choice of one image of an archive."""

from __future__ import annotations

from ..archives.load import ArchivedChain, SaveArchive
from .errors import BadArchive
from .reference import Reference

#: The most images that an error message lists.
_LISTED = 20


def choose_chain(archive: SaveArchive, reference: Reference, image: str | None) -> ArchivedChain:
    """Return the image to push.

    :param image: its name in the archive, or the start of its v1 id. None chooses the only image of the
        archive, or the one with the name of the reference.
    :raises BadArchive: not exactly one image fits. The text lists the images of the archive.
    """
    if image is None:
        found = list(archive.chains)
        if len(found) > 1:
            found = _named(archive, f"{reference}", *_short_names(reference))
        problem = "has several images"
    else:
        found = _named(archive, image, f"{image}:latest")
        found = found or [chain for chain in archive.chains if chain.top.image_id.startswith(image)]
        problem = f"has no image {image!r}" if not found else f"has several images {image!r}"
    if len(found) == 1:
        return found[0]
    raise BadArchive(f"the archive {problem}; name one of: {_listed(archive)}")


def _named(archive: SaveArchive, *names: str) -> list[ArchivedChain]:
    return [chain for chain in archive.chains if not set(names).isdisjoint(chain.names)]


def _short_names(reference: Reference) -> tuple[str, str]:
    return f"{reference.path}:{reference.tag}", f"{reference.name}:{reference.tag}"


def _listed(archive: SaveArchive) -> str:
    chains = archive.chains[:_LISTED]
    return ", ".join(chain.names[0] if chain.names else chain.top.image_id[:12] for chain in chains)
