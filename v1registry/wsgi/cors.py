"""Answers for pages of other sites: the setting ``cors_origins`` (https://fetch.spec.whatwg.org/#http-cors-protocol).

Credentials of browsers (cookies, remembered passwords) are never allowed. A script sends its own
``Authorization`` header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .framework import BaseRequest
from .responses import Response, no_content

#: Every site.
ANY_ORIGIN: Final = "*"

#: Headers of answers that scripts may read, besides those that they always may.
_EXPOSED: Final = (
    "Accept-Ranges, Content-Length, Content-Range, ETag, Location, Retry-After, WWW-Authenticate, "
    "X-Docker-Checksum, X-Docker-Checksum-Payload, X-Docker-Endpoints, X-Docker-Payload-Checksum, "
    "X-Docker-Registry-Standalone, X-Docker-Registry-Version, X-Docker-Size, X-Docker-Token, X-Request-Id"
)

#: How long browsers keep the answer to a preflight, in seconds.
_PREFLIGHT_S: Final = 600

_HEADER_NAMES: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\s*,\s*[A-Za-z0-9_-]{1,64}){0,40}")


class Cors:
    """Tells browsers which sites may ask the APIs.

    :param origins: such as ``https://ui.example.com``, in lower case and without default ports, or ``*``.
        None: no site may.
    """

    def __init__(self, origins: Iterable[str]):
        self._origins = frozenset(origins)
        self.is_on = bool(self._origins)

    def allowed_origin(self, request: BaseRequest) -> str | None:
        """Return the value of ``Access-Control-Allow-Origin``; None if the site may not ask."""
        if ANY_ORIGIN in self._origins:
            return ANY_ORIGIN
        origin = request.headers.get("Origin")
        return origin if origin is not None and origin.strip().lower() in self._origins else None

    def is_preflight(self, request: BaseRequest) -> bool:
        """Tell whether a browser asks what a site may do, and the site may do anything."""
        return (
            request.method == "OPTIONS"
            and "Origin" in request.headers
            and "Access-Control-Request-Method" in request.headers
            and self.allowed_origin(request) is not None
        )

    def preflight(self, request: BaseRequest, methods: Iterable[str]) -> Response:
        """Return the answer to a preflight.

        :param methods: those of the rows that have the path.
        """
        headers = [
            ("Access-Control-Allow-Methods", ", ".join(methods)),
            ("Access-Control-Max-Age", str(_PREFLIGHT_S)),
        ]
        asked = (request.headers.get("Access-Control-Request-Headers") or "").strip()
        if _HEADER_NAMES.fullmatch(asked):
            headers.append(("Access-Control-Allow-Headers", asked))
        return no_content(headers)

    def add_headers(self, request: BaseRequest, response: Response) -> None:
        """Add the headers of an answer of an API."""
        if not self.is_on:
            return
        origin = self.allowed_origin(request)
        if origin != ANY_ORIGIN:
            # also without Origin: shared caches must not give this answer to a site
            response.headerlist.append(("Vary", "Origin"))
        if origin is not None:
            response.headerlist += [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Expose-Headers", _EXPOSED),
            ]
