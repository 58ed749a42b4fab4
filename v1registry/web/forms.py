"""Read forms as browsers send them, and check where a form may redirect to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from .. import errors
from ..wsgi.bodies import SMALL_BODY_BYTES, fields_of_body
from ..wsgi.routing import Table
from .pages import Pages
from .services import Request

_TYPE: Final = "application/x-www-form-urlencoded"

#: A path and a query in ASCII. Browsers read a backslash as a slash, and ignore tabs and newlines, so these
#: are not allowed (https://url.spec.whatwg.org/).
_TARGET: Final = re.compile(r"/[!-\[\]-~]*")
_LONGEST_TARGET: Final = 8192

#: Paths, below the path of the pages, that a log-in does not redirect to.
_LOG_IN_PATHS: Final = ("/login", "/logout", "/register")


class InvalidForm(Exception):
    """The form is invalid; nothing changed.

    :param problems: field -> error message; under the empty name a message that belongs to no field.
    """

    def __init__(self, problems: Mapping[str, str], status: int = 400):
        super().__init__()
        self.problems = problems
        self.status = status


def read_form(request: Request, limit_bytes: int = SMALL_BODY_BYTES) -> dict[str, str]:
    """Return the fields of a form.

    :raises BadRequest: the body is not a form, or a field is repeated.
    :raises BodyTooLarge: the body has more than ``limit_bytes``.
    """
    body = request.read_body(limit_bytes)
    kind = (request.environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if body and kind != _TYPE:
        raise errors.BadRequest(f"The Content-Type of a form must be {_TYPE}")
    try:
        return fields_of_body(body, _TYPE)
    except ValueError as error:
        raise errors.BadRequest(str(error)) from None


def local_target(request: Request, pages: Pages, text: str | None) -> str | None:
    """Return the target of a log-in, if it is the path (with query) of a page of this application; else None.

    Links to the log-in can therefore lead neither to other sites nor in a circle.

    :param text: the parameter ``next``.
    """
    if text is None or len(text) > _LONGEST_TARGET or not _TARGET.fullmatch(text) or "#" in text:
        return None
    path = _decoded_path(text, request.origin.mount_path)
    if path is None or path.rstrip("/") in {f"{pages.base}{name}" for name in _LOG_IN_PATHS}:
        return None
    is_start = pages.can_browse and path.rstrip("/") == pages.base
    return text if is_start or _is_page(request.services.table, path) else None


def target_of_referer(request: Request, pages: Pages) -> str | None:
    """Return the page of this application from which a link led here, by the header ``Referer``; else None.

    The page of an error can so link to the log-in without saying which address was requested.
    """
    sent, site = request.headers.get("Referer") or "", site_of(request)
    return local_target(request, pages, sent[len(site) :]) if sent.startswith(f"{site}/") else None


def site_of(request: Request) -> str:
    """Return scheme and host of this application, such as ``https://registry.example.com``."""
    return request.origin.url.removesuffix(request.origin.mount_path)


def _decoded_path(target: str, mount_path: str) -> str | None:
    """Return the decoded path below the mount point; None if browsers could resolve the target elsewhere."""
    if not target.startswith(f"{mount_path}/"):
        return None
    try:
        path = unquote_to_bytes(target.removeprefix(mount_path).partition("?")[0]).decode("utf-8")
    except UnicodeError:
        return None
    is_safe = not path.startswith("//") and {".", ".."}.isdisjoint(path.split("/"))
    return path if is_safe else None


def _is_page(table: Table, path: str) -> bool:
    """Say whether a row of the table is a page at this path."""
    try:
        found = table.match("GET", path)
    except errors.MethodNotAllowed:
        return False
    return found is not None and found[0].is_page
