"""Converters of settings: from text to values.

Each raises ValueError with a phrase that begins with "must be". If it has ", not WORD", no caller adds the
whole value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .names import is_email, is_host, split_url
from .paths import is_reserved

_SIZE_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

_ORIGIN: Final = re.compile(r"\*|https?://[a-z0-9._-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


def text(value: str) -> str:
    """Return any text as it is."""
    return value


def size(value: str) -> int:
    """Return a number of bytes.

    >>> size("16 MiB"), size("3k")
    (16777216, 3072)
    """
    found = re.fullmatch(r"(\d{1,15})\s*([kmgt]?)(?:i?b)?", value.strip().lower())
    if found is None:
        raise ValueError("must be a number of bytes, such as 16777216, 16M or 64GiB")
    return int(found[1]) * _SIZE_UNITS[found[2]]


def positive_number(value: str) -> int:
    """Return a whole number of at most 9 digits, not 0."""
    if not re.fullmatch(r"[0-9]{1,9}", value.strip()) or int(value) == 0:
        raise ValueError("must be a whole number above 0")
    return int(value)


def number(value: str) -> int:
    """Return a whole number of at most 9 digits."""
    if not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        raise ValueError("must be a whole number")
    return int(value)


def port(value: str) -> int:
    """Return a port; 0 stands for any free one."""
    if not re.fullmatch(r"[0-9]{1,5}", value.strip()) or int(value) > 65535:
        raise ValueError("must be a port from 0 to 65535")
    return int(value)


def count(value: str) -> int:
    """Return a number from 1 to 999."""
    if not re.fullmatch(r"[0-9]{1,3}", value.strip()) or int(value) == 0:
        raise ValueError("must be a whole number from 1 to 999")
    return int(value)


def host_to_bind(value: str) -> str:
    """Return the address or name of this machine, without port and brackets."""
    if not re.fullmatch(r"[!-~]+", value) or re.search(r"[/@\[\]]", value):
        raise ValueError("must be an address of this machine, such as 127.0.0.1, ::1 or 0.0.0.0")
    return value


def public_url(value: str) -> str:
    """Return a URL that clients get to see, or empty text."""
    parts = split_url(url(value))
    if parts is not None and "@" in parts.netloc:
        raise ValueError("must be a URL without user name and password, because every client sees it")
    return url(value)


def url(value: str) -> str:
    """Return an http or https URL without query and fragment, its scheme in lower case; or empty text.

    >>> url("HTTPS://registry.example.com/Hub")
    'https://registry.example.com/Hub'
    """
    if not value:
        return value
    parts = split_url(value)
    is_url = parts is not None and parts.scheme in ("http", "https") and parts.netloc
    # blanks and line breaks would end up in headers
    if parts is None or not is_url or parts.query or parts.fragment or re.search(r"[\x00-\x20\x7f]", value):
        raise ValueError("must be a URL such as https://registry.example.com")
    return parts.scheme + value[len(parts.scheme) :]


def registry_url(value: str) -> str:
    """Return the URL of a registry, which has no path; or empty text.

    >>> registry_url("https://registry.example.com/")
    'https://registry.example.com'
    """
    parts = split_url(url(value))
    if parts is not None and value and (parts.path.strip("/") or not is_host(parts.netloc)):
        raise ValueError("must be a URL without path and user name, such as https://registry.example.com")
    return url(value).rstrip("/")


def title(value: str) -> str:
    """Return a line of text of at most 60 characters.

    >>> title(" Acme images ")
    'Acme images'
    """
    line = value.strip()
    if not line or len(line) > 60 or not line.isprintable():
        raise ValueError("must be a line of 1 to 60 characters, such as Acme images")
    return line


def page_url(value: str) -> str:
    """Return the address of a page: a path, or an http or https URL, with query; or empty text.

    >>> page_url("/accounts/login?next={next}"), page_url("https://sso.example.com/")
    ('/accounts/login?next={next}', 'https://sso.example.com/')
    """
    parts = split_url(value)
    is_path = re.fullmatch(r"/(?![/\\\\])[!-\[\]-~]*", value) is not None
    is_url = parts is not None and parts.scheme in ("http", "https") and is_host(parts.netloc)
    if value and not (is_path or (is_url and re.fullmatch(r"[!-\[\]-~]*", value))):
        raise ValueError("must be a path or a URL such as https://example.com/login?next={next}")
    return value


def hosts(value: str) -> str:
    """Return one or more ``host[:port]`` with commas between them, or empty text."""
    if value and not all(is_host(host.strip()) for host in value.split(",")):
        raise ValueError("must be host[:port], or several with commas")
    return value


def location(value: str) -> str:
    """Return an internal location of nginx, or empty text."""
    if not re.fullmatch(r"(/[\x21-\x7e]*)?", value):
        raise ValueError("must be an internal location such as /layers")
    return value


def link_path(value: str) -> str:
    """Return a path of two segments or more."""
    is_path = re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._~-]*){2,}", value)
    if is_path is None or is_reserved(value):
        raise ValueError(
            "must be a path of two segments or more, such as /accounts/activate, that belongs to no API"
        )
    return value


def pages(value: str) -> str:
    """Return ``on``, ``off`` or a path."""
    if value in ("on", "off"):
        return value
    is_path = re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._~-]*)+", value)
    if is_path is None or is_reserved(value):
        raise ValueError("must be on, off, or a path such as /registry that belongs to no API")
    return value


def folder(value: str) -> str:
    """Return the path of an existing directory, or empty text."""
    if value and not Path(value).is_dir():
        raise ValueError("must be an existing directory")
    return value


def file_to_write(value: str) -> str:
    """Return the path of a file in an existing directory, or empty text."""
    if value and (not Path(value).parent.is_dir() or Path(value).is_dir()):
        raise ValueError("must be a file in an existing directory, such as /var/log/v1registry/access.log")
    return value


def email(value: str) -> str:
    """Return an e-mail address, or empty text."""
    if value and not is_email(value):
        raise ValueError("must be an address such as registry@example.org")
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a converter that accepts these words."""

    def convert(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return convert


def platform(value: str) -> str:
    """Return an operating system and an architecture: ``linux/amd64``."""
    if re.fullmatch(r"[a-z0-9]+/[a-z0-9]+", value) is None:
        raise ValueError("must be OS/ARCHITECTURE, such as linux/amd64")
    return value


def words(value: str) -> tuple[str, ...]:
    """Return the words of a text, separated by blanks or commas."""
    return tuple(value.replace(",", " ").split())


def flag(value: str) -> bool:
    """Return whether the text is ``yes``.

    >>> flag("yes"), flag("off"), flag("True")
    (True, False, True)
    """
    known = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
    if value.strip().lower() not in known:
        raise ValueError("must be yes or no")
    return known[value.strip().lower()]


def origins(value: str) -> tuple[str, ...]:
    """Return origins of web sites as browsers send them, or ``*``."""
    found = []
    for word in words(value):
        if not _ORIGIN.fullmatch(word.lower()):
            raise ValueError(
                "must be *, or origins such as https://ui.example.com without a path or final slash, "
                f"not {word!r}"
            )
        scheme, colon, rest = word.lower().partition(":")
        found.append(f"{scheme}{colon}{rest.removesuffix({'https': ':443', 'http': ':80'}.get(scheme, ' '))}")
    return tuple(found)


def networks(value: str) -> tuple[str, ...]:
    """Return IP addresses and networks, as text."""
    for word in words(value):
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            raise ValueError(f"must be IP addresses or networks, not {word!r}") from None
        if "/" in word and network.network_address != ipaddress.ip_interface(word).ip:
            raise ValueError(f"must be IP addresses or networks such as {network}, not {word!r}")
    return words(value)
