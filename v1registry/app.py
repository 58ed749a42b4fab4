"""The application as a WSGI callable: dispatch, answers to failures, mounting in front of others."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from . import errors
from . import settings as settings_
from .accounts.base import BackendUnavailable
from .assembly import WITHOUT_OAUTH, Services, assemble, in_front
from .clock import SYSTEM_CLOCK, Clock
from .log import REQUEST_ID_HEADER, RequestContext, get_logger, in_request, request_id_of
from .oauth.applications import Applications
from .oauth.grants import Grants
from .oauth.provider import Provider
from .oauth.services import OAuth
from .settings import Settings, SettingsError
from .storage import patience
from .storage.base import NO_SPACE, Storage, StorageFull, StorageUnavailable
from .web.pages import accepts_html
from .wsgi.access_log import AccessLog
from .wsgi.request import USER_KEY, Request
from .wsgi.responses import VERSION_HEADER, Response, error_object
from .wsgi.routing import ROUTE_KEY, Api, Table, api_of, stripped_prefix_hint

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication
    from typing_extensions import Unpack

    from .housekeeping.service import Housekeeping
    from .settings import Options

log = get_logger(__name__)


class Registry:
    """A v1 registry with its index, as a WSGI callable.

    :param storage: a :class:`v1registry.storage.Storage`, or text that names one, such as
        ``file:///srv/registry``.
    :param clock: gives the time by which everything expires; the system's time if None.
    :param options: the keys of :class:`v1registry.settings.Settings`.
    :raises SettingsError: lists everything that is wrong with them.

    Safe for threads. Nothing is opened before the first request. Several registries in one process share
    nothing.

    >>> from v1registry import MemoryStorage, Registry
    >>> app = Registry(storage=MemoryStorage())
    """

    def __init__(self, storage: Storage | str, *, clock: Clock | None = None, **options: Unpack[Options]):
        if not isinstance(clock, Clock | None):
            raise SettingsError([f"clock: must be a v1registry.Clock, not {clock!r}"])
        self._services: Services = assemble({"storage": storage, **options}, clock or SYSTEM_CLOCK)
        self._behind: WSGIApplication | None = None
        self._needs_one_process = bool(
            getattr(self.storage, "is_single_writer", False)
            and not getattr(self.storage, "is_single_process", False)
        )
        self._access_log = AccessLog(
            self.settings.access_log,
            secret_prefix=f"{self.settings.link_path}/",
            clock=self._services.clock,
        )

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
    def apis(self) -> tuple[Api, ...]:
        """The APIs that this application serves, with their rows."""
        return self._services.apis

    @property
    def has_accounts(self) -> bool:
        """Whether there are users to tell apart."""
        return self._services.accounts is not None

    @property
    def has_oauth(self) -> bool:
        """Whether applications may ask users for access.

        It needs a backend that can look up users by name, and gives them ids.
        """
        return self._services.oauth is not None

    @property
    def housekeeping(self) -> Housekeeping:
        """Maintenance of the storage: see docs/housekeeping.md."""
        # few processes need it
        from .housekeeping.service import Housekeeping

        return Housekeeping(self.storage, clock=self._services.clock)

    # -- OAuth, for the surrounding application

    @property
    def applications(self) -> Applications:
        """The applications that may ask users for access.

        :raises RuntimeError: OAuth is off; see :attr:`has_oauth`.
        """
        return self._oauth.applications

    @property
    def grants(self) -> Grants:
        """What users granted to applications, and the tokens that applications got.

        :raises RuntimeError: OAuth is off; see :attr:`has_oauth`.
        """
        return self._oauth.grants

    @property
    def provider(self) -> Provider:
        """What the page of consent asks, for a page of the surrounding application.

        :raises RuntimeError: OAuth is off; see :attr:`has_oauth`.
        """
        return self._oauth.provider

    @property
    def _oauth(self) -> OAuth:
        if self._services.oauth is None:
            raise RuntimeError(f"OAuth is off, because {WITHOUT_OAUTH}")
        return self._services.oauth

    # -- other constructors

    @classmethod
    def from_settings(cls, mapping: Mapping[str, Any]) -> Registry:
        """Return a registry made from a mapping such as ``{"storage": "file:///srv/registry"}``.

        :raises SettingsError: lists everything that is wrong.
        """
        # by __init__, so that subclasses can extend it
        options = cast("Options", {key: value for key, value in mapping.items() if key != "storage"})
        return cls(mapping.get("storage", ""), **options)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Registry:
        """Return a registry made from the variables ``V1REGISTRY_STORAGE``, ….

        :param environment: variables; those of the process if None.
        :raises SettingsError: lists everything that is wrong.
        """
        return cls.from_settings(settings_.from_environment(environment))

    @classmethod
    def from_ini(cls, path: str | os.PathLike[str]) -> Registry:
        """Return a registry made from the section ``[v1registry]`` of an ini file.

        :raises SettingsError: the file cannot be read; or lists everything that is wrong in it.
        """
        return cls.from_settings(settings_.from_ini(path))

    def in_front_of(self, application: WSGIApplication) -> Registry:
        """Return this registry as middleware: requests for paths of no API go to ``application``.

        ``/`` belongs to the application. There are pages only if the setting ``pages`` names a path.
        Everything else is shared with this registry, attributes of a subclass too.
        """
        registry = copy.copy(self)
        registry._services = in_front(self._services)
        registry._behind = application
        return registry

    # -- WSGI

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._behind is not None and not self._is_own(environ.get("PATH_INFO", "")):
            return self._behind(environ, start_response)
        context = RequestContext(
            request_id_of(environ), self._services.origin.proxies.client_address(environ)
        )
        with in_request(context):
            if self._access_log.is_on:
                return self._logged_answer(environ, context, start_response)
            # WebOb accepts only a dict; some servers and test clients pass subclasses
            request = Request(environ if type(environ) is dict else dict(environ), self._services)
            response = self._finished(request, context)
            _tell_surroundings(request, environ)
            return response(environ, start_response)

    def _logged_answer(
        self, environ: dict[str, Any], context: RequestContext, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request, and write its line in the access log when the answer is sent."""
        entry = self._access_log.entry(environ, context)
        request = Request(entry.watched_environ(environ), self._services)
        try:
            response = self._finished(request, context)
            _tell_surroundings(request, environ)
            entry.received_bytes = request.received_bytes
            entry.route = request.environ.get(ROUTE_KEY)
            body = response(request.environ, entry.watched_start(start_response))
        except BaseException:
            entry.status, entry.is_complete = 500, False
            entry.end()
            raise
        return entry.watched(body, environ, response.content_length)

    def _finished(self, request: Request[Services], context: RequestContext) -> Response:
        """Return the answer with the headers that all answers have."""
        try:
            response = self._answer(request)
        finally:
            request.end_body()
        if self._services.cors.is_on and self._is_for_scripts(request):
            self._services.cors.add_headers(request, response)
        response.headerlist += [VERSION_HEADER, (REQUEST_ID_HEADER, context.request_id)]
        return response

    def on_error(self, environ: dict[str, Any], error: Exception) -> None:
        """Do nothing. A subclass may override this to report unexpected errors.

        Called within the request, before the client gets its answer. The error is logged in any case, and so
        is an exception of this method.

        :param environ: the WSGI environment of the request.
        :param error: raised by a handler; never a :class:`v1registry.errors.RegistryError`.
        """

    def _is_own(self, path: str) -> bool:
        """Tell whether a path is not one of the application behind."""
        api = api_of(self._services.apis, path)
        return api is not None and not api.is_passed_on

    def _answer(self, request: Request[Services]) -> Response:
        try:
            with patience.request(), self.storage.moment():
                return self._dispatch(request)
        except Exception as error:  # noqa: BLE001 (it is logged)
            return self._handled(request, error)

    def _handled(self, request: Request[Services], error: Exception) -> Response:
        """Return the answer to a failed request, and log the failure.

        The caller must not keep the failure in a variable: its traceback refers to the frame of the caller.
        So what the handler had parsed would stay in memory until the garbage collector runs.
        """
        if not isinstance(error, errors.RegistryError):
            self._report(request, error)
        failure = _as_registry_error(error)
        path = self._access_log.loggable(request.environ.get("PATH_INFO", ""))
        if failure.status == 500:
            log.error("%s %r failed", request.method, path, exc_info=error)
        elif failure.status > 500 and not isinstance(failure, errors.Busy):
            # the cause is outside of this program: the reason is enough, without a traceback
            log.error("%s %r failed: %s", request.method, path, error)
        else:
            log.info("%s %r: %d %s %r", request.method, path, failure.status, failure.public, failure.context)
        # if there is no body, or it cannot be read, nothing is to be done
        with contextlib.suppress(errors.RegistryError):
            request.drain()
        return self._answer_to_failure(request, failure)

    def _report(self, request: Request[Services], error: Exception) -> None:
        try:
            self.on_error(request.environ, error)
        except Exception as failure:
            log.error("on_error failed", exc_info=failure)

    def _answer_to_failure(self, request: Request[Services], failure: errors.RegistryError) -> Response:
        """Return a page for a browser that asked for one, else the answer in the form of the API."""
        api = api_of(self._services.apis, request.environ.get("PATH_INFO", ""))
        is_for_people = self._services.pages.can_browse and (api is None or api.is_for_people)
        if request.is_page or (is_for_people and accepts_html(request)):
            page = self._page_of_failure(request, failure)
            if page is not None:
                return page
        if api is None:
            return error_object(failure)
        if api.error_response_to is not None:
            return api.error_response_to(request, failure)
        return api.error_response(failure)

    def _page_of_failure(self, request: Request[Services], failure: errors.RegistryError) -> Response | None:
        """Return the page of a failure, None if it cannot be made: templates may be the operator's own."""
        try:
            return self._services.pages.failure(request, failure)
        except Exception as error:
            log.error("cannot make the page of a failure", exc_info=error)
            return None

    def _is_for_scripts(self, request: Request[Services]) -> bool:
        """Tell whether the path belongs to an API, and not to a page."""
        api = api_of(self._services.apis, request.environ.get("PATH_INFO", ""))
        return api is not None and not api.is_for_people and not request.is_page

    def _dispatch(self, request: Request[Services]) -> Response:
        if self._needs_one_process and request.environ.get("wsgi.multiprocess"):
            # reads may store something too
            raise errors.SeveralProcesses
        try:
            found = self.table.match(request.method, request.decoded_path)
        except errors.MethodNotAllowed as error:
            if self._services.cors.is_preflight(request) and self._is_for_scripts(request):
                return self._services.cors.preflight(request, error.allowed)
            hint = stripped_prefix_hint(self.table, request.method, request.decoded_path)
            raise errors.MethodNotAllowed(request.method, error.allowed, hint) from None
        if found is None:
            hint = (
                ""
                if request.method in ("GET", "HEAD")
                else (stripped_prefix_hint(self.table, request.method, request.decoded_path))
            )
            raise errors.PathNotFound(hint or None)
        route, fields = found
        request.environ[ROUTE_KEY] = route.name
        request.fields.update(fields)
        request.is_page = route.is_page
        if route.is_change and self.settings.read_only:
            raise errors.ReadOnly
        if route.needs is not None:
            # invalid credentials are rejected even if the row needs none
            request.rights.require_scope(route.needs)
        try:
            return route.handler(request)
        except errors.MissingOrHidden:
            if route.needs is not None:
                request.rights.require_login()
            raise


def _tell_surroundings(request: Request[Services], environ: dict[str, Any]) -> None:
    """Copy route and user to the environ of the server, so that middleware around the registry finds them."""
    if request.environ is not environ:
        for key in (ROUTE_KEY, USER_KEY):
            if key in request.environ:
                environ[key] = request.environ[key]


def _as_registry_error(error: Exception) -> errors.RegistryError:
    """Return the failure that the client gets. An unexpected error becomes a 500 without details."""
    if isinstance(error, errors.RegistryError):
        return error
    if isinstance(error, BackendUnavailable) and isinstance(error.__cause__, StorageFull):
        # accounts in the storage
        return errors.OutOfSpace()
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in NO_SPACE):
        return errors.OutOfSpace()
    if isinstance(error, StorageUnavailable):
        return errors.Unavailable()
    if isinstance(error, BackendUnavailable):
        return errors.Unavailable(str(error))
    return errors.RegistryError()


def paste_app(global_conf: Mapping[str, str], **local_conf: str) -> Registry:
    """Make the application of a PasteDeploy section ``use = egg:v1registry``.

    :raises SettingsError: lists everything that is wrong with the settings.
    """
    return Registry.from_settings(local_conf)


def paste_filter(
    global_conf: Mapping[str, str], **local_conf: str
) -> Callable[[WSGIApplication], WSGIApplication]:
    """Make the filter of a PasteDeploy section ``use = egg:v1registry``.

    It puts the registry in front of an application.

    :raises SettingsError: lists everything that is wrong with the settings.
    """
    return Registry.from_settings(local_conf).in_front_of
