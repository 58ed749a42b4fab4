"""A request on its way through a table, with the services of the application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs

from ..errors import BadRequest, BodyTooLarge
from ..log import note_user
from ..rights import Access, Rights
from ..settings import Settings
from .bodies import Upload
from .framework import BaseRequest
from .origin import Origin, RequestOrigin

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Services:
    """What every handler may use. Each API has a subclass with the models that its own handlers work on."""

    settings: Settings
    access: Access
    origin: Origin


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
        self.__dict__["fields"] = {}
        self.__dict__["_services"] = services
        self.__dict__["_upload"] = None
        self.__dict__["_body"] = None
        self.__dict__["_rights"] = None
        self.__dict__["is_page"] = False

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
            found = self.services.access.rights(self.headers.get("Authorization"), self.environ)
            self.__dict__["_rights"] = found
            note_user(None if found.user is None else found.user.name)
        return found

    @property
    def decoded_path(self) -> str:
        """The path below the mount point, percent-decoded once.

        :raises BadRequest: the path is not UTF-8.
        """
        path: str = self.environ.get("PATH_INFO", "")
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
            self.__dict__["_upload"] = Upload.of(self.environ)
        upload: Upload = self.__dict__["_upload"]
        return upload

    @property
    def received_bytes(self) -> int:
        """How many bytes of the body were read."""
        upload: Upload | None = self.__dict__["_upload"]
        return 0 if upload is None else upload.received

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
        if self.upload.size is not None and self.upload.size > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        parts, total = [], 0
        for chunk in self.upload:
            total += len(chunk)
            if total > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            parts.append(chunk)
        return b"".join(parts)
