"""One LDAP server, by ldap3: searches over pooled connections, and binds that only test a password.

What ldap3 2.9 does differently from what is needed here (seen in its code and against slapd 2.5):

* It prepares text passwords by RFC 4013: a soft hyphen is removed, and some passwords raise an error. So
  passwords are given to it as bytes, as other clients send them, and only the exact password is right.
* If a connection cannot be opened, its socket is left to the garbage collector; of several addresses of a
  host, all but the last one are. So each address gets its own connection, and sockets are closed here.
* It compares certificates with names by a copy of old code. So the context of Python's ssl does that.
* One ``Server`` object that two threads use hides that a connection failed. So each connection has its own.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # ldap3 2.9 uses old names of pyasn1
    try:
        import ldap3
        from ldap3.core.exceptions import LDAPException, LDAPInvalidDnError, LDAPStartTLSError
        from ldap3.utils.conv import escape_filter_chars
        from ldap3.utils.dn import parse_dn
        from pyasn1.error import PyAsn1Error
    except ImportError as _error:
        raise ImportError(f"LDAP needs ldap3: pip install 'v1registry[ldap]' ({_error})") from _error

from .ldap_values import Deadline, Entry, LdapFailure

__all__ = ["LdapServer", "escape_filter_chars", "split_dn"]

#: Result codes of RFC 4511 (appendix A) for a refused login: wrong password, no password, no such entry,
#: invalid DN, no right to bind, unwilling (a disabled account), a constraint (a locked account).
_REFUSED: Final = frozenset({49, 48, 32, 34, 50, 53, 19})
_SUCCESS: Final = 0
_SIZE_LIMIT_EXCEEDED: Final = 4

#: A connection that was idle for this long is not used again, in seconds: firewalls drop such connections
#: silently.
_IDLE_S: Final = 60.0

_OWN_LOGIN: Final = "The LDAP server refuses the registry's own login"
_NOT_SAFE: Final = "A safe connection to the LDAP server cannot be made"

_ESCAPE: Final = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", re.DOTALL)

#: What ldap3 and its decoders raise if a server is gone, or its answer is not LDAP.
_ERRORS: Final = (LDAPException, PyAsn1Error, OSError, ValueError, LookupError, TypeError)

_SCOPES: Final[dict[str, Literal["BASE", "LEVEL", "SUBTREE"]]] = {
    "base": ldap3.BASE,
    "one": ldap3.LEVEL,
    "sub": ldap3.SUBTREE,
}


class LdapServer:
    """One server. Safe for threads: no connection is used by two at once. Nothing is opened before the first
    call.

    :param host: name or address.
    :param port: the port.
    :param tls: ``""``, ``"start"`` (START TLS) or ``"ldaps"``.
    :param ca_file: the trusted certificates; empty for those of the system.
    :param bind_dn: the entry that searches; empty for an anonymous bind.
    :param bind_password: returns its password, or raises OSError.
    :param pool_size: how many connections for searches are kept open.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: str,
        ca_file: str,
        bind_dn: str,
        bind_password: Callable[[], str],
        pool_size: int,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._ca_file = ca_file
        self._bind_dn = bind_dn
        self._bind_password = bind_password
        self._pool_size = pool_size
        self._context: ssl.SSLContext | None = None
        self._mutex = threading.Lock()  # guards the pool
        self._pool: deque[tuple[ldap3.Connection, float]] = (
            deque()
        )  # the connection that was used last is at the right
        self._finalizer = weakref.finalize(self, _close_all, self._pool)

    def search(
        self, base: str, scope: str, text: str, attributes: Sequence[str], limit: int, deadline: Deadline
    ) -> list[Entry]:
        """Return the entries that match a filter.

        :param text: the filter.
        :param limit: the maximum number of entries; 0 for all.
        :raises LdapFailure: the server did not search.
        """
        while True:
            kept = self._take()
            connection = self._bound(deadline) if kept is None else kept
            try:
                found = self._searched(connection, base, scope, text, attributes, limit, deadline)
            except _ERRORS as error:
                _close(connection)
                deadline.left_s()
                # a broken connection of the pool proves nothing: the server may have been restarted since
                if kept is None:
                    raise _failure(error) from error
            except BaseException:
                _close(connection)
                raise
            else:
                self._give_back(connection)
                return found

    def accepts(self, dn: str, password: str, deadline: Deadline) -> bool:
        """Return whether a password, which must not be empty, is that of the entry.

        :raises LdapFailure: the server cannot check it.
        """
        if not dn or not password:
            raise ValueError("a bind needs a name and a password, otherwise it proves nothing")
        code, description = self._tested(dn, password, deadline)
        if code != _SUCCESS and code not in _REFUSED:
            raise LdapFailure("The LDAP server cannot check passwords now, try again later", description)
        return code == _SUCCESS

    def close(self) -> None:
        """Close the pooled connections. The next search opens new ones."""
        with self._mutex:
            _close_all(self._pool)

    # -- steps

    def _searched(
        self,
        connection: ldap3.Connection,
        base: str,
        scope: str,
        text: str,
        attributes: Sequence[str],
        limit: int,
        deadline: Deadline,
    ) -> list[Entry]:
        left_s = deadline.left_s()
        connection.socket.settimeout(left_s)
        _, result, response, _ = connection.search(
            base,
            text,
            search_scope=_SCOPES[scope],
            attributes=list(attributes),
            size_limit=limit,
            time_limit=math.ceil(left_s),
        )
        _check_type(result, "searchResDone")
        if result["result"] not in (_SUCCESS, _SIZE_LIMIT_EXCEEDED):
            raise LdapFailure(
                "The LDAP server cannot look up users now, try again later",
                f"search below {base!r}: {result['description']}",
            )
        return [_entry(found) for found in response or () if found["type"] == "searchResEntry"]

    def _bound(self, deadline: Deadline) -> ldap3.Connection:
        """Return a new connection for searches.

        :raises LdapFailure: it cannot be opened, or the bind is refused.
        """
        try:
            password = self._bind_password() if self._bind_dn else ""
        except OSError as error:
            raise LdapFailure(_OWN_LOGIN, f"its password cannot be read: {error}") from error
        connection = self._open(self._bind_dn, password, deadline)
        try:
            code, description = self._bind(connection, deadline)
        except _ERRORS as error:
            _close(connection)
            deadline.left_s()
            raise _failure(error) from error
        except BaseException:
            _close(connection)
            raise
        if code != _SUCCESS:
            _close(connection)
            raise LdapFailure(_OWN_LOGIN, f"bind as {self._bind_dn or 'anonymous'!r}: {description}")
        return connection

    def _tested(self, dn: str, password: str, deadline: Deadline) -> tuple[int, str]:
        """Bind on a new connection. Return the result code and its name.

        :raises LdapFailure: the server cannot be asked.
        """
        connection = self._open(dn, password, deadline)
        try:
            return self._bind(connection, deadline)
        except _ERRORS as error:
            deadline.left_s()
            raise _failure(error) from error
        finally:
            _close(connection)

    def _bind(self, connection: ldap3.Connection, deadline: Deadline) -> tuple[int, str]:
        connection.socket.settimeout(deadline.left_s())
        _, result, _, _ = connection.bind(read_server_info=False)
        _check_type(result, "bindResponse")
        return result["result"], result["description"]

    def _open(self, dn: str, password: str, deadline: Deadline) -> ldap3.Connection:
        """Return a connection, with TLS if that is configured, on which a bind must follow.

        :raises LdapFailure: no address of the host can be connected.
        """
        last: Exception = OSError("the name has no address")
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _failure(error) from error
        for address in addresses:
            left_s = deadline.left_s()
            connection = ldap3.Connection(
                _Address(self._host, self._port, self._tls, self._tls_layer(), left_s, address),
                user=dn or None,
                password=password.encode("utf-8") or None,  # type: ignore[arg-type]  # see above
                authentication=ldap3.SIMPLE if dn else ldap3.ANONYMOUS,
                client_strategy=ldap3.SAFE_SYNC,
                auto_referrals=False,
                check_names=False,
                read_only=True,
                receive_timeout=math.ceil(left_s),
            )
            try:
                connection.open(read_server_info=False)
                if self._tls == "start":
                    connection.start_tls(read_server_info=False)
            except _ERRORS as error:
                _close(connection)
                deadline.left_s()
                last = error
            except BaseException:
                _close(connection)
                raise
            else:
                return connection
        raise _failure(last) from last

    def _tls_layer(self) -> ldap3.Tls | None:
        if not self._tls:
            return None
        if self._context is None:
            try:
                self._context = ssl.create_default_context(cafile=self._ca_file or None)
            except OSError as error:
                raise LdapFailure(_NOT_SAFE, f"the certificates in {self._ca_file}: {error}") from error
        return _VerifiedTls(self._context)

    # -- connections that are kept

    def _take(self) -> ldap3.Connection | None:
        with self._mutex:
            while self._pool:
                connection, idle_since = self._pool.pop()
                if time.monotonic() - idle_since < _IDLE_S:
                    return connection
                _close(connection)
        return None

    def _give_back(self, connection: ldap3.Connection) -> None:
        with self._mutex:
            if len(self._pool) < self._pool_size:
                self._pool.append((connection, time.monotonic()))
                return
        _close(connection)


class _Address(ldap3.Server):
    """One address of a server."""

    def __init__(
        self, host: str, port: int, tls: str, layer: ldap3.Tls | None, timeout_s: float, address: Any
    ) -> None:
        super().__init__(
            host, port, use_ssl=tls == "ldaps", get_info=ldap3.NONE, tls=layer, connect_timeout=timeout_s
        )
        self._address = address

    def candidate_addresses(self) -> list[list[Any]]:
        return [[*self._address, None, None]]


class _VerifiedTls(ldap3.Tls):
    """TLS by Python's ssl: certificate and name are verified, and the name is sent."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        connection.socket = self._context.wrap_socket(
            connection.socket, server_hostname=connection.server.host
        )


def split_dn(dn: str) -> list[dict[str, str]]:
    """Return the parts of a DN, the nearest first: attribute in lower case -> value without escapes.

    An invalid DN has no parts.

    >>> split_dn(r"CN=a\\, b\\2Bc+ou=x,dc=example")
    [{'cn': 'a, b+c', 'ou': 'x'}, {'dc': 'example'}]
    """
    try:
        parsed = parse_dn(dn, strip=True)
    except LDAPInvalidDnError:
        return []
    parts: list[dict[str, str]] = []
    is_same_part = False
    for attribute, value, separator in parsed:
        if not is_same_part:
            parts.append({})
        parts[-1][attribute.lower()] = _unescaped(value)
        is_same_part = separator == "+"
    return parts


def _unescaped(value: str) -> str:
    """Undo the escapes of RFC 4514, section 2.4: a backslash with a character, or with two hex digits of
    UTF-8.
    """
    octets = _ESCAPE.sub(
        lambda found: bytes([int(found[1], 16)]) if found[1] else found[2], value.encode("utf-8")
    )
    return octets.decode("utf-8", "replace")


def _check_type(result: dict[str, Any], expected: str) -> None:
    if result["type"] != expected:
        raise ValueError(f"the answer must be {expected}, not {result['type']}")


def _entry(found: dict[str, Any]) -> Entry:
    attributes: dict[str, list[str]] = {}
    raw: dict[str, list[bytes]] = {}
    for name, values in found["raw_attributes"].items():
        raw.setdefault(name.lower(), []).extend(values)
        texts = attributes.setdefault(name.lower(), [])
        for value in values:
            with suppress(UnicodeDecodeError):
                texts.append(value.decode("utf-8"))
    return Entry(found["dn"], attributes, raw)


def _failure(error: Exception) -> LdapFailure:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, LDAPStartTLSError) or "ssl" in reason.lower():
        return LdapFailure(_NOT_SAFE, reason)
    return LdapFailure("The LDAP server cannot be reached, try again later", reason)


def _close(connection: ldap3.Connection) -> None:
    """Close a connection in whatever state it is."""
    try:
        with suppress(*_ERRORS):
            connection.unbind()
    finally:
        if connection.socket is not None:
            connection.socket.close()


def _close_all(pool: deque[tuple[ldap3.Connection, float]]) -> None:
    while pool:
        _close(pool.pop()[0])
