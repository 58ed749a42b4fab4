"""Users of an LDAP directory, found by a search and verified by a bind."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ...clock import SYSTEM_CLOCK, Clock
from ...log import get_logger
from ...rights import User
from ...settings import without_userinfo
from ..base import Backend, BackendUnavailable
from ..passwords import PasswordMemory
from .ldap_options import LdapOptions
from .ldap_server import LdapServer, escape_filter_chars, split_dn
from .ldap_values import Deadline, Entry, LdapFailure

__all__ = ["Ldap", "LdapOptions"]

log = get_logger(__name__)


class Ldap(Backend):
    """Finds the entry of a user, then binds as that entry with the password. Safe for threads.

    Exactly one entry must be found, otherwise the login is refused. Names and filters are escaped, so ``*``
    and brackets in a name are plain characters. The user's name is the one in the entry, because directories
    find ``ALICE`` if ``alice`` is stored. An empty password is refused without a question, because servers
    accept a bind without a password as anonymous. An unknown name costs a bind too, as an entry that does not
    exist.

    Groups become namespaces under their common name, in lower case. They come from an attribute of the user's
    entry that contains the DNs of the groups (``memberOf``), or, with ``group_filter``, from a search.

    If the server cannot be reached, does not answer in time or refuses to search, every method raises
    BackendUnavailable, and the next question tries again. ``close()``, or leaving the ``with`` block, closes
    the connections.

    :param options: the server, and how users and groups are found. :meth:`from_url` reads them from a URL.
    :raises ValueError: a DN of the options is invalid.
    :raises ImportError: ldap3 is missing: ``pip install 'v1registry[ldap]'``.
    """

    def __init__(self, options: LdapOptions, *, clock: Clock = SYSTEM_CLOCK) -> None:
        for dn in (options.base_dn, *filter(None, [options.group_base_dn])):
            if not split_dn(dn):
                raise ValueError(f"must be a DN such as dc=example,dc=test, not {without_userinfo(dn)!r}")
        if options.sends_passwords_in_the_clear:
            log.warning(
                "passwords are sent to the LDAP server %s unprotected; use ldaps:// or start_tls",
                options.host,
            )
        self._options = options
        self._server = LdapServer(
            options.host,
            options.port,
            tls=options.tls,
            ca_file=str(options.ca_file),
            bind_dn=options.bind_dn,
            bind_password=options.read_bind_password,
            pool_size=options.pool_size,
        )
        self._group_base = split_dn(options.group_base_dn)
        self._memory: PasswordMemory[User] = PasswordMemory(options.remember_s, clock=clock)
        self._has_warned = False  # of an entry without an id
        self._nobody_dn = f"cn=nobody-{secrets.token_hex(8)},{options.base_dn}"

    @classmethod
    def from_url(cls, url: str, *, clock: Clock = SYSTEM_CLOCK, **options: Any) -> Ldap:
        """Return the backend for a URL; see :meth:`LdapOptions.from_url`.

        :raises ValueError: the URL is invalid. The message does not show it.
        """
        return cls(LdapOptions.from_url(url, **options), clock=clock)

    @property
    def has_ids(self) -> bool:
        """Whether an attribute contains the ids. A user whose entry lacks it has none."""
        return bool(self._options.id_attribute)

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the base class."""
        if not password or not _is_unicode(username + password):
            return None
        return self._memory.get(username, password, "", lambda: self._verified(username, password))

    def find(self, username: str) -> User | None:
        """Return the user, None if there is none.

        :raises BackendUnavailable: the server cannot answer now.
        """
        if not _is_unicode(username):
            return None
        deadline = Deadline(self._options.timeout_s)
        with _available():
            entry = self._entry(username, deadline)
            return None if entry is None else self._user(entry, username, deadline)

    def problems(self, *, asks_servers: bool = True) -> list[str]:
        """Return why the directory cannot be searched now, and whether passwords are sent without TLS.

        Only ``asks_servers`` gives any: a log line has warned of unprotected passwords when this was made.
        """
        if not asks_servers:
            return []
        options = self._options
        place = f"{options.scheme}://{options.host}:{options.port}"
        problems = []
        if options.sends_passwords_in_the_clear:
            problems.append(f"{place}: passwords are sent unprotected; use ldaps:// or start_tls=yes")
        try:
            # no user has this name: the search alone matters
            self._entry(secrets.token_hex(8), Deadline(options.timeout_s))
        except LdapFailure as error:
            problems.append(f"{place}: {error.public}: {error.reason}")
        return problems

    def close(self) -> None:
        """Close the connections that are kept. The next question opens new ones."""
        self._server.close()

    def __enter__(self) -> Ldap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        options = self._options
        return (
            f"{type(self).__name__}('{options.scheme}://{options.host}:{options.port}', {options.base_dn!r})"
        )

    # -- steps

    def _verified(self, username: str, password: str) -> User | None:
        deadline = Deadline(self._options.timeout_s)
        with _available():
            entry = self._entry(username, deadline)
            is_right = self._server.accepts(entry.dn if entry else self._nobody_dn, password, deadline)
            return self._user(entry, username, deadline) if entry and is_right else None

    def _entry(self, username: str, deadline: Deadline) -> Entry | None:
        """Return the only entry of a user; None if there is none or more than one.

        :raises LdapFailure: the server did not search.
        """
        options = self._options
        attributes = [options.user_attribute, *filter(None, [options.id_attribute])]
        if options.group_attribute and not options.group_filter:
            attributes.append(options.group_attribute)
        text = f"(&{options.user_filter}({options.user_attribute}={escape_filter_chars(username)}))"
        found = self._server.search(options.base_dn, options.scope, text, attributes, 2, deadline)
        if len(found) > 1:
            log.warning("several entries below %s match one user name; the login is refused", options.base_dn)
        return found[0] if len(found) == 1 and found[0].dn else None

    def _user(self, entry: Entry, username: str, deadline: Deadline) -> User:
        administrators = self._options.administrators.lower()
        groups = frozenset(name.lower() for name in self._groups(entry, username, deadline))
        return User(
            name=self._name(entry, username),
            groups=groups,
            is_administrator=bool(administrators) and administrators in groups,
            id=self._id(entry),
        )

    def _name(self, entry: Entry, username: str) -> str:
        """Return the user's name as the entry contains it."""
        names = entry.attributes.get(self._options.user_attribute.lower(), [])
        if not names:
            raise LdapFailure(
                "The LDAP server cannot look up users now, try again later",
                f"{entry.dn} was found, but its {self._options.user_attribute} may not be read",
            )
        for name in names:
            if name == username:
                return name
        return next((name for name in names if name.casefold() == username.casefold()), names[0])

    def _id(self, entry: Entry) -> str:
        """Return the id that the entry contains, in hex if it is binary; empty if there is none."""
        attribute = self._options.id_attribute.lower()
        values = entry.raw.get(attribute, [])
        if attribute and not values and not self._has_warned:
            self._has_warned = True
            log.warning(
                "%s has no attribute %s that the registry may read: "
                "users without one have no id and cannot use OAuth",
                entry.dn,
                self._options.id_attribute,
            )
        return _text_or_hex(values[0]) if values else ""

    def _groups(self, entry: Entry, username: str, deadline: Deadline) -> Iterator[str]:
        options = self._options
        name_attribute = options.group_name_attribute.lower()
        if options.group_filter:
            values = {"{dn}": entry.dn, "{username}": self._name(entry, username)}
            text = re.sub(
                r"\{dn\}|\{username\}",
                lambda hole: escape_filter_chars(values[hole[0]]),
                options.group_filter,
            )
            base = options.group_base_dn or options.base_dn
            for group in self._server.search(base, "sub", text, [options.group_name_attribute], 0, deadline):
                yield from group.attributes.get(name_attribute, [])
            return
        for dn in entry.attributes.get(options.group_attribute.lower(), []):
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


def _is_unicode(text: str) -> bool:
    """Return whether a directory can contain the text; lone surrogates cannot be encoded."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _text_or_hex(value: bytes) -> str:
    """Return an id as text.

    >>> _text_or_hex(b"6f1c-2d"), _text_or_hex(bytes([0, 255]))
    ('6f1c-2d', '00ff')
    """
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _is_below(parts: list[dict[str, str]], base: list[dict[str, str]]) -> bool:
    """Return whether a DN is below a base; values are compared without case."""
    wanted = [{name: value.lower() for name, value in part.items()} for part in base]
    given = [{name: value.lower() for name, value in part.items()} for part in parts]
    return len(given) > len(wanted) and given[len(given) - len(wanted) :] == wanted
