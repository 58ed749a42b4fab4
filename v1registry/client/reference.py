"""References: ``HOST[:PORT]/NAMESPACE/NAME:TAG``, or with a digest behind or in place of the tag."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DigestInvalid, InvalidRepositoryName, InvalidTagName
from ..names import Digest, RepositoryName, check_tag
from .errors import BadReference

#: Where the images are whose names begin with ``docker.io``, as in the docker command.
#: Source: docker v28 registry/config.go, distribution/reference v0.6 normalize.go.
HUB_REGISTRY = "registry-1.docker.io"
_HUB, _OLD_HUB = "docker.io", "index.docker.io"

_EXPECTED = "must be HOST[:PORT]/NAMESPACE/NAME:TAG, such as localhost:5000/foo/bar:latest"
_HOST = re.compile(r"((?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Reference:
    """A tag of a repository in a registry, or a manifest by its digest."""

    host: str  #: ``name[:port]``, in lower case
    path: str  #: the repository as written; ``str(name)`` always has the namespace
    tag: str = "latest"  #: empty if there is a digest alone
    scheme: str | None = None  #: ``http`` or ``https`` if the text has it
    digest: Digest | None = None  #: counts before the tag

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse a reference.

        The first part is always the registry: a host with a dot or a port, or ``localhost``. The default tag
        is ``latest``, the default namespace ``library``. ``http://`` in front chooses plain http. A digest
        takes the place of the tag, or follows it.

        :raises BadReference: the text is not a reference. The message says what it must be.

        >>> Reference.parse("localhost:5000/busybox")
        Reference(host='localhost:5000', path='busybox', tag='latest', scheme=None, digest=None)
        """
        scheme, rest = split_scheme(text)
        host, slash, path = rest.partition("/")
        if not slash or not path:
            raise BadReference(f"{text!r} has no repository: a reference {_EXPECTED}")
        if scheme is None and not re.search(r"[.:]|\Alocalhost\Z", host):
            raise BadReference(
                f"{text!r} must begin with a registry, which has a dot or a port, or is localhost: "
                f"a reference {_EXPECTED}"
            )
        path, at, digits = path.partition("@")
        try:
            digest = Digest.parse(digits) if at else None
        except DigestInvalid as exc:
            raise BadReference(f"digest must be sha256: and 64 hex digits, not {digits[:200]!r}") from exc
        repository, tag = path, "" if digest else "latest"
        if ":" in path.rpartition("/")[2]:
            repository, _, tag = path.rpartition(":")
        name = check_host(host)
        reference = cls(_HUB if name == _OLD_HUB else name, repository, tag, scheme, digest)
        try:
            if repository != repository.strip("/"):
                raise InvalidRepositoryName
            reference.name.checked()
            if tag or digest is None or path != repository:
                check_tag(tag)
        except InvalidRepositoryName as exc:
            raise BadReference(
                "repository must be parts of letters, digits and . _ - with single slashes between, the "
                f"first part (the namespace) in lower case, not {repository!r}"
            ) from exc
        except InvalidTagName as exc:
            raise BadReference(
                f"tag must be 1 to 128 letters, digits and . _ -, and not begin with . or -, not {tag!r}"
            ) from exc
        return reference

    @property
    def name(self) -> RepositoryName:
        """The repository with its namespace."""
        return RepositoryName.parse(self.path)

    @property
    def registry(self) -> str:
        """The host to ask: for names of ``docker.io`` a different one."""
        return registry_of(self.host)

    @property
    def v2_name(self) -> str:
        """The repository as the distribution API names it: as written, with ``library/`` at ``docker.io``."""
        return str(self.name) if self.host == _HUB else self.path

    @property
    def origin(self) -> str:
        """The registry, with the scheme if the text has one."""
        return f"{self.scheme}://{self.registry}" if self.scheme else self.registry

    @property
    def place(self) -> str | Digest:
        """The digest, or the tag without one."""
        return self.digest or self.tag

    @property
    def archive_name(self) -> str | None:
        """The name of the image in a save archive, without the scheme, as engines write it; None without a
        tag."""
        return f"{self.host}/{self.path}:{self.tag}" if self.tag else None

    def __str__(self) -> str:
        name = self.archive_name or f"{self.host}/{self.path}"
        return f"{name}@{self.digest}" if self.digest else name


def registry_of(host: str) -> str:
    """Return the host to ask for names that begin with a host.

    >>> registry_of("docker.io"), registry_of("localhost:5000")
    ('registry-1.docker.io', 'localhost:5000')
    """
    return HUB_REGISTRY if host in (_HUB, _OLD_HUB) else host


def split_scheme(text: str) -> tuple[str | None, str]:
    """Return the scheme, None without one, and the rest.

    :raises BadReference: the scheme is not http or https.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        return None, text
    if scheme.lower() not in ("http", "https"):
        raise BadReference(f"scheme of a registry must be http or https, not {scheme!r}")
    return scheme.lower(), rest


def check_host(text: str) -> str:
    """Return ``name[:port]`` in lower case.

    :raises BadReference: the text is something else.
    """
    match = _HOST.fullmatch(text)
    if match is None or (match[2] and not 0 < int(match[2]) < 65536):
        raise BadReference(f"registry must be HOST[:PORT], not {text!r}")
    return text.lower()
