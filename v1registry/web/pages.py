"""Render pages: templates, security headers, static files.

Handlers pass values to templates and know no HTML. Jinja2 escapes all values. The Content-Security-Policy
allows scripts and styles only from files of this server, so templates have none inline.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from .. import errors
from ..accounts.base import BackendUnavailable
from ..log import get_logger
from ..storage.base import StorageUnavailable
from ..wsgi.responses import YEAR_S, Response, respond
from .visitors import Request, Visitor, visitor_of

if TYPE_CHECKING:
    from jinja2 import Environment

log = get_logger(__name__)

_HERE: Final = Path(__file__).parent

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
)


#: Headers of the pages between an application and its consent. The application may have opened them in a
#: window that it must be able to reach afterwards.
OPENED_BY_OTHERS: Final = (("Cross-Origin-Opener-Policy", "unsafe-none"),)


class Pages:
    """Renders the pages of one application. Safe for threads. Templates are read at their first use.

    :param base: the path below which the pages are, without a final slash.
    :param title: the name of the registry.
    :param templates: a folder whose templates replace those of the same name; its folder ``static`` replaces
        static files. Empty for none.
    :param can_browse: whether there are pages of repositories and images, and not only those of OAuth.
    :param has_accounts: whether users can log in.
    :param can_register: whether users can register.
    """

    def __init__(
        self,
        base: str,
        *,
        title: str = "Registry",
        templates: str = "",
        can_browse: bool,
        has_accounts: bool,
        can_register: bool,
    ):
        self.base = base
        self.title = title
        self.can_browse = can_browse
        self.has_accounts = has_accounts
        self.can_register = can_register
        self._folders = [Path(templates)] if templates else []
        self._folders.append(_HERE)
        self._failed: set[str] = set()  # templates whose failure was logged

    # -- addresses

    def url(self, request: Request, *parts: str, **query: object) -> str:
        """Return the path of a page as browsers request it. Parts are quoted; slashes are kept.

        ``url(request, "/images/", image_id, "/files", path="etc")`` is ``/images/…/files?path=etc``. Query
        parameters that are None or empty are left out.
        """
        mounted_at = request.origin.mount_path
        path = "".join(quote(part, safe="/:@!$&'()*+,;=~") for part in parts)
        asked = "&".join(
            f"{quote(name)}={quote(str(value), safe='/:?@=,~')}"
            for name, value in query.items()
            if value not in (None, "")
        )
        return f"{mounted_at}{self.base}{path}{'?' if asked else ''}{asked}"

    # -- answers

    def render(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        visitor: Visitor | None = None,
        form_targets: Iterable[str] = (),
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """Return a page.

        :param template: such as ``repository.html``.
        :param values: values for the template, besides ``visitor``, ``pages``, ``url`` and ``static``.
        :param visitor: the visitor; None to identify the visitor of the request.
        :param form_targets: other origins that a form of the page may redirect to. Browsers block all others.
        :param headers: more headers; they replace headers of the same name.
        """
        visitor = visitor_of(request) if visitor is None else visitor
        text = self._text(
            template,
            {
                **(values or {}),
                "pages": self,
                "visitor": visitor,
                "url": lambda *parts, **query: self.url(request, *parts, **query),
                "static": lambda name: self.url(request, "/static/", name, v=self._version(name)),
            },
        )
        # a token shows private content, although its owner is not logged in on the page
        is_personal = (
            visitor.session is not None
            or visitor.user is not None
            or request.headers.get("Authorization") is not None
        )
        policy = _POLICY.format(form_action=" ".join(["'self'", *form_targets]))
        all_headers = {
            "Cache-Control": "no-store" if is_personal else "no-cache",
            "Vary": "Accept, Cookie, Authorization",
            "Content-Security-Policy": policy,
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            **dict(visitor.cookie_headers(request)),
            **dict(headers),
        }
        return respond(status, text.encode("utf-8"), "text/html; charset=utf-8", all_headers.items())

    def redirect(
        self,
        request: Request,
        location: str,
        *,
        status: int = 303,
        visitor: Visitor | None = None,
    ) -> Response:
        """Redirect the browser, and send the visitor's cookie if it is new."""
        headers = [("Location", location), ("Cache-Control", "no-store")]
        if visitor is not None:
            headers += visitor.cookie_headers(request)
        return respond(status, b"", None, headers)

    def failure(self, request: Request, error: errors.RegistryError) -> Response:
        """Return the page of an error. After a failure of the server it uses neither storage nor accounts."""
        visitor = _visitor_of_failure(request, error)
        can_log_in = self.has_accounts and self.can_browse and visitor.user is None
        values = {
            "status": error.status,
            "text": error.public,
            "may_need_login": can_log_in and error.status in (401, 403, 404),
        }
        return self.render(
            request,
            "error.html",
            values,
            status=error.status,
            visitor=visitor,
            headers=[header for header in error.headers.items() if header[0] != "WWW-Authenticate"],
        )

    def static(self, request: Request) -> Response:
        """Return a static file. Its address contains its digest, so it may be cached for ever.

        :raises PathNotFound: there is no such file.
        """
        name = request.fields["file"]
        found = self._files.get(name)
        if found is None:
            raise errors.PathNotFound
        data, version = found
        is_versioned = request.query("v") == version
        caching = f"public, max-age={YEAR_S}, immutable" if is_versioned else "no-cache"
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if content_type.startswith("text/"):
            content_type += "; charset=utf-8"
        return respond(
            200, data, content_type, [("Cache-Control", caching), ("X-Content-Type-Options", "nosniff")]
        )

    def problems(self) -> list[str]:
        """Return which templates of the administrator cannot be used, and why."""
        from jinja2 import TemplateError, meta

        found = []
        for folder in self._folders[:-1]:
            for path in sorted(folder.rglob("*.html")):
                name = path.relative_to(folder).as_posix()
                try:
                    source = path.read_text("utf-8")
                    self._environment.get_template(name)
                    for parent in meta.find_referenced_templates(self._environment.parse(source)):
                        if parent is not None:
                            self._environment.get_template(parent)
                except (TemplateError, UnicodeDecodeError, OSError) as error:
                    line = getattr(error, "lineno", None)
                    place = f"{path}, line {line}" if line else str(path)
                    found.append(f"{place}: {error or type(error).__name__}; the built-in template is used")
        return found

    # -- inside

    def _text(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the HTML of a page. A broken template of the administrator is logged, and ours is used."""
        if len(self._folders) > 1:
            try:
                return self._environment.get_template(template).render(values)
            except errors.RegistryError:
                raise
            except Exception as error:
                log.error(
                    "%s cannot be rendered with the templates in %s, so the built-in templates are used",
                    template,
                    self._folders[0],
                    # the first failure of each template has a traceback, because visitors can repeat it
                    exc_info=None if template in self._failed else error,
                )
                self._failed.add(template)
        return self._own_environment.get_template(template).render(values)

    @cached_property
    def _environment(self) -> Environment:
        return _environment_of(self._folders[:-1])

    @cached_property
    def _own_environment(self) -> Environment:
        return _environment_of([])

    @cached_property
    def _files(self) -> dict[str, tuple[bytes, str]]:
        """The static files: name -> (bytes, start of their digest)."""
        found = {}
        for folder in reversed(self._folders):
            place = folder / "static"
            for path in place.iterdir() if place.is_dir() else ():
                if path.is_file():
                    data = path.read_bytes()
                    found[path.name] = data, hashlib.sha256(data).hexdigest()[:16]
        return found

    def _version(self, name: str) -> str:
        return self._files[name][1]


def _visitor_of_failure(request: Request, error: errors.RegistryError) -> Visitor:
    """Return the visitor of an error page. Credentials in a header are not checked a second time."""
    if error.status < 500 and request.headers.get("Authorization") is None:
        try:
            return visitor_of(request)
        except (errors.RegistryError, StorageUnavailable, BackendUnavailable):
            pass
    return Visitor(None, None, None)


def _environment_of(folders: Iterable[Path]) -> Environment:
    """Return the templates of folders, the first one first, and ours. Ours are below ``v1registry/`` too."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined

    own = FileSystemLoader(_HERE / "templates")
    replaced = [FileSystemLoader(folder) for folder in folders]
    environment = Environment(
        loader=ChoiceLoader([*replaced, own, PrefixLoader({"v1registry": own})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_filters())
    return environment


def _filters() -> dict[str, Any]:
    from .views.texts import age, bytes_text, count_text, cut, date_text, short_digest, short_id, thousands

    return {
        "age": age,
        "bytes": bytes_text,
        "count": count_text,
        "cut": cut,
        "date": date_text,
        "short_digest": short_digest,
        "short_id": short_id,
        "thousands": thousands,
    }


def accepts_html(request: Request) -> bool:
    """Say whether the client accepts HTML by name, as browsers do, and not by ``*/*`` (decisions.md 13)."""
    for part in (request.headers.get("Accept") or "").split(","):
        kind, _, parameters = part.partition(";")
        if kind.strip().lower() in ("text/html", "application/xhtml+xml"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
