"""The choice of one image of an archive or a layout."""

from __future__ import annotations

from ..archives.documents import Descriptor
from ..archives.load import ArchivedChain, SaveArchive
from ..archives.oci_layout import Layout, names_of
from .errors import BadArchive
from .reference import Reference

#: The most images that an error message lists.
_LISTED = 20

#: Digits of an id in a message, unless two images have the same.
_SHORT_ID_DIGITS = 12

_HUB_HOSTS = ("docker.io/", "index.docker.io/")


def choose_chain(archive: SaveArchive, reference: Reference, image: str | None) -> ArchivedChain:
    """Return the image to push.

    Names match as in engines: ``base:2`` is ``docker.io/library/base:2`` too, and ``app:1.0`` is podman's
    ``localhost/app:1.0``. A name that is spelt like the archive's takes precedence.

    :param image: its name in the archive, or the start of its v1 id or of its id in today's engines. None
        chooses the only image of the archive, or the one with the name of the reference.
    :raises BadArchive: not exactly one image fits. The text lists names and ids of which each fits one.
    """
    if image is None:
        found = list(archive.chains)
        if len(found) > 1:
            names = (str(reference), f"{reference.path}:{reference.tag}", f"{reference.name}:{reference.tag}")
            found = _named(archive, names)
        problem = "has several images"
    else:
        found = _named(archive, (image, f"{image}:latest")) or _with_id(archive, image)
        problem = f"has no image {image!r}" if not found else f"has several images {image!r}"
    if len(found) == 1:
        return found[0]
    raise BadArchive(f"the archive {problem}; give --image the one that is meant: {_listed(archive)}")


def choose_entry(layout: Layout, reference: Reference, image: str | None) -> Descriptor:
    """Return the entry of a layout to push.

    :param image: its name in the layout, or the start of its digest. None chooses the only entry, or the
        one with the name or the tag of the reference.
    :raises BadArchive: not exactly one entry fits. The text lists names and digests.
    """
    found = list({entry.digest: entry for entry in layout.entries}.values())
    if image is not None:
        found = [entry for entry in layout.entries if image in names_of(entry)] or [
            entry
            for entry in found
            if entry.digest.hex.startswith(image.removeprefix("sha256:").lower() or "-")
        ]
    elif len(found) > 1:
        names = {str(reference), f"{reference.path}:{reference.tag}", reference.tag}
        found = [entry for entry in layout.entries if names.intersection(names_of(entry))]
    if len({entry.digest for entry in found}) == 1:
        return found[0]
    problem = "several images" if image is None else f"not one image {image!r}"
    shown = [next(iter(names_of(entry)), str(entry.digest)) for entry in layout.entries[:_LISTED]]
    raise BadArchive(
        f"the layout has {problem}; give --image the one that is meant: {', '.join(shown)}"
        f"{' …' if len(layout.entries) > _LISTED else ''}"
    )


def _named(archive: SaveArchive, names: tuple[str, ...]) -> list[ArchivedChain]:
    """Return the images with one of the names: those in this spelling, else those in any spelling."""
    exact = [chain for chain in archive.chains if not set(names).isdisjoint(chain.names)]
    if exact:
        return exact
    short = {short_name(name) for name in names}
    return [chain for chain in archive.chains if not short.isdisjoint(map(short_name, chain.names))]


def short_name(name: str) -> str:
    """Return the shortest spelling of a name, with the tag.

    >>> short_name("docker.io/library/base"), short_name("localhost/app:1.0")
    ('base:latest', 'app:1.0')
    """
    if ":" not in name.rpartition("/")[2]:
        name += ":latest"
    for host in _HUB_HOSTS:
        name = name.removeprefix(host)
    name = name.removeprefix("localhost/")
    namespace, _, rest = name.partition("/")
    return rest if namespace == "library" and "/" not in rest else name


def _with_id(archive: SaveArchive, image: str) -> list[ArchivedChain]:
    digits = image.removeprefix("sha256:").lower()
    return [chain for chain in archive.chains if digits and chain.top.image_id.startswith(digits)]


def _listed(archive: SaveArchive) -> str:
    shown = [_unique_text(archive, chain) for chain in archive.chains[:_LISTED]]
    return ", ".join(shown) + (" …" if len(archive.chains) > _LISTED else "")


def _unique_text(archive: SaveArchive, chain: ArchivedChain) -> str:
    """Return a name that no other image has, or the start of the id."""
    for name in chain.names:
        if len(_named(archive, (name,))) == 1:
            return name
    image_id = chain.top.image_id
    digits = _SHORT_ID_DIGITS
    while len(_with_id(archive, image_id[:digits])) > 1:
        digits += 1
    return image_id[:digits]
