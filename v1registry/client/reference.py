"""References: ``HOST[:PORT]/NAMESPACE/NAME:TAG``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidRepositoryName, InvalidTagName
from ..names import RepositoryName, check_tag
from .errors import BadReference

_EXPECTED = "expected HOST[:PORT]/NAMESPACE/NAME:TAG, such as localhost:5000/foo/bar:latest"
_HOST = re.compile(r"((?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Reference:
    """A tag of a repository in a registry."""

    host: str  #: ``name[:port]``, in lower case
    path: str  #: the repository as it was typed; ``str(name)`` has the namespace in any case
    tag: str = "latest"
    scheme: str | None = None  #: ``http`` or ``https`` where the text said so

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference. BadReference, whose text says what is expected.

        The first part is always the registry: a host with a dot or a port, or ``localhost``. Without a tag it is
        ``latest``, without a namespace ``library``. ``http://`` in front asks for plain HTTP.

        >>> Reference.parse("localhost:5000/busybox")
        Reference(host='localhost:5000', path='busybox', tag='latest', scheme=None)
        """
        scheme, rest = split_scheme(text)
        host, slash, path = rest.partition("/")
        if not slash or not path:
            raise BadReference(f"{text!r} names no repository in a registry: {_EXPECTED}")
        if scheme is None and not re.search(r"[.:]|\Alocalhost\Z", host):
            raise BadReference(
                f"{text!r} begins with no registry: a host has a dot or a port, or is localhost; {_EXPECTED}"
            )
        if "@" in path:
            raise BadReference(f"{text!r} has a digest, which the Registry API v1 does not know: {_EXPECTED}")
        repository, tag = path, "latest"
        if ":" in path.rpartition("/")[2]:
            repository, _, tag = path.rpartition(":")
        reference = cls(check_host(host), repository, tag, scheme)
        try:
            if repository != repository.strip("/"):
                raise InvalidRepositoryName
            reference.name.checked()
            check_tag(tag)
        except InvalidRepositoryName as exc:
            raise BadReference(
                f"{repository!r} is no repository's name: parts of letters, digits and . _ -, separated by single "
                "slashes, the first of them (the namespace) in lower case"
            ) from exc
        except InvalidTagName as exc:
            raise BadReference(
                f"{tag!r} is no tag: up to 128 letters, digits and . _ -, and none of . - in front"
            ) from exc
        return reference

    @property
    def name(self) -> RepositoryName:
        return RepositoryName.parse(self.path)

    @property
    def origin(self) -> str:
        """The registry, with the scheme where the text had one."""
        return f"{self.scheme}://{self.host}" if self.scheme else self.host

    @property
    def archive_name(self) -> str:
        """The name of the image in a save archive, as engines write it: without a scheme."""
        return f"{self.host}/{self.path}:{self.tag}"

    def __str__(self) -> str:
        return self.archive_name


def split_scheme(text: str) -> tuple[str | None, str]:
    """Return scheme and rest; None where no scheme stands in front. BadReference for a foreign one."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return None, text
    if scheme.lower() not in ("http", "https"):
        raise BadReference(f"{text!r}: a registry speaks http or https, not {scheme!r}")
    return scheme.lower(), rest


def check_host(text: str) -> str:
    """Return ``name[:port]`` in lower case. BadReference."""
    match = _HOST.fullmatch(text)
    if match is None or (match[2] and not 0 < int(match[2]) < 65536):
        raise BadReference(f"{text!r} is no HOST[:PORT]")
    return text.lower()
