"""The options of the LDAP backend, and the URL that contains them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ...names import is_loopback
from ...settings import without_userinfo

_PORTS: Final = {"ldap": 389, "ldaps": 636}
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+")

_EXPECTED_URL: Final = (
    "must be ldap://host:port/dc=example,dc=test?uid?sub?(objectClass=person)?start_tls=yes,... or ldaps://"
)


@dataclass(frozen=True)
class LdapOptions:
    """The options of :class:`~v1registry.accounts.backends.ldap.Ldap`.

    DNs are not parsed here, because that needs ldap3.

    :raises ValueError: an option is invalid, or two of them exclude each other.
    """

    url: str  #: ``ldap://host:port`` or ``ldaps://host:port``; the default port is 389 or 636
    base_dn: str  #: users are below it
    user_attribute: str = "uid"  #: contains the name of a user
    #: contains the id of a user, the same for ever (RFC 4530). Active Directory has ``objectGUID``. Empty:
    #: users have no ids, and OAuth is off
    id_attribute: str = "entryUUID"
    scope: str = "sub"  #: ``sub`` (the whole tree), ``one`` (directly below the base) or ``base``
    #: matches the entries of users who may log in, such as ``(objectClass=person)``. For Active Directory add
    #: ``(!(userAccountControl:1.2.840.113556.1.4.803:=2))``, so that the tokens of disabled users end
    user_filter: str = "(objectClass=*)"
    bind_dn: str = ""  #: the entry that searches; empty for an anonymous bind
    bind_password: str = field(default="", repr=False)  #: of ``bind_dn``
    #: contains the password instead; it is read for each new connection
    bind_password_file: str | os.PathLike[str] = ""
    #: whether TLS is started on ``ldap://``. Certificate and host name are always verified
    start_tls: bool = False
    ca_file: str | os.PathLike[str] = ""  #: the trusted certificates; empty for those of the system
    timeout_s: float = 5.0  #: for all steps of one question together
    #: contains the DNs of a user's groups, in the entry of the user; empty for none
    group_attribute: str = "memberOf"
    #: groups are below it. Empty: anywhere for ``group_attribute``, below ``base_dn`` for ``group_filter``
    group_base_dn: str = ""
    #: searches groups instead, such as ``(&(objectClass=groupOfNames)(member={dn}))`` or
    #: ``(&(objectClass=posixGroup)(memberUid={username}))``
    group_filter: str = ""
    group_name_attribute: str = "cn"  #: contains the name of a group
    administrators: str = ""  #: the group whose members are administrators; empty for none
    pool_size: int = 4  #: how many connections for searches are kept open
    #: how long a right password is remembered, in seconds. 0 asks the server each time, so that a changed
    #: password and a disabled user count at once
    remember_s: float = 0.0

    def __post_init__(self) -> None:
        _server_of(self.url)
        self._check_search()
        self._check_connection()

    def _check_search(self) -> None:
        if self.scope not in ("base", "one", "sub"):
            raise ValueError(
                f"the scope of a search must be base, one or sub, not {without_userinfo(self.scope)!r}"
            )
        names = [self.user_attribute, self.group_name_attribute]
        for name in (*names, *filter(None, [self.group_attribute, self.id_attribute])):
            if not _ATTRIBUTE.fullmatch(name):
                raise ValueError(f"must be the name of an LDAP attribute, not {without_userinfo(name)!r}")
        for text in (self.user_filter, *filter(None, [self.group_filter])):
            _check_filter(text)

    def _check_connection(self) -> None:
        if self.scheme == "ldaps" and self.start_tls:
            raise ValueError("ldaps:// uses TLS from the beginning; start_tls is for ldap://")
        if not 0 < self.timeout_s <= 3600 or self.pool_size < 0:
            raise ValueError("timeout_s must be more than 0 and at most 3600, pool_size 0 or more")
        if self.bind_password and self.bind_password_file:
            raise ValueError("bind_password and bind_password_file exclude each other")
        if bool(self.bind_dn) != bool(self.bind_password or self.bind_password_file):
            raise ValueError("bind_dn needs bind_password or bind_password_file, and they need bind_dn")

    @property
    def scheme(self) -> str:
        """``ldap`` or ``ldaps``."""
        return _server_of(self.url)[0]

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return _server_of(self.url)[1]

    @property
    def port(self) -> int:
        """The port of the server."""
        return _server_of(self.url)[2]

    @property
    def tls(self) -> str:
        """``start``, ``ldaps``, or empty for no TLS."""
        return "start" if self.start_tls else "ldaps" if self.scheme == "ldaps" else ""

    @property
    def sends_passwords_in_the_clear(self) -> bool:
        """Whether passwords leave this machine without TLS."""
        return not self.tls and not is_loopback(self.host)

    def read_bind_password(self) -> str:
        """Return the password of ``bind_dn``.

        :raises OSError: its file cannot be read.
        """
        if self.bind_password_file:
            return Path(self.bind_password_file).read_text("utf-8").rstrip("\r\n")
        return self.bind_password

    @classmethod
    def from_url(cls, url: str, **options: Any) -> LdapOptions:
        """Return the options that a URL in the form of RFC 4516 contains.

        ``ldap://host:port/BASE_DN?USER_ATTRIBUTE?SCOPE?USER_FILTER?OPTION=VALUE,OPTION=VALUE``. The options
        are the fields of this class, with ``yes`` or ``no`` for booleans. Values with a comma, a question
        mark or a percent sign are percent-encoded (only the base DN may contain commas).

        :param options: take precedence over the URL.
        :raises ValueError: the URL is invalid. The message does not show it, because it may contain a
            password.
        """
        address, _, rest = url.partition("://")[2].partition("/")
        parts = rest.split("?")
        if len(parts) > 5 or not url.startswith(("ldap://", "ldaps://")):
            raise ValueError(_EXPECTED_URL)
        base_dn, attribute, scope, text, extensions = (*parts, "", "", "", "")[:5]
        found: dict[str, Any] = {}
        for extension in filter(None, extensions.split(",")):
            name, _, value = extension.partition("=")
            if name not in _CONVERTERS:
                # the name is not shown: it may be what follows a comma in a password
                raise ValueError(
                    f"{_EXPECTED_URL}; the options are {', '.join(_CONVERTERS)}, "
                    "and a comma in a value is written %2C"
                )
            found[name] = _CONVERTERS[name](name, unquote(value))
        named = {"user_attribute": attribute, "scope": scope, "user_filter": text}
        found |= {name: unquote(value) for name, value in named.items() if value}
        return cls(f"{url.partition('://')[0]}://{address}", unquote(base_dn), **(found | options))


def _server_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port.

    :raises ValueError: the URL has other parts, or lacks one of these.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_EXPECTED_URL) from None
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError(_EXPECTED_URL)
    return parts.scheme, host, port or _PORTS[parts.scheme]


def _check_filter(text: str) -> None:
    """Check that brackets match and enclose everything.

    :raises ValueError: they do not.
    """
    depth = 0
    is_one = text.startswith("(") and text.endswith(")")
    for position, character in enumerate(text, start=1):
        depth += {"(": 1, ")": -1}.get(character, 0)
        is_one = is_one and (depth > 0) == (position < len(text))
    if not is_one:
        raise ValueError(
            f"must be an LDAP filter such as (objectClass=person), not {without_userinfo(text)!r}"
        )


def _text(name: str, value: str) -> str:
    return value


def _flag(name: str, value: str) -> bool:
    if value not in ("yes", "no", ""):
        raise ValueError(f"{name} must be yes or no")
    return value != "no"


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name} must be a number") from None


def _count(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise ValueError(f"{name} must be a whole number")
    return int(value)


#: The options of a URL: field -> function of its name and its text.
_CONVERTERS: Final[dict[str, Callable[[str, str], Any]]] = {
    "id_attribute": _text,
    "bind_dn": _text,
    "bind_password": _text,
    "bind_password_file": _text,
    "start_tls": _flag,
    "ca_file": _text,
    "timeout_s": _number,
    "group_attribute": _text,
    "group_base_dn": _text,
    "group_filter": _text,
    "group_name_attribute": _text,
    "administrators": _text,
    "pool_size": _count,
    "remember_s": _number,
}
