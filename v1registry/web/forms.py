"""Forms as browsers send them, and where one may lead afterwards."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from .. import errors
from ..wsgi.bodies import fields_of_body
from ..wsgi.routing import Table
from .pages import Pages
from .services import Request

#: In bytes; no form here has fields of more than some hundred characters.
LARGEST_FORM: Final = 64 << 10

_TYPE: Final = "application/x-www-form-urlencoded"

#: A path and a query in ASCII, without what browsers take for something else or leave out: a backslash is a slash to them, and
#: tabs and newlines nothing (https://url.spec.whatwg.org/).
_TARGET: Final = re.compile(r"/[!-\[\]-~]*")
_LONGEST_TARGET: Final = 8192

#: After a log-in nobody is sent to these, below the path of the pages.
_LOG_IN_PATHS: Final = ("/login", "/logout", "/register")


def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once. BadRequest for what no form of ours sends, BodyTooLarge."""
    body = request.read_body(LARGEST_FORM)
    kind = (request.environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if body and kind != _TYPE:
        raise errors.BadRequest(f"A form of type {_TYPE} is expected")
    try:
        return fields_of_body(body, _TYPE)
    except ValueError as error:
        raise errors.BadRequest(str(error)) from None


def local_target(request: Request, pages: Pages, text: str | None) -> str | None:
    """Return where a log-in may lead, if ``text`` is the path of a page of this application, with its query; else None.

    So no link to our log-in can lead elsewhere, or in a circle.

    :param text: as it came in the parameter ``next``.
    """
    if text is None or len(text) > _LONGEST_TARGET or not _TARGET.fullmatch(text) or "#" in text:
        return None
    mounted_at = request.origin.mount_path
    if not text.startswith(f"{mounted_at}/"):
        return None
    path = _decoded(text.removeprefix(mounted_at).partition("?")[0])
    if path is None or path.startswith("//") or not {".", ".."}.isdisjoint(path.split("/")):
        return None
    if path.rstrip("/") in {f"{pages.base}{name}" for name in _LOG_IN_PATHS}:
        return None
    is_start = pages.can_browse and path.rstrip("/") == pages.base
    return text if is_start or _is_page(request.services.table, path) else None


def _decoded(path: str) -> str | None:
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeError:
        return None


def _is_page(table: Table, path: str) -> bool:
    try:
        found = table.match("GET", path)
    except errors.MethodNotAllowed:
        return False
    return found is not None and found[0].is_page
