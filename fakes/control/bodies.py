"""The bodies of the control API: JSON, checked before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import fields

from v1registry.errors import BadRequest
from v1registry.wsgi.documents import parse_json
from v1registry.wsgi.request import Request

#: The largest body of JSON, in bytes: layers are part of it.
MOST_JSON_BYTES: Final = 64 << 20

#: The most layers of one image. Engines accept 127.
_MOST_LAYERS: Final = 127

_MOST_STARS: Final = (1 << 31) - 1


class Body(Struct, kw_only=True, forbid_unknown_fields=True):
    """A body, or an object in one. Keys that it does not have are rejected."""


class Binary(Body):
    """Bytes, as ``{"base64": "…"}``."""

    base64: bytes


#: Text, or bytes.
Content = str | Binary

T = TypeVar("T", bound=Body)


class NewImage(Body):
    """An image to push, see :meth:`v1registry_fakes.FakeRegistry.add_image`.

    ``parent`` is an id or a digest, or the name of an image.
    """

    name: str | None = None
    files: dict[str, Content | None] | None = None
    layer: Binary | None = None
    layers: Annotated[int, Meta(ge=1, le=_MOST_LAYERS)] = 1
    parent: str | None = None
    config: dict[str, Any] | None = None
    json: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    is_complete: bool = True
    api: Literal["v1", "v2"] = "v1"


class NewTag(Body):
    """Another name for an image. ``image`` is its id, its digest or a name."""

    image: str
    name: str


class NewRepository(Body):
    """A repository without images."""

    name: str
    description: str = ""
    star_count: Annotated[int, Meta(ge=0, le=_MOST_STARS)] = 0
    is_private: bool = False


class NewUser(Body):
    """An account, see :meth:`v1registry_fakes.FakeRegistry.add_user`."""

    username: str
    password: str = "secret"  # noqa: S105  passwords of tests are no secrets
    email: str = ""
    groups: list[str] = field(default_factory=list)
    is_active: bool = True
    is_administrator: bool = False


class NewArtifact(Body):
    """An artifact, see :meth:`v1registry_fakes.FakeRegistry.add_artifact`.

    ``subject`` is the digest of a manifest, or the name of an image.
    """

    name: str
    blobs: dict[str, Content] | str = ""
    artifact_type: str = "application/vnd.example.test"
    subject: str | None = None
    annotations: dict[str, str] = field(default_factory=dict)


class NewIndex(Body):
    """An index. ``platforms`` are ``OS/ARCHITECTURE`` with the digest or the name of an image."""

    name: str
    platforms: dict[str, str]


class NewApplication(Body):
    """An OAuth application, see :meth:`v1registry_fakes.FakeRegistry.add_application`."""

    name: str = "Application of a test"
    redirect_uris: list[str] = field(default_factory=lambda: ["https://application.example.org/back"])
    client_id: str | None = None
    description: str = ""
    scopes: list[str] | None = None
    is_public: bool = False
    is_trusted: bool = False


class Consent(Body):
    """An answer to the page of consent, see :meth:`v1registry_fakes.FakeRegistry.consent`."""

    url: str
    username: str
    is_allowed: bool = True


class NewFault(Body):
    """A fault, see :meth:`v1registry_fakes.FakeRegistry.fail`. ``body`` is text, or a value of JSON."""

    method: str | None = None
    path: str | None = None
    route: str | None = None
    user: str | None = None
    api: Literal["v1", "hub", "oauth", "v2"] | None = None
    after: int = 0
    times: int | None = None
    probability: float | None = None
    seed: int = 0
    status: int | None = None
    error: str | None = None
    body: str | dict[str, Any] | list[Any] | None = None
    html: bool = False
    retry_after_s: int | None = None
    delay_s: float | None = None
    bytes_per_second: int | None = None
    cut_after_bytes: int | None = None
    corrupt_byte: int | None = None
    wrong_checksum: bool = False
    headers: dict[str, str | None] | None = None
    doubled_header: str | None = None
    expired_token: bool = False
    redirect: str | None = None
    stale: bool = False
    storage: Literal["full", "unavailable"] | None = None
    refuse_connection: bool = False


class NewEngineImage(Body):
    """An image of the engine, see :meth:`v1registry_fakes.FakeEngine.add_image`."""

    name: str
    files: dict[str, Content | None] | None = None
    config: dict[str, Any] | None = None
    json: dict[str, Any] | None = None
    parent: str | None = None


class Line(Body):
    """A line of output."""

    text: str
    stream: Literal["stdout", "stderr"] = "stdout"


class NewRule(Body):
    """What containers or commands do, see :meth:`v1registry_fakes.FakeEngine.on_run`."""

    image: str
    command: str | list[str] | None = None
    logs: list[str | Line] = field(default_factory=list)
    exit_code: int | None = 0
    after_s: float = 0.0


class NewEngineFault(Body):
    """A fault of the engine, see :meth:`v1registry_fakes.FakeEngine.fail`."""

    method: str | None = None
    path: str | None = None
    route: str | None = None
    after: int = 0
    times: int | None = None
    probability: float | None = None
    seed: int = 0
    status: int | None = None
    error: str | None = None
    body: str | dict[str, Any] | list[Any] | None = None
    delay_s: float | None = None
    bytes_per_second: int | None = None
    cut_after_bytes: int | None = None
    headers: dict[str, str | None] | None = None
    disk: Literal["full"] | None = None
    refuse_connection: bool = False


class ClockMove(Body):
    """What to do with the clock, in this order: stop it or let it run, set it, move it forward."""

    now: Annotated[datetime, Meta(tz=True)] | None = None
    advance_s: Annotated[float, Meta(ge=0)] = 0
    is_frozen: bool | None = None


def read_body(request: Request[Any], kind: type[T]) -> T:
    """Return the body of a request, which is JSON whatever its type says. An empty body is ``{}``.

    :raises BadRequest: the body is not JSON, or does not have the form of ``kind``.
    :raises BodyTooLarge: the body is larger than MOST_JSON_BYTES.
    :raises TooManyValues: the body has too many values.
    """
    data = request.read_body(MOST_JSON_BYTES)
    try:
        value = parse_json(data, has_unique_keys=True) if data.strip() else {}
        if b"\\ud" in data.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("The body is invalid: a text has a half of a surrogate pair") from None
    except ValueError as error:
        raise BadRequest(f"The body must be a JSON object in UTF-8: {error}") from None
    return checked(value, kind)


def checked(value: object, kind: type[T]) -> T:
    """Return a parsed value as a body.

    :raises BadRequest: the value does not have the form of ``kind``; the text says what was expected.
    """
    try:
        return convert(value, kind)
    except ValidationError as error:
        keys = ", ".join(known.name for known in fields(kind))
        raise BadRequest(f"The body is invalid: {error}; the known keys are {keys}") from None


def content_of(content: Content) -> bytes | str:
    """Return a content as the helpers of a fake take it."""
    return content.base64 if isinstance(content, Binary) else content


def contents_of(contents: Mapping[str, Content | None]) -> dict[str, bytes | str | None]:
    """Return named contents as the helpers of a fake take them; None stays None."""
    return {name: None if each is None else content_of(each) for name, each in contents.items()}
