"""The application: the APIs' tables over one storage and one set of settings, as a WSGI callable."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import errors
from . import settings as settings_
from .accounts.base import BackendUnavailable
from .assembly import Services, assemble, in_front
from .log import REQUEST_ID_HEADER, get_logger, in_request, request_id_of
from .oauth import api as oauth_api
from .oauth.applications import Applications
from .oauth.grants import Grants
from .oauth.provider import Provider
from .oauth.services import OAuth
from .settings import Settings
from .storage.base import Storage, StorageFull, StorageUnavailable
from .web.pages import accepts_html
from .wsgi.request import Request
from .wsgi.responses import VERSION_HEADER, Response, error_response
from .wsgi.routing import Table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

log = get_logger(__name__)

#: What belongs to the registry when it stands in front of another application: the rest goes through.
_OWN_PREFIXES = ("/v1/", "/v2/", "/api/v1.1/")
_OWN_PATHS = ("/v1", "/v2", "/_ping", "/_ping/", "/_status", "/_status/")

#: An operating system's errors that mean: there is no room.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Registry:
    """A v1 registry with its index, as a WSGI callable.

    :param storage: where everything is kept: any :class:`v1registry.storage.Storage`.
    :param options: the keys of :class:`v1registry.settings.Settings`. SettingsError.

    Safe for threads. Nothing is opened before the first request, and several registries in one process share
    nothing.

    >>> from v1registry import MemoryStorage, Registry
    >>> app = Registry(storage=MemoryStorage())
    """

    def __init__(self, storage: Storage, **options: Any):
        self._serve(assemble(*settings_.from_mapping({"storage": storage, **options})), None)

    def _serve(self, services: Services, behind: WSGIApplication | None) -> None:
        """Take the services to work on, and the application that gets other paths."""
        self._services = services
        self._behind = behind

    @classmethod
    def _of(cls, services: Services, behind: WSGIApplication | None = None) -> Registry:
        registry = cls.__new__(cls)
        registry._serve(services, behind)
        return registry

    @property
    def storage(self) -> Storage:
        """Where everything is kept."""
        return self._services.storage

    @property
    def settings(self) -> Settings:
        """The settings, with defaults for those that were not given."""
        return self._services.settings

    @property
    def table(self) -> Table:
        """Every row that this application serves."""
        return self._services.table

    @property
    def has_accounts(self) -> bool:
        """Whether there are users to tell apart."""
        return self._services.accounts is not None

    # -- OAuth, for the surrounding application

    @property
    def applications(self) -> Applications:
        """The applications that may ask users for access.

        :raises RuntimeError: the server has no accounts.
        """
        return self._oauth.applications

    @property
    def grants(self) -> Grants:
        """What users granted to applications, and the tokens that applications got.

        :raises RuntimeError: the server has no accounts.
        """
        return self._oauth.grants

    @property
    def provider(self) -> Provider:
        """What the page of consent asks, for a page of the surrounding application.

        :raises RuntimeError: the server has no accounts.
        """
        return self._oauth.provider

    @property
    def _oauth(self) -> OAuth:
        if self._services.oauth is None:
            raise RuntimeError(
                "OAuth needs accounts: make the registry with auth, such as users: or htpasswd:///PATH"
            )
        return self._services.oauth

    # -- other ways to make one

    @classmethod
    def from_settings(cls, mapping: Mapping[str, Any]) -> Registry:
        """Return a registry made from a mapping such as ``{"storage": "file:///srv/registry"}``. SettingsError."""
        return cls._of(assemble(*settings_.from_mapping(mapping)))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Registry:
        """Return a registry made from ``V1REGISTRY_STORAGE`` and the like. SettingsError."""
        return cls.from_settings(settings_.from_environment(environment))

    @classmethod
    def from_ini(cls, path: str | os.PathLike[str]) -> Registry:
        """Return a registry made from the section ``[v1registry]`` of an ini file. SettingsError."""
        return cls.from_settings(settings_.from_ini(path))

    def in_front_of(self, application: WSGIApplication) -> Registry:
        """Return this registry as middleware: what is no path of a registry goes through to ``application``.

        ``/`` is the application's own, and so are the pages, unless the setting ``pages`` says where ours are. Everything
        else is shared with this registry.
        """
        return self._of(in_front(self._services), application)

    # -- WSGI

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._behind is not None and not self._is_own(environ.get("PATH_INFO", "")):
            return self._behind(environ, start_response)
        # WebOb takes a dict and nothing else; some servers and test clients have subclasses
        request = Request(environ if type(environ) is dict else dict(environ), self._services)
        request_id = request_id_of(environ)
        with in_request(request_id):
            response = self._answer(request)
            response.headerlist += [VERSION_HEADER, (REQUEST_ID_HEADER, request_id)]
            return response(environ, start_response)

    def _is_own(self, path: str) -> bool:
        if self.settings.v2 == "pass" and (path == "/v2" or path.startswith("/v2/")):
            return False
        if self._services.link_prefix is not None and path.startswith(self._services.link_prefix):
            return True
        if self._services.pages.can_browse and f"{path}/".startswith(f"{self._services.pages.base}/"):
            return True
        if self.has_accounts and path.rstrip("/") == oauth_api.METADATA_PATH:
            return True
        return path.startswith(_OWN_PREFIXES) or path in _OWN_PATHS

    def _answer(self, request: Request[Services]) -> Response:
        try:
            return self._dispatch(request)
        except Exception as error:
            failure = _as_registry_error(error)
            path = self._loggable(request.environ.get("PATH_INFO", ""))
            if failure.status == 500:
                log.error("%s %r failed", request.method, path, exc_info=error)
            elif failure.status > 500:
                # known, and not to be found in our code: who runs the server needs the reason alone
                log.error("%s %r failed: %s", request.method, path, error)
            else:
                log.info(
                    "%s %r: %d %s %r", request.method, path, failure.status, failure.public, failure.context
                )
            self._read_refused_body(request)
            page = self._page_of_failure(request, failure) if self._is_for_people(request, path) else None
            return error_response(failure, path) if page is None else page

    def _page_of_failure(self, request: Request[Services], failure: errors.RegistryError) -> Response | None:
        """Return the page that tells of a failure, None where that fails too: templates may be the operator's own."""
        try:
            return self._services.pages.failure(request, failure)
        except Exception as error:
            log.error("the page of a failure cannot be made", exc_info=error)
            return None

    def _is_for_people(self, request: Request[Services], path: str) -> bool:
        """Tell whether a failure is to be told by a page: to a browser that asked for one."""
        if request.is_page:
            return True
        is_of_api = path.startswith(_OWN_PREFIXES) or path in _OWN_PATHS
        return self._services.pages.can_browse and not is_of_api and accepts_html(request)

    def _loggable(self, path: str) -> str:
        """Return the path without the token of a link, which works until somebody followed it."""
        is_link = self._services.link_prefix is not None and path.startswith(self._services.link_prefix)
        return f"{self._services.link_prefix}..." if is_link else path

    def _dispatch(self, request: Request[Services]) -> Response:
        method, path = request.method, request.decoded_path
        found = self.table.match(method, path)
        if found is None:
            raise errors.PathNotFound
        route, fields = found
        request.fields.update(fields)
        request.is_page = route.is_page
        if route.needs is not None:
            # bad credentials are refused everywhere, also where none are needed
            request.rights.require_scope(route.needs)
        return route.handler(request)

    def _read_refused_body(self, request: Request[Services]) -> None:
        """Read what the client still sends: engines take an early answer for a failed write (clients.md 3.3)."""
        try:
            request.upload.drain(self.settings.max_refused_bytes)
        except errors.RegistryError:
            # no body that may be read
            return


def _as_registry_error(error: Exception) -> errors.RegistryError:
    """Return the failure that a client is told of. What is no failure on purpose is a 500 without details."""
    if isinstance(error, errors.RegistryError):
        return error
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return errors.OutOfSpace()
    if isinstance(error, StorageUnavailable):
        return errors.Unavailable()
    if isinstance(error, BackendUnavailable):
        return errors.Unavailable(str(error))
    return errors.RegistryError()


def paste_app(global_conf: Mapping[str, str], **local_conf: str) -> Registry:
    """Make the application of a PasteDeploy section ``use = egg:v1registry``. SettingsError."""
    return Registry.from_settings(local_conf)


def paste_filter(
    global_conf: Mapping[str, str], **local_conf: str
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Make the filter of a PasteDeploy section ``use = egg:v1registry``: the registry in front of an application."""
    return Registry.from_settings(local_conf).in_front_of
