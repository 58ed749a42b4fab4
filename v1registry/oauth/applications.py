"""The registered applications, which may ask users for access (oauth.md 2)."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from hmac import compare_digest
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..log import audit
from ..names import is_loopback, split_url
from ..storage import records
from ..storage.base import KeyConflict, KeyNotFound, Storage
from .scopes import ACCOUNT_SCOPES, SCOPES

APPLICATIONS_FOLDER: Final = "accounts/oauth/applications"

#: The characters of secrets, codes and tokens, as in the examples of the documents (oauth.md 3.2).
ALPHABET: Final = string.ascii_letters + string.digits

#: 40 characters have 238 bits. Such a secret cannot be guessed, so a fast hash protects it as well as a slow
#: one.
_SECRET_CHARACTERS: Final = 40

#: Only characters that Basic, forms and URLs do not escape.
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")

_LONGEST_NAME: Final = 100
_LONGEST_DESCRIPTION: Final = 1000
_LONGEST_URI: Final = 2000
_MOST_URIS: Final = 50

#: The characters of a URI (RFC 3986, 2), without the ``#`` of a fragment.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")

#: A private-use scheme is a domain of the application's owner, reversed (RFC 8252, 7.1).
_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


class ApplicationError(Exception):
    """Base of the errors about applications."""


class InvalidApplication(ApplicationError, ValueError):
    """Fields of an application are invalid; nothing changed.

    :param problems: one text for each problem; it names the field, what was expected and what came.
    """

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("; ".join(problems))


class ApplicationExists(ApplicationError):
    """The client_id belongs to a registered application; nothing changed."""


class UnknownApplication(ApplicationError):
    """No application has this client_id; nothing changed."""


@dataclass(frozen=True)
class Application:
    """A program that may ask users for access."""

    id: str  #: never used again; a later application with the same client_id has a different id
    client_id: str  #: public
    name: str  #: shown on the consent page
    description: str
    redirect_uris: tuple[str, ...]  #: where answers may be sent, the default first; compared as strings
    scopes: tuple[str, ...]  #: what it may ask for
    #: it cannot keep a secret, so it has none and must use PKCE (RFC 7636)
    is_public: bool
    is_trusted: bool  #: it may introspect every token and verify addresses (oauth.md 4.5)
    created_at_s: float  #: since the epoch

    @property
    def created_at(self) -> datetime:
        """The time of registration, aware, UTC."""
        return datetime.fromtimestamp(self.created_at_s, timezone.utc)


@dataclass(frozen=True)
class _Registered(Application):
    """The record of an application."""

    secret: str  #: the digest of its secret, empty for a public application

    @property
    def application(self) -> Application:
        """The application without its secret."""
        return Application(**{known.name: getattr(self, known.name) for known in fields(Application)})


class Applications:
    """The registered applications, in any storage. Safe for threads and, if the storage is, for processes.

    :param storage: holds them below ``accounts/oauth/applications/``, with the SHA-256 of each secret.
    :raises StorageUnavailable: from every method: the storage failed, or a record is broken.
    """

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._clock = clock
        self._registered = records.RecentRecords(storage, _Registered)

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
        """Register an application; return it with its secret, None for a public application.

        The secret cannot be read again later.

        :param redirect_uris: at least one, the default first: https, http of this machine (``localhost``,
            ``127.0.0.1``, ``[::1]``), or a private scheme with a dot, such as ``org.example.app:/back``.
        :param client_id: random if None.
        :raises InvalidApplication: with all problems.
        :raises ApplicationExists: the client_id is in use.
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
            created_at_s=self._clock.time_s(),
        )
        problems = list(_problems(application))
        if problems:
            raise InvalidApplication(problems)
        secret = None if is_public else new_secret()
        registered = _Registered(**asdict(application), secret="" if secret is None else digest_of(secret))
        try:
            records.create(self._storage, _key(application.client_id), registered)
        except KeyConflict:
            raise ApplicationExists(f"The application {application.client_id!r} exists already") from None
        audit("added the application %r", application.client_id)
        return application, secret

    def get(self, client_id: str) -> Application | None:
        """Return the application with this client_id, or None."""
        registered = self._find(client_id)
        return None if registered is None else registered.application

    def list(self) -> Iterator[Application]:
        """Yield every application, by client_id. A broken record is logged and left out."""
        for stored in records.find_all(self._storage, f"{APPLICATIONS_FOLDER}/", _Registered):
            yield stored.record.application

    def rotate_secret(self, client_id: str) -> str:
        """Replace the secret of an application and return the new one. Its tokens stay valid.

        :raises UnknownApplication: no application has this client_id.
        :raises InvalidApplication: a public application has no secret.
        """
        secret = new_secret()

        def rotate(registered: _Registered | None) -> _Registered:
            if registered is None:
                raise _unknown(client_id)
            if registered.is_public:
                raise InvalidApplication([f"{client_id!r} is a public application and has no secret"])
            return replace(registered, secret=digest_of(secret))

        self._check_id(client_id)
        records.update(self._storage, _key(client_id), _Registered, rotate)
        audit("replaced the secret of the application %r", client_id)
        return secret

    def remove(self, client_id: str) -> None:
        """Remove an application. All grants to it end at once.

        :raises UnknownApplication: no application has this client_id.
        """
        self._check_id(client_id)
        try:
            self._storage.delete(_key(client_id))
        except KeyNotFound:
            raise _unknown(client_id) from None
        audit("removed the application %r", client_id)

    def authenticated(self, client_id: str, secret: str | None) -> Application | None:
        """Return the application if the secret is right, compared in constant time; else None.

        :param secret: None or empty for a public application, which has none.
        """
        registered = self._find(client_id)
        stored = registered.secret if registered is not None else ""
        is_right = compare_digest(stored.encode(), digest_of(secret or "").encode() if stored else b"")
        if registered is None or not is_right or (registered.is_public and secret):
            return None
        return registered.application

    def _check_id(self, client_id: str) -> None:
        if not _CLIENT_ID.fullmatch(client_id):
            raise _unknown(client_id)

    def _find(self, client_id: str) -> _Registered | None:
        if not _CLIENT_ID.fullmatch(client_id):
            return None
        return self._registered.find(_key(client_id))


def new_secret(characters: int = _SECRET_CHARACTERS) -> str:
    """Return random letters and digits, by default as many as a secret of an application has."""
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))


def digest_of(secret: str) -> str:
    """Return the 64 hex digits that are stored in place of a secret of :func:`new_secret`."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_redirect_uri(text: str) -> bool:
    """Return whether answers may be sent to a URI: absolute, no fragment, readable by its owner alone.

    Sources: RFC 6749, 3.1.2; RFC 8252, 7.1 and 7.3 for native applications.

    >>> is_redirect_uri("https://ci.example.org/back?x=1"), is_redirect_uri("http://127.0.0.1:8000/")
    (True, True)
    >>> is_redirect_uri("org.example.app:/back")
    True
    >>> is_redirect_uri("http://ci.example.org/"), is_redirect_uri("javascript:alert(1)")
    (False, False)
    >>> is_redirect_uri("https://ci.example.org/#fragment")
    False
    """
    if len(text) > _LONGEST_URI or not _URI.fullmatch(text):
        return False
    parts = split_url(text)
    if parts is None:
        return False
    if parts.scheme in ("http", "https"):
        # user information before the host could look like the host
        if not parts.hostname or "@" in parts.netloc:
            return False
        return parts.scheme == "https" or is_loopback(parts.hostname)
    return _PRIVATE_SCHEME.fullmatch(parts.scheme) is not None


def _problems(application: Application) -> Iterator[str]:
    """Yield one text for each invalid field of a new application."""
    if not _CLIENT_ID.fullmatch(application.client_id):
        yield (
            "client_id: must be 1 to 100 letters, digits, '-', '_' and '.', and not begin with '.', "
            f"not {application.client_id[:120]!r}"
        )
    if not 0 < len(application.name) <= _LONGEST_NAME or not application.name.isprintable():
        yield f"name: must be 1 to {_LONGEST_NAME} printable characters, not {application.name[:120]!r}"
    if len(application.description) > _LONGEST_DESCRIPTION:
        length = len(application.description)
        yield f"description: must be at most {_LONGEST_DESCRIPTION} characters, not {length}"
    if not 0 < len(application.redirect_uris) <= _MOST_URIS:
        yield f"redirect_uris: must be 1 to {_MOST_URIS}, not {len(application.redirect_uris)}"
    for uri in application.redirect_uris:
        if not is_redirect_uri(uri):
            yield (
                "redirect_uris: must be https://, http:// of this machine (localhost, 127.0.0.1) or a scheme "
                f"with a dot such as org.example.app:/, without a fragment, not {uri[:200]!r}"
            )
    if not application.scopes:
        yield "scopes: must be at least one"
    for scope in application.scopes:
        if scope not in SCOPES:
            yield f"scopes: must be of {', '.join(SCOPES)}, not {scope[:80]!r}"
    if application.is_public and application.is_trusted:
        yield "is_trusted: a public application cannot be trusted, because any program can claim to be it"


def _key(client_id: str) -> str:
    return f"{APPLICATIONS_FOLDER}/{records.quoted(client_id)}"


def _unknown(client_id: str) -> UnknownApplication:
    return UnknownApplication(f"There is no application {client_id[:120]!r}")
