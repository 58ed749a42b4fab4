"""The keys of blobs, manifests and tags of the distribution API.

    blobs/sha256/<2 digits>/<digest>/data     the bytes of a blob or a manifest, once for all repositories
    blobs/sha256/<2 digits>/<digest>/facts    what a look into a layer found
    blobs/sha512/<2 digits>/<digest>          the SHA-256 digest of the same bytes

In the folder of a repository, below ``_v2``, where old servers do not look:

    blobs/<digest>                 the repository contains the blob
    manifests/<digest>             the repository contains the manifest
    referrers/<digest>/<digest>    a manifest that names another one as its subject
    tags/<tag>                     the manifest of a tag
    images/<image id>              the manifests that became an image of v1
    mirror/...                     what a mirror made of the repository (mirror/stored.py)

Digests in keys are the hex digits of SHA-256, except below ``blobs/sha512``.
"""

from __future__ import annotations

from typing import Final

from ..names import Digest, RepositoryName
from ..registry import layout

BLOBS: Final = "blobs"
CONVERSIONS: Final = "conversions"
DATA: Final = "data"
FACTS: Final = "facts"
#: Beside a layer of v1: what a pass over it found.
LAYER_BLOB: Final = "_v2"

MARKS: Final = "blobs"
MANIFESTS: Final = "manifests"
REFERRERS: Final = "referrers"
TAGS: Final = "tags"
IMAGES: Final = "images"
MIRROR: Final = "mirror"
#: Its name says that a mirror made the repository.
MIRROR_ORIGIN: Final = "origin"


def blob_folder(sha256: str) -> str:
    """Return the folder of a blob.

    :param sha256: the hex digits of its digest.
    """
    return f"{BLOBS}/sha256/{sha256[:2]}/{sha256}"


def blob_key(sha256: str) -> str:
    """Return the key of the bytes of a blob."""
    return f"{blob_folder(sha256)}/{DATA}"


def pointer_key(digest: Digest) -> str:
    """Return the key that says which SHA-256 digest belongs to a digest of a different algorithm."""
    return f"{BLOBS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def conversion_key(chain: str) -> str:
    """Return the key of what a chain of v1 images became.

    :param chain: hex digits of the SHA-256 of its payload sums.
    """
    return f"{CONVERSIONS}/{chain[:2]}/{chain}"


def repository_folder(repository: RepositoryName, kind: str) -> str:
    """Return a folder of the distribution API in the folder of a repository.

    :param kind: MARKS, MANIFESTS, REFERRERS, TAGS or IMAGES.

    >>> repository_folder(RepositoryName("mira", "app"), TAGS)
    'repositories/mira/app/_v2/tags'
    """
    return f"{layout.repository_folders(repository)[-1]}/{layout.V2}/{kind}"


def repository_key(repository: RepositoryName, kind: str, name: str) -> str:
    """Return a key of the distribution API in the folder of a repository.

    :param name: a digest, tag or image id.
    """
    return f"{repository_folder(repository, kind)}/{name}"
