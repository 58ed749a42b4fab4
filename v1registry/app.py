"""The application: the APIs' tables over one storage and one set of settings, as a WSGI callable."""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import errors
from . import settings as settings_
from .access.accounts import AccountsAccess
from .access.attempts import LoginLimiter
from .access.holders import Holders
from .access.open import OpenAccess
from .access.signing import shared_secret
from .access.tokens import Tokens
from .accounts.base import Authenticator, BackendUnavailable
from .accounts.confirmations import Confirmations, Links
from .accounts.profiles import Profiles
from .accounts.registration import Accounts, confirming_part
from .distribution import api as bridge_api
from .hub import api as hub_api
from .hub import users_api
from .log import REQUEST_ID_HEADER, get_logger, in_request, request_id_of
from .oauth import accounts_api
from .oauth import api as oauth_api
from .oauth.applications import Applications
from .oauth.grants import Grants
from .oauth.provider import Provider
from .registry import api as registry_api
from .registry.images import Images
from .registry.repositories import Repositories
from .rights import Access
from .search.scan import ScanSearch, SearchIndex
from .settings import Settings, SettingsError
from .storage.base import Storage, StorageFull, StorageUnavailable
from .web import api as web_api
from .web.markdown import Descriptions
from .web.pages import Pages, accepts_html
from .web.sessions import Sessions
from .web.shown_layers import ShownLayers
from .wsgi.http import VERSION_HEADER, Request, Response, error_response, is_secure
from .wsgi.routing import Table, combine

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

log = get_logger(__name__)

T = TypeVar("T")

#: What belongs to the registry when it stands in front of another application: the rest goes through.
_OWN_PREFIXES = ("/v1/", "/v2/", "/api/v1.1/")
_OWN_PATHS = ("/v1", "/v2", "/_ping", "/_ping/", "/_status", "/_status/")

#: Where the log-in stands, and what belongs to it, when there are no other pages.
_OAUTH_PREFIX = "/api/v1.1/o"

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
        self.storage, self.settings = settings_.from_mapping({"storage": storage, **options})
        self._behind: WSGIApplication | None = None
        self._oauth: Mapping[type, object] = {}
        repositories = Repositories(self.storage)
        images = Images(self.storage, expanded_limit_bytes=self.settings.max_expanded_bytes)
        access = self._make_access(images, repositories)
        services: dict[type, object] = {
            Storage: self.storage,
            Settings: self.settings,
            Images: images,
            Repositories: repositories,
            Access: access,
            SearchIndex: ScanSearch(repositories),
            ShownLayers: ShownLayers(
                images,
                expanded_limit_bytes=min(self.settings.max_shown_bytes, self.settings.max_expanded_bytes),
            ),
            Descriptions: Descriptions(),
        }
        if isinstance(access, AccountsAccess):
            services |= self._make_accounts(access.backend, repositories)
        self._services: Mapping[type, object] = services
        #: whether there are users to tell apart
        self.has_accounts = isinstance(access, AccountsAccess)
        has_links = Confirmations in services
        self._link_prefix = f"{self.settings.link_path}/" if has_links else None
        self._add_pages()

    def _add_pages(self) -> None:
        """Make the pages, and the table of all there is, for a place of its own or one in front of an application."""
        settings = self.settings
        is_everything_ours = self._behind is None
        can_browse = not settings.index and (
            settings.pages.startswith("/") or (settings.pages == "on" and is_everything_ours)
        )
        # what OAuth needs of them is there without them
        base = _OAUTH_PREFIX if not can_browse else "" if settings.pages == "on" else settings.pages
        self._pages = Pages(
            base,
            templates=settings.templates,
            can_browse=can_browse,
            has_accounts=self.has_accounts,
            can_register=can_browse and self._can_register,
        )
        self.table = combine(self._tables(self._link_prefix is not None))
        self._services = {**self._services, Pages: self._pages, Table: self.table}

    def _tables(self, has_links: bool) -> list[Table]:
        settings, base, pages = self.settings, self._pages.base, self._pages
        essentials = web_api.essential_routes(base) if pages.can_browse or self.has_accounts else Table()
        bridge = bridge_api.ROUTES if settings.v2 == "ping" else Table()
        if settings.index:
            return [registry_api.ROOT_ROUTES, registry_api.ROUTES, registry_api.REPOSITORY_ROUTES, bridge]
        has_images = settings.images == "here"
        return [
            # a start page at the root is at the place of the string, and knows whom to send it
            Table() if pages.can_browse and not base else registry_api.ROOT_ROUTES,
            web_api.browse_routes(base) if pages.can_browse else Table(),
            web_api.image_routes(base) if pages.can_browse and has_images else Table(),
            hub_api.NAMED_TAGS_ROUTES,
            registry_api.ROUTES if has_images else registry_api.INDEX_ROUTES,
            hub_api.ROUTES,
            users_api.ROUTES,
            hub_api.REPOSITORY_ROUTES,
            web_api.link_routes(settings.link_path) if has_links else Table(),
            accounts_api.ROUTES if self.has_accounts else Table(),
            oauth_api.ROUTES if self.has_accounts else Table(),
            essentials,
            web_api.login_routes(base) if self.has_accounts else Table(),
            web_api.register_routes(base) if pages.can_register else Table(),
            web_api.account_routes(base) if self.has_accounts and pages.can_browse else Table(),
            bridge,
        ]

    @property
    def _can_register(self) -> bool:
        accounts = self._services.get(Accounts)
        return isinstance(accounts, Accounts) and accounts.can_register

    def _make_access(self, images: Images, repositories: Repositories) -> Access:
        settings, storage = self.settings, self.storage
        is_elsewhere = settings.images == "elsewhere"
        holders = Holders(storage, images, repositories)
        if settings.index:
            from .access.index import ForeignIndexAccess
            from .access.index_client import IndexClient

            return ForeignIndexAccess(
                IndexClient(settings.index), images, repositories, holders, keep_s=settings.index_cache_s
            )
        if settings.auth in ("open:", "open"):
            tokens = Tokens(settings.secret, lifetime_s=settings.token_lifetime_s)
            return OpenAccess(tokens, registry_is_elsewhere=is_elsewhere)
        backend, policy = settings_.open_accounts(settings, storage, repositories)
        applications, profiles = Applications(storage), Profiles(backend)
        grants = Grants(storage, applications, profiles, keys=self._signing_keys)
        self._oauth = {
            Applications: applications,
            Grants: grants,
            Profiles: profiles,
            Provider: Provider(applications, grants, profiles),
        }
        return AccountsAccess(
            backend,
            policy,
            Tokens(self._signing_keys, lifetime_s=settings.token_lifetime_s),
            images,
            repositories,
            holders,
            LoginLimiter(),
            registry_is_elsewhere=is_elsewhere,
            trusted_proxies=settings.trusted_proxies,
            is_secure=self._is_secure,
            bearers=grants,
        )

    def _is_secure(self, environ: Mapping[str, Any]) -> bool:
        """Tell whether secrets of OAuth may come by this request: over https, unless a setting allows more."""
        settings = self.settings
        if settings.oauth_http == "allow":
            return True
        return is_secure(Request(dict(environ), {}), settings.public_url, settings.trusted_proxies)

    def _make_accounts(self, backend: Authenticator, repositories: Repositories) -> dict[type, object]:
        """Return the services of a server with accounts. SettingsError."""
        settings = self.settings
        try:
            mailer = settings_.open_mailer(settings.mail, settings.mail_from)
        except ValueError as error:
            raise SettingsError([f"mail: {error}"]) from error
        services: dict[type, object] = dict(self._oauth)
        confirmations = None
        if mailer is not None:
            directory = confirming_part(backend)
            if directory is None:
                raise SettingsError(["mail: the users of this server (auth) are not activated by links"])
            links = Links(self._signing_keys, lifetime_s=settings.link_lifetime_s)
            address = f"{settings.public_url.rstrip('/')}{settings.link_path}"
            confirmations = Confirmations(directory, mailer, links, address)
            services[Confirmations] = confirmations
        services[Accounts] = Accounts(
            backend,
            is_open=settings.registration == "open",
            is_reserved=lambda name: name in settings.reserved_names or repositories.are_in(name),
            confirmations=confirmations,
        )
        services[Sessions] = Sessions(
            self.storage, Profiles(backend), self._signing_keys, lifetime_s=settings.session_lifetime_s
        )
        return services

    # -- OAuth, for the surrounding application

    @property
    def applications(self) -> Applications:
        """The applications that may ask users for access. RuntimeError on a server without accounts."""
        return self._of_accounts(Applications)

    @property
    def grants(self) -> Grants:
        """What users granted to applications, and which tokens are good. RuntimeError on a server without accounts."""
        return self._of_accounts(Grants)

    @property
    def provider(self) -> Provider:
        """What the page of consent asks, for one of the surrounding application's own. RuntimeError on a server without accounts."""
        return self._of_accounts(Provider)

    def _of_accounts(self, kind: type[T]) -> T:
        found = self._oauth.get(kind)
        if not isinstance(found, kind):
            raise RuntimeError(
                "OAuth needs accounts: make the registry with auth, such as users: or htpasswd:///PATH"
            )
        return found

    def _signing_keys(self) -> Sequence[str]:
        return self.settings.secret or [shared_secret(self.storage)]

    # -- other ways to make one

    @classmethod
    def from_settings(cls, mapping: Mapping[str, Any]) -> Registry:
        """Return a registry made from a mapping such as ``{"storage": "file:///srv/registry"}``. SettingsError."""
        storage, settings = settings_.from_mapping(mapping)
        return cls(storage, **vars(settings))

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
        registry = copy.copy(self)
        registry._behind = application
        registry._add_pages()
        return registry

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
        if self._link_prefix is not None and path.startswith(self._link_prefix):
            return True
        if self._pages.can_browse and f"{path}/".startswith(f"{self._pages.base}/"):
            return True
        if self.has_accounts and path.rstrip("/") == oauth_api.METADATA_PATH:
            return True
        return path.startswith(_OWN_PREFIXES) or path in _OWN_PATHS

    def _answer(self, request: Request) -> Response:
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

    def _page_of_failure(self, request: Request, failure: errors.RegistryError) -> Response | None:
        """Return the page that tells of a failure, None where that fails too: templates may be the operator's own."""
        try:
            return self._pages.failure(request, failure)
        except Exception as error:
            log.error("the page of a failure cannot be made", exc_info=error)
            return None

    def _is_for_people(self, request: Request, path: str) -> bool:
        """Tell whether a failure is to be told by a page: to a browser that asked for one."""
        if request.is_page:
            return True
        is_of_api = path.startswith(_OWN_PREFIXES) or path in _OWN_PATHS
        return self._pages.can_browse and not is_of_api and accepts_html(request)

    def _loggable(self, path: str) -> str:
        """Return the path without the token of a link, which works until somebody followed it."""
        is_link = self._link_prefix is not None and path.startswith(self._link_prefix)
        return f"{self._link_prefix}..." if is_link else path

    def _dispatch(self, request: Request) -> Response:
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

    def _read_refused_body(self, request: Request) -> None:
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
