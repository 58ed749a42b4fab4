"""The applications that may ask users for access (oauth.md 2): who they are, and where their answers go."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import string
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from hmac import compare_digest
from typing import Any, Final

from ..accounts.records import BrokenValue, check_types, dumped, loaded, quoted
from ..log import get_logger
from ..names import split_url
from ..storage.base import ABSENT, Conflict, NotFound, Storage, StorageUnavailable, update
from .scopes import ACCOUNT_SCOPES, SCOPES

log = get_logger(__name__)

APPLICATIONS_FOLDER: Final = "accounts/oauth/applications"

#: What secrets, codes and tokens are made of; those in the documents have these too (oauth.md 3.2).
ALPHABET: Final = string.ascii_letters + string.digits

#: A secret has 40 characters: 238 bits, which nobody guesses, so that a fast hash of it is as good as a slow one.
_SECRET_CHARACTERS: Final = 40

#: Nothing that Basic, a form or a URL would have to escape.
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")

_LONGEST_NAME: Final = 100
_LONGEST_DESCRIPTION: Final = 1000
_LONGEST_URI: Final = 2000
_MOST_URIS: Final = 50

#: What may stand in a URI (RFC 3986, 2), without the ``#`` of a fragment.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")

#: A private-use scheme is a domain of the application's owner, backwards (RFC 8252, 7.1).
_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")

_TYPES: Final[dict[str, type]] = {
    "id": str,
    "client_id": str,
    "name": str,
    "description": str,
    "redirect_uris": list,
    "scopes": list,
    "is_public": bool,
    "is_trusted": bool,
    "created_at_s": float,
}


class ApplicationError(Exception):
    """Base of what is told about applications."""


class InvalidApplication(ApplicationError, ValueError):
    """Something of an application is not what is taken; nothing changed. ``problems`` has a text for each."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("; ".join(problems))


class ApplicationExists(ApplicationError):
    """The client_id is another application's; nothing changed."""


class UnknownApplication(ApplicationError):
    """There is no application of this client_id; nothing changed."""


@dataclass(frozen=True)
class Application:
    """Something that may ask users for access."""

    id: str  #: of this application for ever; a later one of the same client_id has another one
    client_id: str  #: public
    name: str  #: shown where users are asked
    description: str
    redirect_uris: tuple[str, ...]  #: where answers may go, the default first; compared as texts
    scopes: tuple[str, ...]  #: what it may ask for
    is_public: (
        bool  #: it runs where it cannot keep a secret, so it has none and proves itself by PKCE (RFC 7636)
    )
    is_trusted: bool  #: it may ask about every token, and vouch for addresses (oauth.md 4.5)
    created_at_s: float  #: since the epoch

    @property
    def created_at(self) -> datetime:
        """Aware, UTC."""
        return datetime.fromtimestamp(self.created_at_s, timezone.utc)


class Applications:
    """The applications that are registered, in any storage. Safe for threads and, if the storage is, for processes.

    :param storage: where they are, below ``accounts/oauth/applications/``. Of a secret only its SHA-256 is kept.
    :param clock: seconds since the epoch.

    StorageUnavailable from every method, also where a record cannot be understood.
    """

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.time):
        self._storage = storage
        self._clock = clock

    def add(
        self,
        name: str,
        redirect_uris: Iterable[str],
        *,
        client_id: str | None = None,
        description: str = "",
        scopes: Iterable[str] = ACCOUNT_SCOPES,
        is_public: bool = False,
        is_trusted: bool = False,
    ) -> tuple[Application, str | None]:
        """Register an application; return it with its secret, None for a public one.

        The secret cannot be told again. InvalidApplication, with all that is wrong; ApplicationExists.

        :param redirect_uris: one at least, the default first: https, http of this machine (``localhost``, ``127.0.0.1``,
            ``[::1]``), or a scheme of the application's own with a dot in it, such as ``org.example.app:/back``.
        :param client_id: a random one when left out.
        """
        application = Application(
            id=secrets.token_hex(16),
            client_id=secrets.token_hex(10) if client_id is None else client_id,
            name=name.strip(),
            description=description.strip(),
            redirect_uris=tuple(dict.fromkeys(redirect_uris)),
            scopes=tuple(dict.fromkeys(scopes)),
            is_public=is_public,
            is_trusted=is_trusted,
            created_at_s=float(self._clock()),
        )
        problems = list(_problems(application))
        if problems:
            raise InvalidApplication(problems)
        secret = None if is_public else new_secret()
        record = {**asdict(application), "secret": "" if secret is None else digest_of(secret)}
        try:
            self._storage.write(_key(application.client_id), dumped(record), expect=ABSENT)
        except Conflict:
            raise ApplicationExists(f"There is an application {application.client_id!r} already") from None
        log.info("the application %r was added", application.client_id)
        return application, secret

    def get(self, client_id: str) -> Application | None:
        """Return an application, None where there is none."""
        record = self._record(client_id)
        return None if record is None else _application_of(record)

    def list(self) -> Iterator[Application]:
        """Yield every application, by client_id."""
        for stat in self._storage.list(f"{APPLICATIONS_FOLDER}/"):
            try:
                record = _parsed(stat.key, self._storage.read(stat.key))
            except NotFound:  # removed meanwhile
                continue
            yield _application_of(record)

    def rotate_secret(self, client_id: str) -> str:
        """Replace the secret of an application; return the new one. The old one is refused from now on, its tokens stay good.

        UnknownApplication; InvalidApplication for a public one.
        """
        secret = new_secret()

        def rotate(value: bytes | None) -> bytes:
            if value is None:
                raise _unknown(client_id)
            record = _parsed(_key(client_id), value)
            if record["is_public"]:
                raise InvalidApplication([f"{client_id!r} is a public application: it has no secret"])
            return dumped({**record, "secret": digest_of(secret)})

        self._check_id(client_id)
        update(self._storage, _key(client_id), rotate)
        log.info("the application %r has another secret", client_id)
        return secret

    def remove(self, client_id: str) -> None:
        """Remove an application; all that users granted it ends at once. UnknownApplication."""
        self._check_id(client_id)
        try:
            self._storage.delete(_key(client_id))
        except NotFound:
            raise _unknown(client_id) from None
        log.info("the application %r was removed", client_id)

    def authenticated(self, client_id: str, secret: str | None) -> Application | None:
        """Return the application if the secret is its own, and if a public one comes without any; else None.

        Secrets are compared in constant time.
        """
        record = self._record(client_id)
        stored = record["secret"] if record else ""
        is_right = compare_digest(stored.encode(), digest_of(secret or "").encode() if stored else b"")
        if record is None or not is_right or (record["is_public"] and secret):
            return None
        return _application_of(record)

    def _check_id(self, client_id: str) -> None:
        if not _CLIENT_ID.fullmatch(client_id):
            raise _unknown(client_id)

    def _record(self, client_id: str) -> dict[str, Any] | None:
        if not _CLIENT_ID.fullmatch(client_id):
            return None
        key = _key(client_id)
        try:
            return _parsed(key, self._storage.read(key))
        except NotFound:
            return None


def new_secret(characters: int = _SECRET_CHARACTERS) -> str:
    """Return random letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))


def digest_of(secret: str) -> str:
    """Return what is kept of a secret with as much chance in it as those of :func:`new_secret`: 64 hex digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_redirect_uri(text: str) -> bool:
    """Tell whether answers may be sent there: an absolute URI without a fragment, that nobody else can listen to.

    Sources: RFC 6749, 3.1.2; RFC 8252, 7.1 and 7.3 for applications on people's own devices.

    >>> is_redirect_uri("https://ci.example.org/back?x=1"), is_redirect_uri("http://127.0.0.1:8000/")
    (True, True)
    >>> is_redirect_uri("org.example.app:/back")
    True
    >>> is_redirect_uri("http://ci.example.org/"), is_redirect_uri("javascript:alert(1)"), is_redirect_uri("https://x/#a")
    (False, False, False)
    """
    if len(text) > _LONGEST_URI or not _URI.fullmatch(text):
        return False
    parts = split_url(text)
    if parts is None:
        return False
    if parts.scheme in ("http", "https"):
        # a name before the host would look like the host
        if not parts.hostname or "@" in parts.netloc:
            return False
        return parts.scheme == "https" or _is_this_machine(parts.hostname)
    return _PRIVATE_SCHEME.fullmatch(parts.scheme) is not None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _problems(application: Application) -> Iterator[str]:
    """Yield what is wrong with an application that somebody wants to register."""
    if not _CLIENT_ID.fullmatch(application.client_id):
        yield f"client_id: 1 to 100 letters, digits, '-', '_' and '.' are expected, not {application.client_id[:120]!r}"
    if not 0 < len(application.name) <= _LONGEST_NAME or not application.name.isprintable():
        yield f"name: 1 to {_LONGEST_NAME} printable characters are expected"
    if len(application.description) > _LONGEST_DESCRIPTION:
        yield f"description: at most {_LONGEST_DESCRIPTION} characters are expected"
    if not 0 < len(application.redirect_uris) <= _MOST_URIS:
        yield f"redirect_uris: 1 to {_MOST_URIS} are expected"
    for uri in application.redirect_uris:
        if not is_redirect_uri(uri):
            yield (
                "redirect_uris: https://, http:// of this machine (localhost, 127.0.0.1) or a scheme with a dot such as "
                f"org.example.app:/ is expected, without a fragment, not {uri[:200]!r}"
            )
    if not application.scopes:
        yield "scopes: one at least is expected"
    for scope in application.scopes:
        if scope not in SCOPES:
            yield f"scopes: {', '.join(SCOPES)} are known, not {scope[:80]!r}"
    if application.is_public and application.is_trusted:
        yield "a public application, which anybody can claim to be, cannot be a trusted one"


def _key(client_id: str) -> str:
    return f"{APPLICATIONS_FOLDER}/{quoted(client_id)}"


def _parsed(key: str, value: bytes) -> dict[str, Any]:
    """Return the record of an application, every field of its type. StorageUnavailable where it cannot be understood."""
    try:
        record = loaded(value)
        check_types(record, {**_TYPES, "secret": str})
        if not all(isinstance(text, str) for text in (*record["redirect_uris"], *record["scopes"])):
            raise BrokenValue("redirect_uris and scopes are texts")
    except BrokenValue as error:
        raise StorageUnavailable(key, f"the record of an application is broken: {error}") from error
    return record


def _application_of(record: dict[str, Any]) -> Application:
    application = Application(**{name: record[name] for name in _TYPES})
    return replace(
        application, redirect_uris=tuple(application.redirect_uris), scopes=tuple(application.scopes)
    )


def _unknown(client_id: str) -> UnknownApplication:
    return UnknownApplication(f"There is no application {client_id[:120]!r}")
