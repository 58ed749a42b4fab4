"""Answers: JSON, empty ones, and those to failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..errors import RegistryError
from ..version import __version__
from . import framework
from .documents import dump_json
from .framework import EmptyResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

#: How long caches keep what never changes, in seconds.
YEAR_S: Final = 31536000

#: Headers of answers that may change: docker-registry 0.6 to 0.9.1 sends them on everything but images.
NOT_CACHED: Final = (("Cache-Control", "no-cache"), ("Pragma", "no-cache"), ("Expires", "-1"))

#: Sent with every answer; docker 0.6 to 0.10 reject a registry whose ping lacks it.
VERSION_HEADER: Final = ("X-Docker-Registry-Version", __version__)


class Response(framework.Response):
    """An answer. WebOb adds no header but the length; every other one is given."""

    default_content_type = None  # type: ignore[assignment]
    default_charset = None  # type: ignore[assignment]

    @staticmethod
    def _make_location_absolute(environ: Mapping[str, Any], value: str) -> str:
        """Keep a ``Location`` without a host (RFC 9110, 10.2.2).

        Behind proxies only the browser knows scheme and host.
        """
        return value

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Send the answer. WebOb would copy all headers for the location, and look for conditions."""
        start_response(self.status, self.headerlist)
        if environ["REQUEST_METHOD"] == "HEAD":
            return EmptyResponse(self.app_iter)
        return self.app_iter


def respond(
    status: int, body: bytes, content_type: str | None, headers: Iterable[tuple[str, str]] = NOT_CACHED
) -> Response:
    """Return an answer with a whole body."""
    header_list = list(headers)
    if content_type is not None:
        header_list.append(("Content-Type", content_type))
    if status in (204, 304):
        # a length would announce a body that must not follow
        return Response(app_iter=(), status=status, headerlist=header_list)
    header_list.append(("Content-Length", str(len(body))))
    return Response(app_iter=(body,), status=status, headerlist=header_list)


def json_response(value: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return ``value`` as JSON that must not be cached."""
    return respond(status, dump_json(value), "application/json", (*NOT_CACHED, *headers))


def raw_json_response(
    data: bytes, status: int = 200, headers: Iterable[tuple[str, str]] = NOT_CACHED
) -> Response:
    """Return stored JSON, byte for byte."""
    return respond(status, data, "application/json", headers)


def no_content(headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return 204, without body and length."""
    return respond(204, b"", None, (*NOT_CACHED, *headers))


# -- answers to failures, one form for each kind of client


def error_object(error: RegistryError) -> Response:
    """Return ``{"error": TEXT}``."""
    return respond(error.status, dump_json({"error": error.public}), "application/json", _headers_of(error))


def error_string(error: RegistryError) -> Response:
    """Return the text as a JSON string: engines compare some of these answers to the letter."""
    return respond(error.status, dump_json(error.public), "application/json", _headers_of(error))


def error_text(error: RegistryError) -> Response:
    """Return plain text: docker 1.10 panics at a JSON object below ``/v2/``."""
    return respond(
        error.status, error.public.encode() + b"\n", "text/plain; charset=utf-8", _headers_of(error)
    )


def error_detail(error: RegistryError) -> Response:
    """Return the error's own document, or ``{"detail": TEXT}`` (oauth.md 4)."""
    document = error.document if error.document is not None else {"detail": error.public}
    return respond(error.status, dump_json(document), "application/json", _headers_of(error))


def _headers_of(error: RegistryError) -> list[tuple[str, str]]:
    return [*NOT_CACHED, *error.headers.items()]
