"""Where things lie in a storage: the keys of docker-registry 0.6 to 0.9, and the quoting of names in them.

Source: docker-registry-core, core/driver.py, and the folders that 0.6.0 to 0.9.1 wrote.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote_plus

from ..names import RepositoryName, is_image_id
from ..rights import Content

#: Parts of names that are stored as they are, as nearly all are. Two dots alone are not.
_PLAIN_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")

IMAGES = "images"
REPOSITORIES = "repositories"
#: Ours: below it is an empty key for each repository that may have stars.
STARRED = "stars"
UPLOADS = "uploads"

#: Names of the keys in an image's folder.
JSON = "json"
LAYER = "layer"
ANCESTRY = "ancestry"
CHECKSUM = "_checksum"
IN_PROGRESS = "_inprogress"
FILES = "_files"
DIFF = "_diff"
#: Ours, in an image's folder: which repositories hold which content, the contents beside the first, and the
#: names of the folders that the layer marks as opaque.
HELD = "_held_by"
CONTENTS = "_contents"
OPAQUE = "_opaque"

#: Names of the keys in a repository's folder.
IMAGE_LIST = "_index_images"
PRIVATE = "_private"
INFO = "json"
TAG_PREFIX = "tag_"
#: Ours, in a repository's folder: old servers do not look at them.
COLLABORATORS = "_collaborators"
DESCRIPTION = "_description"
STARS = "_stars"
TAG_RULE = "_tag_rule"
DELETED = "_deleted"
INCARNATION = "_incarnation"
ADOPTED = "_adopted"
#: Below it is all that the distribution API keeps in a repository's folder.
V2 = "_v2"


def image_folder(image_id: str) -> str:
    return f"{IMAGES}/{image_id}"


def image_key(image_id: str, name: str) -> str:
    return f"{IMAGES}/{image_id}/{name}"


def content_folder(content: Content) -> str:
    """Return the folder of a content.

    >>> content_folder(Content("0" * 16)), content_folder(Content("0" * 16, "ab"))
    ('images/0000000000000000', 'images/0000000000000000/_contents/ab')
    """
    folder = image_folder(content.image_id)
    return f"{folder}/{CONTENTS}/{content.variant}" if content.variant else folder


def content_key(content: Content, name: str) -> str:
    """Return the key of one part of a content, such as ``json``."""
    return f"{content_folder(content)}/{name}"


def diff_name(chain: Sequence[Content]) -> str:
    """Return the name of the key for the diff of an image.

    The key of docker-registry is for first contents alone (storage-layout.md 1).

    :param chain: the contents of the image and of its ancestors, the image first.

    >>> diff_name([Content("0" * 16), Content("1" * 16)])
    '_diff'
    >>> diff_name([Content("0" * 16), Content("1" * 16, "ab")])
    '_diff-1bbd33c927568862'
    """
    if not any(content.variant for content in chain):
        return DIFF
    names = " ".join(f"{content.image_id}/{content.variant}" for content in chain)
    return f"{DIFF}-{hashlib.sha256(names.encode('ascii')).hexdigest()[:16]}"


def parent_in(document: bytes) -> str | None:
    """Return the parent that stored JSON names. Anything odd in old data counts as a root."""
    parsed = parse_stored(document)
    parent = parsed.get("parent") if isinstance(parsed, dict) else None
    return parent if is_image_id(parent) and isinstance(parent, str) else None


def parse_stored(data: bytes) -> Any:
    """Return what stored JSON says, None for what is none.

    Old servers wrote into their files in place and kept what came, so a crash left halves there.
    """
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def quote_part(part: str) -> str:
    """Quote one part of a path as Python 2's ``urllib.quote_plus`` did.

    Letters, digits and ``_.-`` stay, a blank becomes ``+``, all else ``%XX``, ``~`` and ``/`` too.

    >>> quote_part("a b~/é")
    'a+b%7E%2F%C3%A9'
    """
    return quote(part, safe=" ").replace("~", "%7E").replace(" ", "+")


def store_part(part: str) -> str:
    """Return the name under which docker-registry 0.8.1 to 0.9.1 stores ``part``: quoted, dots twice.

    >>> store_part(".."), store_part("a%2Fb")
    ('%252E%252E', 'a%252Fb')
    """
    if _PLAIN_PART.fullmatch(part):
        return part
    if part in (".", ".."):
        part = part.replace(".", "%2E")
    return quote_part(part)


def unstore_part(name: str) -> str:
    """Return the part that is stored as ``name``: the reverse of :func:`store_part`.

    >>> unstore_part("%252E%252E"), unstore_part("a+b")
    ('..', 'a b')
    """
    if "%" not in name and "+" not in name:
        return name
    if name in ("%252E", "%252E%252E"):
        return name.replace("%252E", ".")
    return unquote_plus(name)


def repository_folders(name: RepositoryName) -> tuple[str, ...]:
    """Return the folders that may hold the repository, in the order in which to look.

    Versions up to 0.8.0 quote the repository once, 0.8.1 to 0.9.1 twice; the last one given is where a new
    repository goes. For names of letters, digits and ``_.-`` all are the same. The once-quoted
    folder is skipped if it is the folder of a different repository. Otherwise ``a%2Fb`` would open the data
    of ``a/b``, and a check of the name would be bypassed.

    >>> repository_folders(RepositoryName("ns", "a/b"))
    ('repositories/ns/a%2Fb', 'repositories/ns/a%252Fb')
    >>> repository_folders(RepositoryName("ns", "a%2Fb"))
    ('repositories/ns/a%25252Fb',)
    """
    namespace = store_part(name.namespace)
    if _PLAIN_PART.fullmatch(name.repository):
        return (f"{REPOSITORIES}/{namespace}/{name.repository}",)
    once = quote_part(name.repository)
    twice = store_part(once)
    is_other = once in (".", "..", twice) or repository_from_folders(namespace, once) != name
    forms = (twice,) if is_other else (once, twice)
    return tuple(f"{REPOSITORIES}/{namespace}/{form}" for form in forms)


def stored_name(name: RepositoryName) -> str:
    """Return the name under which marks and records keep the repository: ``<namespace>/<folder>``.

    >>> stored_name(RepositoryName("ns", "a/b"))
    'ns/a%252Fb'
    """
    return repository_folders(name)[-1].removeprefix(f"{REPOSITORIES}/")


def repository_from_folders(namespace: str, folder: str) -> RepositoryName:
    """Return the name of the repository that is stored in ``repositories/<namespace>/<folder>``.

    >>> str(repository_from_folders("ns", "a%252Fb")), str(repository_from_folders("ns", "a%2Fb"))
    ('ns/a/b', 'ns/a/b')
    """
    repository = unstore_part(folder)
    if "%25" in folder:
        repository = unquote_plus(repository)
    return RepositoryName(unstore_part(namespace), repository)


def repository_of_key(key: str) -> RepositoryName:
    """Return the repository to which a key below ``repositories`` belongs.

    >>> str(repository_of_key("repositories/ns/a%252Fb/tag_latest"))
    'ns/a/b'
    """
    _, namespace, folder, _ = key.split("/", 3)
    return repository_from_folders(namespace, folder)


def tag_key(folder: str, tag: str) -> str:
    return f"{folder}/{TAG_PREFIX}{store_part(tag)}"


def tag_info_key(folder: str, tag: str) -> str:
    return f"{folder}/tag{store_part(tag)}_json"


def v2_tag_key(name: RepositoryName, tag: str) -> str:
    """Return the key of the side of a tag that the distribution API writes (see distribution/tags.py)."""
    return f"{repository_folders(name)[-1]}/{V2}/tags/{tag}"


def tag_places(folder: str, tag: str) -> tuple[tuple[str, str], ...]:
    """Return the keys under which a tag and its information may be, in the order in which to look.

    The quoted key is tried first, then the unquoted key of versions before 0.8.1. The unquoted key is skipped
    if it is the quoted key of a different tag.

    >>> tag_places("f", "a b")
    (('f/tag_a+b', 'f/taga+b_json'), ('f/tag_a b', 'f/taga b_json'))
    """
    if _PLAIN_PART.fullmatch(tag):
        return ((f"{folder}/{TAG_PREFIX}{tag}", f"{folder}/tag{tag}_json"),)
    quoted = (tag_key(folder, tag), tag_info_key(folder, tag))
    plain = (f"{folder}/{TAG_PREFIX}{tag}", f"{folder}/tag{tag}_json")
    return (quoted,) if quoted == plain or unstore_part(tag) != tag else (quoted, plain)
