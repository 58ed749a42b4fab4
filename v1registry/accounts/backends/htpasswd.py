"""Users of an ``htpasswd`` file, as Apache's program of that name writes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from ...clock import SYSTEM_CLOCK, Clock
from ...log import get_logger
from ...rights import User
from ...settings import without_userinfo
from ..base import Backend, BackendUnavailable
from ..passwords import PasswordMemory, encoded

log = get_logger(__name__)

#: The supported kinds of hashes.
_HASH: Final = re.compile(
    r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
    r"|\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"
    r"|\{SHA\}[A-Za-z0-9+/]{27}="
)

#: Other kinds, by their prefixes; nothing else of a hash is logged.
_OTHER_KINDS: Final = ("{SSHA}", "$1$", "$5$", "$6$", "$7$", "$y$", "$2x$")

#: bcrypt ignores further bytes, so longer passwords are refused.
_BCRYPT_BYTES: Final = 72

#: A file that was changed within this time before it was read may change again without a new time stamp, in
#: nanoseconds.
_SETTLED_AFTER_NS: Final = 2_000_000_000


class Htpasswd(Backend):
    """Users of an ``htpasswd`` file. Changes of the file count at the next request. Safe for threads.

    Lines are ``name:hash``, with hashes of bcrypt (``$2y$``, also ``$2a$`` and ``$2b$``: ``htpasswd -B``),
    Apache's MD5 (``$apr1$``) and SHA-1 (``{SHA}``). Other kinds, such as crypt(3) and plain text, are refused
    and named in the log. The first of several lines with one name counts. Empty lines and those that begin
    with ``#`` are skipped, and what follows a second colon is ignored. Source: httpd 2.4,
    modules/aaa/mod_authn_file.c. Invalid lines are skipped, with a warning that contains their number and
    nothing of their content.

    If the file cannot be read, every method raises BackendUnavailable, also for users who logged in before.

    :param path: the file; it is opened at the first request.
    :param administrators: names of users who are administrators.
    :param groups: group -> names of its members. Each group is a namespace that they may write.
    :param remember_s: how long a verified password is remembered, in seconds; a changed line ends that.
    :param now_ns: returns the time of the file system's clock, in nanoseconds.
    :param clock: ends what is remembered.
    :raises ValueError: the path is empty.
    :raises ImportError: bcrypt or libpass are missing: ``pip install 'v1registry[htpasswd]'``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        administrators: Iterable[str] = (),
        groups: Mapping[str, Iterable[str]] | None = None,
        remember_s: float = 300.0,
        now_ns: Callable[[], int] = time.time_ns,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not os.fspath(path):
            raise ValueError("must be the path of an htpasswd file, not empty")
        self._path = os.path.abspath(path)
        self._administrators = frozenset(administrators)
        self._groups = {name: frozenset(members) for name, members in (groups or {}).items()}
        self._hashes = _Hashes()
        self._memory: PasswordMemory[bool] = PasswordMemory(remember_s, clock=clock)
        self._now_ns = now_ns
        self._decoy_key = os.urandom(32)
        self._mutex = threading.Lock()  # held while the file is read
        self._table: _Table | None = None

    @classmethod
    def from_url(cls, url: str, *, clock: Clock = SYSTEM_CLOCK) -> Htpasswd:
        """Return the backend for ``htpasswd:///path``, percent-encoded.

        ``?administrators=alice+bob`` names the administrators.

        :raises ValueError: the URL has another form.
        """
        parts = urlsplit(url)
        path, options = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
        expected = "must be htpasswd:///absolute/path, perhaps with ?administrators=alice+bob"
        if parts.scheme != "htpasswd" or parts.netloc or parts.fragment or not os.path.isabs(path):
            raise ValueError(f"{expected}, not {without_userinfo(url)!r}")
        names = options.pop("administrators", [])
        if options:
            raise ValueError(f"{expected}; unknown: {without_userinfo(', '.join(options))}")
        return cls(path, administrators=" ".join(names).split(), clock=clock)

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the base class."""
        if not password:
            return None
        table = self._current()
        stored = table.hashes.get(username)
        if stored:
            is_right = self._memory.get(
                username, password, stored, lambda: self._hashes.verify(stored, password) or None
            )
            return self._user(username) if is_right else None
        if table.decoys:
            # the hash of another user makes an unknown name take as long as a known one; the result is
            # ignored
            decoy = self._decoy(table, username)
            self._memory.get(username, password, f"not {decoy}", lambda: self._wasted(decoy, password))
        return None

    def find(self, username: str) -> User | None:
        """Return the user, None if there is none.

        :raises BackendUnavailable: the file cannot be read.
        """
        return self._user(username) if username in self._current().hashes else None

    def password_mark(self, username: str) -> str:
        """Return the hash in the user's line, empty if there is none.

        :raises BackendUnavailable: the file cannot be read.
        """
        return self._current().hashes.get(username, "")

    def problems(self, *, asks_servers: bool = True) -> list[str]:
        """Return why the file cannot be read, or which of its lines are skipped."""
        try:
            text = Path(self._path).read_bytes()
        except OSError as error:
            return [f"the htpasswd file {self._path} cannot be read: {error.strerror or error}"]
        hashes, problems = _parsed(self._path, text)
        if not any(hashes.values()):
            problems.append(f"{self._path} has no user who can log in; add one with htpasswd -B")
        return problems

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r})"

    def _user(self, username: str) -> User:
        return User(
            name=username,
            groups=frozenset(group for group, members in self._groups.items() if username in members),
            is_administrator=username in self._administrators,
        )

    def _decoy(self, table: _Table, username: str) -> str:
        """Return the hash of some user, always the same one for a name."""
        digest = hmac.digest(self._decoy_key, encoded(username), "sha256")
        return table.decoys[int.from_bytes(digest, "big") % len(table.decoys)]

    def _wasted(self, stored: str, password: str) -> None:
        self._hashes.verify(stored, password)

    def _current(self) -> _Table:
        """Return the current content of the file, which is read only if it may have changed.

        :raises BackendUnavailable: it cannot be read.
        """
        try:
            table = self._table
            if table is not None and table.is_settled and table.state == _state_of(os.stat(self._path)):
                return table
            with self._mutex:
                self._table = table = self._read(self._table)
        except OSError as error:
            log.error("the htpasswd file %s cannot be read: %s", self._path, error.strerror or error)
            raise BackendUnavailable("The list of users cannot be read now, try again later") from error
        return table

    def _read(self, before: _Table | None) -> _Table:
        now_ns = self._now_ns()
        with open(self._path, "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read()
        is_settled = now_ns - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_AFTER_NS
        if before is not None and before.text == text:
            hashes = before.hashes
        else:
            hashes, problems = _parsed(self._path, text)
            for problem in problems:
                log.warning("%s", problem)
        return _Table(_state_of(status), is_settled, text, hashes, tuple(filter(None, hashes.values())))


@dataclass(frozen=True)
class _Table:
    """The file as it was read."""

    state: tuple[int, ...]
    is_settled: bool
    text: bytes
    hashes: dict[str, str]  # empty if a hash is of an unsupported kind
    decoys: tuple[str, ...]


class _Hashes:
    """Verifies the supported kinds of hashes.

    :raises ImportError: a library for them is missing.
    """

    def __init__(self) -> None:
        try:
            import bcrypt
            from passlib.hash import apr_md5_crypt  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(
                f"htpasswd files need bcrypt and libpass: pip install 'v1registry[htpasswd]' ({error})"
            ) from error
        self._bcrypt = bcrypt
        self._apr1 = apr_md5_crypt

    def verify(self, stored: str, password: str) -> bool:
        """Return whether the hash is that of this password; compared in constant time."""
        secret = encoded(password)
        if stored.startswith("{SHA}"):
            # marked as not for security, so that old files work on systems that forbid SHA-1
            digest = hashlib.sha1(secret, usedforsecurity=False).digest()
            return hmac.compare_digest(base64.b64encode(digest), stored.removeprefix("{SHA}").encode())
        try:
            if stored.startswith("$apr1$"):
                return bool(self._apr1.verify(secret, stored))
            return len(secret) <= _BCRYPT_BYTES and self._bcrypt.checkpw(secret, stored.encode())
        except ValueError:
            return False  # a password that this kind cannot have, for example with a NUL


def _state_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def _parsed(path: str, text: bytes) -> tuple[dict[str, str], list[str]]:
    """Return name -> hash, and what is wrong with lines. The texts contain no hash."""
    hashes: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            continue
        place = f"{path}, line {number}"
        name, colon, rest = stripped.partition(b":")
        try:
            username = name.decode("utf-8")
        except UnicodeDecodeError:
            problems.append(f"{place}: the name is not UTF-8")
            continue
        if not colon:
            problems.append(f"{place}: must be name:hash")
        elif username in hashes:
            problems.append(f"{place}: ignored, because an earlier line has the same name")
        else:
            stored = rest.partition(b":")[0].decode("ascii", "replace")
            hashes[username] = stored if _HASH.fullmatch(stored) else ""
            if not hashes[username]:
                kind = next((kind for kind in _OTHER_KINDS if stored.startswith(kind)), "crypt or plain text")
                problems.append(
                    f"{place}: hashes of this kind ({kind}) are not supported, so the user cannot log in; "
                    "set the password again with htpasswd -B"
                )
    return hashes, problems
