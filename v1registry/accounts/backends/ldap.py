"""Users of an LDAP directory: found by a search, verified by a bind."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ...log import get_logger
from ...names import is_loopback
from ...rights import User
from ..base import Backend, BackendUnavailable
from ..passwords import PasswordMemory
from .ldap_server import Deadline, Entry, LdapFailure, LdapServer, escape_filter_chars, split_dn

log = get_logger(__name__)

_PORTS: Final = {"ldap": 389, "ldaps": 636}
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+")

_EXPECTED_URL: Final = "ldap://host:port/dc=example,dc=test?uid?sub?(objectClass=person)?start_tls=yes,... is expected, or ldaps://"


class Ldap(Backend):
    """Finds the entry of a user, then binds as that entry with the password. Safe for threads.

    Exactly one entry has to be found: none or several are a refusal. Names and filters are escaped, so ``*`` and brackets
    in a name are just characters. The user's name is the one that the entry has, as directories find ``ALICE`` where ``alice`` is
    stored. An empty password is refused before anything is asked, because servers take a bind without a password for
    an anonymous one that succeeds. An unknown name costs a bind too: with a name that no entry has.

    Groups become namespaces under their common name, in lower case. They come from an attribute of the user's entry that holds
    the groups' DNs (``memberOf``), or, with ``group_filter``, from a search.

    :param url: ``ldap://host:port`` or ``ldaps://host:port``; without a port 389 or 636. :meth:`from_url` takes all in one URL.
    :param base_dn: below which users are.
    :param user_attribute: what holds the name of a user.
    :param scope: ``sub`` (the whole tree), ``one`` (directly below the base) or ``base``.
    :param user_filter: which entries are users who may log in, such as ``(objectClass=person)``. For Active Directory add
        ``(!(userAccountControl:1.2.840.113556.1.4.803:=2))``, so that tokens of disabled users end too.
    :param bind_dn: the entry that searches; nobody when empty.
    :param bind_password: its password. Or ``bind_password_file``: a file that holds it and is read when a connection is made.
    :param start_tls: whether TLS is started on ``ldap://``. Certificate and host name are always verified.
    :param ca_file: the certificates that are trusted for TLS; those of the system when empty.
    :param timeout_s: how long one question may take, all its steps together, in seconds.
    :param group_attribute: the attribute of the user's entry with the DNs of the groups; none when empty.
    :param group_base_dn: below which groups are; for ``memberOf`` too, where groups elsewhere do not count. When empty, anywhere for
        ``memberOf``, and ``base_dn`` for a search.
    :param group_filter: searches groups instead, such as ``(&(objectClass=groupOfNames)(member={dn}))`` or
        ``(&(objectClass=posixGroup)(memberUid={username}))``.
    :param group_name_attribute: what holds the name of a group.
    :param administrators: the name of the group whose members are administrators; nobody is when empty.
    :param pool_size: how many connections for searches are kept open.
    :param remember_s: how long a right password is remembered, in seconds. 0 asks the server each time, so that a
        changed password and a disabled user count at once.

    BackendUnavailable, with a clear text, while the server cannot be reached, does not answer in time, or refuses to
    search; the next question tries again. ValueError for parameters that make no sense, ImportError where ldap3 is
    missing: ``pip install 'v1registry[ldap]'``. ``close()``, or leaving the ``with`` block, closes the connections.
    """

    def __init__(
        self,
        url: str,
        base_dn: str,
        *,
        user_attribute: str = "uid",
        scope: str = "sub",
        user_filter: str = "(objectClass=*)",
        bind_dn: str = "",
        bind_password: str = "",
        bind_password_file: str | os.PathLike[str] = "",
        start_tls: bool = False,
        ca_file: str | os.PathLike[str] = "",
        timeout_s: float = 5.0,
        group_attribute: str = "memberOf",
        group_base_dn: str = "",
        group_filter: str = "",
        group_name_attribute: str = "cn",
        administrators: str = "",
        pool_size: int = 4,
        remember_s: float = 0.0,
    ) -> None:
        scheme, host, port = _server_of(url)
        if scope not in ("base", "one", "sub"):
            raise ValueError(f"base, one or sub is expected as the scope of a search, not {scope!r}")
        for dn in (base_dn, *([group_base_dn] if group_base_dn else [])):
            if not split_dn(dn):
                raise ValueError(f"a DN such as dc=example,dc=test is expected, not {dn!r}")
        for name in (user_attribute, group_name_attribute, *([group_attribute] if group_attribute else [])):
            if not _ATTRIBUTE.fullmatch(name):
                raise ValueError(f"the name of an LDAP attribute is expected, not {name!r}")
        for text in (user_filter, *([group_filter] if group_filter else [])):
            _check_filter(text)
        if scheme == "ldaps" and start_tls:
            raise ValueError("ldaps:// is TLS from the beginning; start_tls is for ldap://")
        if not 0 < timeout_s <= 3600 or pool_size < 0:
            raise ValueError("a timeout of more than 0 s and a pool of 0 connections or more are expected")
        if bind_password and bind_password_file:
            raise ValueError("one of bind_password and bind_password_file is expected, not both")
        if bool(bind_dn) != bool(bind_password or bind_password_file):
            raise ValueError(
                "bind_dn and its password (bind_password, bind_password_file) are expected together"
            )
        if scheme == "ldap" and not start_tls and not is_loopback(host):
            log.warning("passwords go to the LDAP server %s unprotected; use ldaps:// or start_tls", host)

        def read_password() -> str:
            if bind_password_file:
                return Path(bind_password_file).read_text("utf-8").rstrip("\r\n")
            return bind_password

        self._url = f"{scheme}://{host}:{port}"
        self._server = LdapServer(
            host,
            port,
            tls="start" if start_tls else "ldaps" if scheme == "ldaps" else "",
            ca_file=os.fspath(ca_file),
            bind_dn=bind_dn,
            bind_password=read_password,
            pool_size=pool_size,
        )
        self._base_dn = base_dn
        self._user_attribute = user_attribute
        self._scope = scope
        self._user_filter = user_filter
        self._timeout_s = timeout_s
        self._group_attribute = group_attribute
        self._group_base = split_dn(group_base_dn)
        self._group_base_dn = group_base_dn
        self._group_filter = group_filter
        self._group_name_attribute = group_name_attribute
        self._administrators = administrators.lower()
        self._memory: PasswordMemory[User] = PasswordMemory(remember_s)
        self._nobody_dn = f"cn=nobody-{secrets.token_hex(8)},{base_dn}"

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Ldap:
        """Return the backend for a URL in the form of RFC 4516. ValueError, which shows nothing of the URL.

        ``ldap://host:port/BASE_DN?USER_ATTRIBUTE?SCOPE?USER_FILTER?OPTION=VALUE,OPTION=VALUE``. The options are the
        parameters of this class, ``yes`` or ``no`` where True or False is meant. What holds a comma, a question mark or a
        percent sign is percent-encoded (only the base DN may have commas). Keywords go before what the URL says.
        """
        address, _, rest = url.partition("://")[2].partition("/")
        parts = rest.split("?")
        if len(parts) > 5 or not url.startswith(("ldap://", "ldaps://")):
            raise ValueError(_EXPECTED_URL)
        base_dn, attribute, scope, text, extensions = (*parts, "", "", "", "")[:5]
        found: dict[str, Any] = {}
        for extension in filter(None, extensions.split(",")):
            name, _, value = extension.partition("=")
            if name not in _OPTIONS:
                # it is not shown: it may be what follows a comma in a password
                raise ValueError(
                    f"{_EXPECTED_URL}; the options are {', '.join(_OPTIONS)}, and a comma in a value is written %2C"
                )
            found[name] = _OPTIONS[name](name, unquote(value))
        named = {"user_attribute": attribute, "scope": scope, "user_filter": text}
        found |= {name: unquote(value) for name, value in named.items() if value}
        found |= options
        return cls(f"{url.partition('://')[0]}://{address}", unquote(base_dn), **found)

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the protocol. BackendUnavailable."""
        if not password or not _is_unicode(username + password):
            return None
        return self._memory.get(username, password, "", lambda: self._asked(username, password))

    def find(self, username: str) -> User | None:
        """Return the user, None where there is none. BackendUnavailable."""
        if not _is_unicode(username):
            return None
        deadline = Deadline(self._timeout_s)
        with _available():
            entry = self._entry(username, deadline)
            return None if entry is None else self._user(entry, username, deadline)

    def close(self) -> None:
        """Close the connections that are kept; the next question opens new ones."""
        self._server.close()

    def __enter__(self) -> Ldap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r}, {self._base_dn!r})"

    # -- steps

    def _asked(self, username: str, password: str) -> User | None:
        deadline = Deadline(self._timeout_s)
        with _available():
            entry = self._entry(username, deadline)
            is_right = self._server.accepts(entry.dn if entry else self._nobody_dn, password, deadline)
            return self._user(entry, username, deadline) if entry and is_right else None

    def _entry(self, username: str, deadline: Deadline) -> Entry | None:
        """Return the one entry of a user, None where there is none or more than one. LdapFailure."""
        attributes = [self._user_attribute]
        if self._group_attribute and not self._group_filter:
            attributes.append(self._group_attribute)
        text = f"(&{self._user_filter}({self._user_attribute}={escape_filter_chars(username)}))"
        found = self._server.search(self._base_dn, self._scope, text, attributes, 2, deadline)
        if len(found) > 1:
            log.warning("several entries below %s match one user name; nobody is let in", self._base_dn)
        return found[0] if len(found) == 1 and found[0].dn else None

    def _user(self, entry: Entry, username: str, deadline: Deadline) -> User:
        groups = frozenset(name.lower() for name in self._groups(entry, username, deadline))
        return User(
            name=self._name(entry, username),
            groups=groups,
            is_administrator=bool(self._administrators) and self._administrators in groups,
        )

    def _name(self, entry: Entry, username: str) -> str:
        """Return the user's name as the entry has it."""
        names = entry.attributes.get(self._user_attribute.lower(), [])
        if not names:
            raise LdapFailure(
                "The LDAP server cannot look up users now, try again later",
                f"{entry.dn} was found, but its {self._user_attribute} may not be read",
            )
        for name in names:
            if name == username:
                return name
        return next((name for name in names if name.casefold() == username.casefold()), names[0])

    def _groups(self, entry: Entry, username: str, deadline: Deadline) -> Iterator[str]:
        name_attribute = self._group_name_attribute.lower()
        if self._group_filter:
            values = {"{dn}": entry.dn, "{username}": self._name(entry, username)}
            text = re.sub(
                r"\{dn\}|\{username\}", lambda hole: escape_filter_chars(values[hole[0]]), self._group_filter
            )
            base = self._group_base_dn or self._base_dn
            for group in self._server.search(base, "sub", text, [self._group_name_attribute], 0, deadline):
                yield from group.attributes.get(name_attribute, [])
            return
        for dn in entry.attributes.get(self._group_attribute.lower(), []):
            parts = split_dn(dn)
            if parts and name_attribute in parts[0] and _is_below(parts, self._group_base):
                yield parts[0][name_attribute]


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except LdapFailure as error:
        log.error("%s: %s", error.public, error.reason)
        raise BackendUnavailable(error.public) from error


# -- parameters


def _server_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port. ValueError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_EXPECTED_URL) from None
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError(_EXPECTED_URL)
    return parts.scheme, host, port or _PORTS[parts.scheme]


def _check_filter(text: str) -> None:
    """Check that brackets match and surround all. ValueError."""
    depth = 0
    is_one = text.startswith("(") and text.endswith(")")
    for position, character in enumerate(text, start=1):
        depth += {"(": 1, ")": -1}.get(character, 0)
        is_one = is_one and (depth > 0) == (position < len(text))
    if not is_one:
        raise ValueError(f"an LDAP filter such as (objectClass=person) is expected, not {text!r}")


def _is_unicode(text: str) -> bool:
    """Tell whether the text can be in a directory; lone surrogates cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_below(parts: list[dict[str, str]], base: list[dict[str, str]]) -> bool:
    """Tell whether a DN is below a base; values are compared without case."""
    wanted = [{name: value.lower() for name, value in part.items()} for part in base]
    given = [{name: value.lower() for name, value in part.items()} for part in parts]
    return len(given) > len(wanted) and given[len(given) - len(wanted) :] == wanted


def _text(name: str, value: str) -> str:
    return value


def _flag(name: str, value: str) -> bool:
    if value not in ("yes", "no", ""):
        raise ValueError(f"{name}: yes or no is expected")
    return value != "no"


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name}: a number is expected") from None


def _count(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise ValueError(f"{name}: a whole number is expected")
    return int(value)


#: The options of a URL: parameters of Ldap with what makes values of their texts.
_OPTIONS: Final[dict[str, Callable[[str, str], Any]]] = {
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
