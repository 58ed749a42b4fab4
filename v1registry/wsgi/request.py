"""A request on its way through a table, with the services of the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qs

from ..clock import Clock
from ..errors import BadRequest, BodyTooLarge, TooManyBodies
from ..log import note_user
from ..rights import Access, Rights
from ..settings import Settings
from .bodies import SMALL_BODY_BYTES, Upload
from .framework import BaseRequest
from .origin import Origin, RequestOrigin
from .waiting import BodySlots, is_waiting_needed, limit_waiting

T = TypeVar("T")

#: The key of the WSGI environ with the name of the user. None stands for an anonymous caller. The key is
#: missing until a handler needs to know the caller.
USER_KEY: Final = "v1registry.user"

#: A rejected body of which nothing comes for so long is not waited for any longer, in seconds.
_REFUSED_SILENCE_S: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Services:
    """What every handler may use. Each API has a subclass with the models that its own handlers work on."""

    settings: Settings
    clock: Clock
    access: Access
    origin: Origin
    body_slots: BodySlots


ServicesT_co = TypeVar("ServicesT_co", bound=Services, covariant=True)


def configured(part: T | None) -> T:
    """Return an optional part of the services.

    :raises RuntimeError: the application does not have the part. Rows that need a part are served only with
        it.
    """
    if part is None:
        raise RuntimeError("This row needs a part that the application was made without")
    return part


class Request(BaseRequest, Generic[ServicesT_co]):
    """A request on its way through a table, with the services that its handler works on.

    ``fields`` are the values of the holes in the path of the matched row.
    """

    fields: dict[str, str]
    is_page: bool  #: whether the answer is a page

    def __init__(self, environ: dict[str, Any], services: ServicesT_co):
        super().__init__(environ)
        # not one by one: WebOb keeps other attributes in the environ, and the look for them takes its time
        self.__dict__.update(
            fields={},
            is_page=False,
            _services=services,
            _upload=None,
            _body=None,
            _slot=None,  # whose it is, and whether that is an anonymous caller
            _silence_s=services.settings.upload_silence_s,
            _total_s=None,
            _rights=None,
        )

    @property
    def services(self) -> ServicesT_co:
        """The models of the application."""
        services: ServicesT_co = self.__dict__["_services"]
        return services

    @property
    def rights(self) -> Rights:
        """What the caller may do. It is looked up once per request.

        :raises Unauthorized: the credentials are wrong.
        :raises AccountInactive: the account is not activated, or disabled.
        :raises TooManyAttempts: too many logins failed before this one.
        :raises Unavailable: the users cannot be looked up now.
        """
        found: Rights | None = self.__dict__["_rights"]
        if found is None:
            found = self.services.access.rights(self.environ.get("HTTP_AUTHORIZATION"), self.environ)
            self.use_rights(found)
        return found

    def use_rights(self, rights: Rights) -> None:
        """Set what the caller may do, for an API that finds out in its own way who is asking."""
        self.__dict__["_rights"] = rights
        self.note_user(None if rights.user is None else rights.user.name)

    def note_user(self, name: str | None) -> None:
        """Tell log lines and the surrounding application the user. None stands for an anonymous caller."""
        self.environ[USER_KEY] = name
        note_user(name)

    @property
    def decoded_path(self) -> str:
        """The path below the mount point, percent-decoded once.

        :raises BadRequest: the path is not UTF-8.
        """
        path: str = self.environ.get("PATH_INFO", "")
        if path.isascii():
            return path or "/"
        try:
            return path.encode("latin-1").decode("utf-8") or "/"
        except UnicodeError:
            raise BadRequest("The path is not UTF-8") from None

    @property
    def origin(self) -> RequestOrigin:
        """How the client reaches the application."""
        return self.services.origin.of(self)

    def query(self, name: str) -> str | None:
        """Return the first value of a parameter of the query, None if it is missing.

        Invalid bytes become U+FFFD.

        WebOb's ``GET`` is not used: it takes the last of several values, and fails for bytes that are not
        UTF-8.
        """
        values = parse_qs(self.environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="replace").get(
            name
        )
        return values[0] if values else None

    @property
    def upload(self) -> Upload:
        """The body as a stream.

        :raises LengthRequired: the body is chunked, and the server does not decode that.
        :raises BadRequest: ``Content-Length`` is not a number.
        """
        if self.__dict__["_upload"] is None:
            self.__dict__["_upload"] = Upload.of(self.environ, self._begin_body)
        upload: Upload = self.__dict__["_upload"]
        return upload

    @property
    def received_bytes(self) -> int:
        """How many bytes of the body were read."""
        upload: Upload | None = self.__dict__["_upload"]
        return 0 if upload is None else upload.received

    def _begin_body(self) -> None:
        """Take a slot for the body, unless it is here, and say how long it is waited for.

        :raises TooManyBodies: there is no slot.
        """
        if not is_waiting_needed(self.environ):
            return
        services = self.services
        is_anonymous = services.access.has_accounts and self._is_anonymous()
        client = self.client
        if not services.body_slots.take(client, is_anonymous=is_anonymous):
            raise TooManyBodies
        self.__dict__["_slot"] = client, is_anonymous
        settings = services.settings
        limit_waiting(
            self.environ,
            silence_s=self.__dict__["_silence_s"],
            least_rate=settings.upload_least_rate,
            total_s=self.__dict__["_total_s"],
        )

    @property
    def client(self) -> str:
        """The user as far as it is known, else the address of the client, empty if that is unknown.

        What is bounded for each client is counted by it.
        """
        rights: Rights | None = self.__dict__["_rights"]
        if rights is not None and rights.user is not None:
            return f"user {rights.user.name}"
        return self.services.origin.proxies.client_address(self.environ)

    def _is_anonymous(self) -> bool:
        """Tell whether no valid credentials have been seen. They are not looked up for this."""
        rights: Rights | None = self.__dict__["_rights"]
        return rights is None or (rights.user is None and rights.bearer is None and not rights.has_token)

    def drain(self) -> None:
        """Read the rest of a rejected body, for a limited time.

        Engines report an early answer as a failed write (clients.md 3.3). A client that waits for
        ``100 Continue`` sends nothing.

        :raises LengthRequired: as :attr:`upload`.
        :raises BadRequest: as :attr:`upload`.
        """
        upload = self.upload
        if upload.finished or (not upload.received and "HTTP_EXPECT" in self.environ):
            return
        settings = self.services.settings
        self.__dict__["_silence_s"] = _REFUSED_SILENCE_S
        self.__dict__["_total_s"] = settings.refused_timeout_s
        if self.__dict__["_slot"] is not None:
            limit_waiting(self.environ, silence_s=_REFUSED_SILENCE_S, total_s=settings.refused_timeout_s)
        upload.drain(settings.max_refused_bytes)

    def end_body(self) -> None:
        """Give back the slot of the body: nothing more is read of it."""
        if self.__dict__["_slot"] is not None:
            client, is_anonymous = self.__dict__["_slot"]
            self.services.body_slots.give_back(client, is_anonymous=is_anonymous)
            self.__dict__["_slot"] = None

    def read_body(self, limit_bytes: int) -> bytes:
        """Return a whole, small body. It is read once and kept.

        :raises BodyTooLarge: the body is larger than ``limit_bytes``.
        :raises LengthRequired: as :attr:`upload`.
        :raises BadRequest: as :attr:`upload`; also if the body ends before its announced length.
        """
        if self.__dict__["_body"] is None:
            self.__dict__["_body"] = self._read_body(limit_bytes)
        body: bytes = self.__dict__["_body"]
        return body

    def _read_body(self, limit_bytes: int) -> bytes:
        if limit_bytes <= SMALL_BODY_BYTES:
            self.__dict__["_total_s"] = self.services.settings.body_timeout_s
        if self.upload.size is not None and self.upload.size > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        parts, total = [], 0
        for chunk in self.upload:
            total += len(chunk)
            if total > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            parts.append(chunk)
        return b"".join(parts)
