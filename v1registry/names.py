"""The grammars of names: image ids, namespaces, repositories, tags, users, addresses, hosts.

Text is matched as a whole: a final newline, which docker-registry accepted, is rejected. New names must
follow the strict grammar; old data stays readable under any name.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from .errors import (
    DigestInvalid,
    ImageNotFound,
    InvalidImageId,
    InvalidRepositoryName,
    InvalidTagName,
    NameInvalid,
    TagInvalid,
)

#: The namespace of repositories that are named without one (docker-registry 0.9.1, toolkit.py).
DEFAULT_NAMESPACE = "library"

#: docker-registry 0.9.1 accepts both lengths; engines since 1.3 use 64 digits only.
_IMAGE_ID = re.compile(r"[a-f0-9]{64}|[a-f0-9]{16}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?|[a-z0-9_]{1,255}")
_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
#: New tags (registry.md 2.4); tags of old data may be anything.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
#: From Docker's documentation 1.5.0 of ``POST /v1/users`` (hub.md 2.1).
_USERNAME = re.compile(r"[a-z0-9_]{4,30}")
#: RFC 5321, 4.1.2, without quoted names and literal addresses. A domain has a dot, or is localhost.
_EMAIL_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})+|localhost")
#: In characters; RFC 5321, 4.5.3.1: the longest path has 256, two of them brackets.
_LONGEST_EMAIL = 254
_LONGEST_EMAIL_NAME = 64
#: The resources below a repository in paths of the APIs, which a name may end in too.
RESERVED_RESOURCES = ("tags", "json", "properties", "images", "auth")

#: Names in the distribution API (OCI distribution-spec 1.1, "Pulling manifests").
_V2_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_V2_NAME = re.compile(rf"{_V2_COMPONENT}(?:/{_V2_COMPONENT})*")
_LONGEST_V2_NAME = 255

_DIGEST = re.compile(r"(sha256):([a-f0-9]{64})|(sha512):([a-f0-9]{128})")

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def is_image_id(text: object) -> bool:
    """Tell whether ``text`` is 16 or 64 lower-case hex digits.

    >>> is_image_id("0123456789abcdef"), is_image_id("0123456789ABCDEF")
    (True, False)
    """
    return isinstance(text, str) and _IMAGE_ID.fullmatch(text) is not None


def check_image_id(text: str) -> str:
    """Return ``text`` if it is an image id.

    :raises InvalidImageId: it is not; the status is 404.
    """
    if not is_image_id(text):
        raise InvalidImageId(image_id=text[:80])
    return text


def check_target_id(text: str) -> str:
    """Return ``text``, the target of a tag, if it is an image id.

    :raises ImageNotFound: it is not.
    """
    if not is_image_id(text):
        raise ImageNotFound(image_id=text[:80])
    return text


def check_tag(text: str) -> str:
    """Return ``text`` if it is a valid new tag, by the grammar of engines since 1.3.

    :raises InvalidTagName: it is not.

    >>> check_tag("1.0-rc_2")
    '1.0-rc_2'
    """
    if not _TAG.fullmatch(text):
        raise InvalidTagName(tag=text[:200])
    return text


def is_username(text: object) -> bool:
    """Tell whether an account of this name may be registered: 4 to 30 of a to z, 0 to 9 and ``_``.

    >>> is_username("mira_k"), is_username("mira-k"), is_username("moe")
    (True, False, False)
    """
    return isinstance(text, str) and _USERNAME.fullmatch(text) is not None


def is_namespace(text: object) -> bool:
    """Tell whether an administrator may give an account this name: 2 to 255 characters of a namespace
    (decisions.md 21).

    >>> is_namespace("mira.kovac"), is_namespace("moe-2"), is_namespace("Mira"), is_namespace("x")
    (True, True, False, False)
    """
    return isinstance(text, str) and len(text) >= 2 and _NAMESPACE.fullmatch(text) is not None


def is_email(text: object) -> bool:
    """Tell whether ``text`` is an e-mail address. It is ASCII; other domains have their ``xn--`` form.

    >>> is_email("mira@example.org"), is_email("mira"), is_email("mira@example.org\\n")
    (True, False, False)
    >>> is_email("Mira <mira@example.org>")
    False
    """
    if not isinstance(text, str) or len(text) > _LONGEST_EMAIL:
        return False
    name, _, domain = text.rpartition("@")
    if len(name) > _LONGEST_EMAIL_NAME or not _EMAIL_NAME.fullmatch(name):
        return False
    return _EMAIL_DOMAIN.fullmatch(domain) is not None


def is_host(text: str) -> bool:
    """Tell whether ``text`` is ``host[:port]``, as in the headers ``Host`` and ``X-Docker-Endpoints``.

    >>> is_host("registry.example.com:5000"), is_host("[::1]"), is_host("http://registry.example.com")
    (True, True, False)
    """
    return _HOST.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Tell whether a host, with or without a port, is this machine: ``localhost``, 127.0.0.0/8 or ::1.

    Names are not resolved. Names below ``localhost`` count too (RFC 6761, 6.3).

    >>> [is_loopback(host) for host in ("127.0.0.1:5000", "[::1]", "::1", "registry.example:5000")]
    [True, True, True, False]
    """
    match = _HOST.fullmatch(host)
    name = match[1].strip("[]").rstrip(".").lower() if match else host
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return match is not None and (name == "localhost" or name.endswith(".localhost"))


def client_network(address: str) -> str:
    """Return what one subscriber has: an IPv4 address, or the /64 network of an IPv6 address (RFC 6177).

    >>> client_network("::ffff:192.0.2.1"), client_network("2001:db8::1:2"), client_network("unix:")
    ('192.0.2.1', '2001:db8::/64', 'unix:')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), 64), strict=False))


def split_url(text: str) -> SplitResult | None:
    """Return the parts of a URL, None if its host or port is invalid.

    >>> split_url("https://ci.example.org:x/"), split_url("https://[/")
    (None, None)
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


@dataclass(frozen=True)
class RepositoryName:
    """The full name of a repository. ``repository`` may have slashes: engines since 1.10 accept any depth."""

    namespace: str
    repository: str

    @classmethod
    def parse(cls, text: str) -> RepositoryName:
        """Split a name from a path. It is not checked.

        Trailing slashes are removed. The first slash separates namespace and repository; without one the
        namespace is ``library`` (docker-registry 0.9.1, toolkit.py).

        >>> RepositoryName.parse("a/b/c")
        RepositoryName(namespace='a', repository='b/c')
        >>> str(RepositoryName.parse("ubuntu"))
        'library/ubuntu'
        """
        namespace, slash, repository = text.rstrip("/").partition("/")
        if not slash:
            namespace, repository = DEFAULT_NAMESPACE, namespace
        return cls(namespace, repository)

    def checked(self) -> RepositoryName:
        """Return this name if it is valid for a new repository.

        Upper case and leading underscores are allowed because docker 0.6 accepted them.

        :raises InvalidRepositoryName: it is not; the status is 400.
        """
        if not _NAMESPACE.fullmatch(self.namespace):
            raise InvalidRepositoryName(repository=str(self)[:300])
        for component in self.repository.split("/"):
            if not _COMPONENT.fullmatch(component):
                raise InvalidRepositoryName(repository=str(self)[:300])
        return self

    @property
    def is_official(self) -> bool:
        """Whether the repository is in the namespace ``library``."""
        return self.namespace == DEFAULT_NAMESPACE

    @property
    def short(self) -> str:
        """The name as users type it, without ``library/``."""
        return self.repository if self.is_official else str(self)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.repository}"


def is_v2_name(text: str) -> bool:
    """Tell whether ``text`` is the name of a repository in the distribution API.

    >>> is_v2_name("library/busybox"), is_v2_name("Upper/case"), is_v2_name("a//b")
    (True, False, False)
    """
    return len(text) <= _LONGEST_V2_NAME and _V2_NAME.fullmatch(text) is not None


def parse_v2_name(text: str) -> RepositoryName:
    """Return the repository that a path of the distribution API names.

    :raises NameInvalid: the name does not follow the grammar (engine-formats.md 7.1).

    >>> str(parse_v2_name("busybox"))
    'library/busybox'
    """
    if not is_v2_name(text):
        raise NameInvalid(detail={"name": text[:300]})
    name = RepositoryName.parse(text)
    try:
        return name.checked()
    except InvalidRepositoryName:
        raise NameInvalid(detail={"name": text[:300]}) from None


def is_v2_tag(text: str) -> bool:
    """Tell whether ``text`` is a tag of the distribution API; the grammar is that of new tags of v1."""
    return _TAG.fullmatch(text) is not None


def check_v2_tag(text: str) -> str:
    """Return ``text`` if it is a tag of the distribution API.

    :raises TagInvalid: it is not.
    """
    if not is_v2_tag(text):
        raise TagInvalid(detail={"tag": text[:200]})
    return text


@dataclass(frozen=True, order=True)
class Digest:
    """The digest of the bytes of a blob or a manifest."""

    algorithm: str  #: ``sha256`` or ``sha512``
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Return the digest that a text says.

        :raises DigestInvalid: it is malformed, or has a different algorithm.

        >>> Digest.parse("sha256:" + 64 * "0").algorithm
        'sha256'
        """
        found = _DIGEST.fullmatch(text)
        if found is None:
            raise DigestInvalid(detail={"digest": text[:200]})
        algorithm, digits = (part for part in found.groups() if part)
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Return the SHA-256 digest of ``data``."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def fits(self, data: bytes) -> bool:
        """Tell whether this is the digest of ``data``."""
        return hashlib.new(self.algorithm, data).hexdigest() == self.hex

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def whole_number(text: str | None, default: int) -> int:
    """Return the number in a parameter of a request, cut to 18 digits; the default if there is none.

    >>> whole_number(" 7 ", 25), whole_number("x", 25), whole_number(None, 25)
    (7, 25, 25)
    """
    found = re.fullmatch(r"\s*([+-]?[0-9]{1,18})[0-9]*\s*", (text or "")[:100], re.ASCII)
    return int(found[1]) if found else default
