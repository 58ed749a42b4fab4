"""Names of images as people write them, and in full (remote.md 4.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .errors import InvalidParameter

#: The host of names without one.
DEFAULT_HOST: Final = "docker.io"

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IMAGE_ID: Final = re.compile(r"[0-9a-f]{64}")

#: The longest path of a name, in characters.
_LONGEST: Final = 255

_INVALID: Final = "invalid reference format"


@dataclass(frozen=True)
class ImageReference:
    """A name of an image: host, path, and a tag or a digest or neither.

    >>> str(ImageReference.parse("busybox")), ImageReference.parse("busybox").full_path
    ('busybox', 'library/busybox')
    >>> str(ImageReference.parse("docker.io/library/busybox:1.0"))
    'busybox:1.0'
    """

    host: str
    path: str  #: as people write it, without ``library/``
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Return the reference that a text names.

        :raises InvalidParameter: the text is no name; the message is docker's.
        """
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise InvalidParameter(_INVALID)
        folder, slash, last = rest.rpartition("/")
        base, colon, tag = last.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise InvalidParameter(_INVALID)
        host, path = _split_host(f"{folder}{slash}{base}")
        if len(path) > _LONGEST:
            raise InvalidParameter(f"repository name must not be longer than {_LONGEST} characters")
        if path.lower() != path:
            raise InvalidParameter(f"{_INVALID}: repository name must be lowercase")
        if not _PATH.fullmatch(path) or not _HOST.fullmatch(host):
            raise InvalidParameter(_INVALID)
        if host == DEFAULT_HOST and not at and _IMAGE_ID.fullmatch(path):
            raise InvalidParameter(
                f"invalid repository name ({path}), cannot specify 64-byte hexadecimal strings"
            )
        if host == DEFAULT_HOST:
            path = path.removeprefix("library/") if path.count("/") == 1 else path
        return cls(host, path, tag if colon else None, digest if at else None)

    @property
    def full_path(self) -> str:
        """The path as registries know it: that of Docker Hub begins with ``library/`` if it has one part."""
        return f"library/{self.path}" if self.host == DEFAULT_HOST and "/" not in self.path else self.path

    @property
    def name(self) -> str:
        """The name without tag and digest, as people write it."""
        return self.path if self.host == DEFAULT_HOST else f"{self.host}/{self.path}"

    def with_tag(self, tag: str) -> ImageReference:
        """Return the reference with a tag in place of its tag or digest.

        :raises InvalidParameter: the tag is invalid; the message is docker's.
        """
        if not _TAG.fullmatch(tag):
            raise InvalidParameter("invalid tag format")
        return ImageReference(self.host, self.path, tag)

    def with_digest(self, digest: str) -> ImageReference:
        """Return the reference with a digest in place of its tag."""
        return ImageReference(self.host, self.path, None, digest)

    @property
    def tagged(self) -> ImageReference:
        """The reference itself, with the tag ``latest`` if it has neither tag nor digest."""
        return self if self.tag or self.digest else self.with_tag("latest")

    def __str__(self) -> str:
        if self.digest:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag}" if self.tag else self.name


def _split_host(name: str) -> tuple[str, str]:
    """Return host and path of a name without tag."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(mark in first for mark in ".:") or first.lower() != first):
        return (DEFAULT_HOST if first == "index.docker.io" else first), rest
    return DEFAULT_HOST, name
