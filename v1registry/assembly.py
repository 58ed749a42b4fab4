"""Assembly: from a storage and settings to the services of an application, in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from . import settings as settings_
from .access.accounts import AccountsAccess
from .access.announcements import Announcements
from .access.attempts import LoginLimiter
from .access.distribution_logins import Logins
from .access.holders import Holders
from .access.open import OpenAccess
from .access.tokens import Tokens
from .account_assembly import accounts_of, namespaces_of
from .accounts.base import Backend
from .accounts.service import Accounts
from .clock import SYSTEM_CLOCK, Clock
from .distribution import api as distribution_api
from .distribution.parts import distribution_of
from .distribution.services import DistributionServices
from .hub import api as hub_api
from .hub import users_api
from .log import get_logger
from .oauth import accounts_api
from .oauth import api as oauth_api
from .oauth.applications import Applications
from .oauth.grants import Grants
from .oauth.provider import Provider
from .oauth.services import OAuth
from .openers import open_search, open_storage, open_user_parts
from .paths import OAUTH
from .registry import api as registry_api
from .registry.contents import Contents
from .registry.holding import OpenHolding
from .registry.images import Images
from .registry.looks import Bounds, Looks
from .registry.pushes import Pushes
from .registry.repositories import Repositories
from .registry.staging import Staging
from .registry.tarsums import TarSums
from .rights import Access
from .search.base import SearchIndex
from .settings import Settings, SettingsError
from .signing import Keys, shared_secret
from .storage.base import Storage
from .storage.filesystem import FileStorage
from .storage.memory import MemoryStorage
from .storage.objects import ObjectStorage
from .web import api as web_api
from .web.pages import Pages
from .web.services import WebServices
from .web.sessions import Sessions
from .web.views.markdown import Descriptions
from .web.views.shown_layers import ShownLayers
from .web.views.tag_lists import KnownSizes
from .wsgi.cors import Cors
from .wsgi.framework import BaseRequest
from .wsgi.origin import Origin, Proxies
from .wsgi.routing import Api, combine
from .wsgi.waiting import BodySlots

if TYPE_CHECKING:
    from .mirror.service import Mirror

log = get_logger(__name__)

#: Why OAuth is off.
WITHOUT_OAUTH: Final = (
    "it needs users with ids: set auth to users:, to LDAP with an attribute for the id, "
    "or to a backend whose has_ids is True"
)


@dataclass(frozen=True, kw_only=True)
class Services(WebServices, DistributionServices):
    """Everything that an application works on. Handlers see the part that their API declares."""

    apis: tuple[Api, ...]  #: the rows of all of them are in ``table``
    cors: Cors
    mirror: Mirror | None = None  #: None if the application is no mirror


def assemble(mapping: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK) -> Services:
    """Return the services of an application that stands alone. Nothing is read or connected yet.

    :param mapping: the setting ``storage`` and the keys of :class:`v1registry.settings.Settings`.
    :param clock: gives all services the time.
    :raises SettingsError: settings are invalid, name something that does not exist, or contradict each other.
    """
    settings, problems = settings_.judge(mapping)
    storage = None
    try:
        storage = open_storage(mapping.get("storage", ""), clock)
    except ValueError as error:
        problems.append(f"storage: {error}")
    if settings.x_sendfile and storage is not None:
        problems += _problems_of_sendfile(storage)
    if settings.store_redirect and storage is not None and not isinstance(storage, ObjectStorage):
        problems.append(
            f"store_redirect: the storage must be an object store such as s3://BUCKET, not {storage!r}"
        )
    if problems or storage is None:
        # what the other settings name is judged too, so that all problems are reported at once
        raise SettingsError([*problems, *_problems_of_users(settings, storage or MemoryStorage(), problems)])
    return _assemble(storage, settings, clock)


def _problems_of_sendfile(storage: Storage) -> list[str]:
    """Return what is wrong with a storage whose values another server sends by their paths."""
    if not isinstance(storage, FileStorage):
        return [f"x_sendfile: the storage must be a folder such as file:///srv/registry, not {storage!r}"]
    if not re.fullmatch(r"[A-Za-z0-9/._+-]+", storage.path):
        # servers differ in how they decode other characters
        expected = "must have only letters, digits and / . _ + -"
        return [f"x_sendfile: the path of the folder {expected}, not {storage.path!r}"]
    return []


def _problems_of_users(settings: Settings, storage: Storage, found: list[str]) -> list[str]:
    """Return what is wrong with the settings about users that name something.

    :param found: problems that were found already.
    """
    if settings.index or settings.is_open:
        return []
    try:
        open_user_parts(settings, storage, Repositories(storage))
    except SettingsError as error:
        is_sender_invalid = any(problem.startswith("mail_from: ") for problem in found)
        return [text for text in error.problems if not (is_sender_invalid and text.startswith("mail: "))]
    return []


def _assemble(storage: Storage, settings: Settings, clock: Clock) -> Services:
    keys = _signing_keys(storage, settings)
    origin = Origin(settings.public_url, Proxies(settings.trusted_proxies))
    repositories = Repositories(storage, clock=clock, most_list_bytes=settings.max_document_bytes)
    looks = Looks(
        Bounds(
            settings.max_expanded_bytes,
            settings.max_expansion_ratio,
            settings.max_layer_records,
            settings.max_look_s,
        ),
        clock=clock,
    )
    images = Images(storage, looks, clock=clock)
    contents = images.contents
    staging = Staging(
        storage,
        most_bytes=settings.max_unfinished_bytes,
        most_pushes=settings.max_unfinished_pushes,
        most_total_bytes=settings.max_unfinished_total_bytes if settings.is_open else None,
        clock=clock,
    )
    is_elsewhere = settings.images == "elsewhere"
    holders = Holders(storage, contents, repositories, registry_is_elsewhere=is_elsewhere, clock=clock)
    holding = OpenHolding(contents, repositories) if settings.is_open else holders
    access: Access
    with_accounts: AccountsAccess | None = None
    accounts, oauth, sessions, announcements = None, None, None, None
    if settings.index:
        access = _index_access(settings, contents, repositories, holders, staging, clock)
    elif settings.is_open:
        access = OpenAccess(
            _tokens(settings, settings.secret, clock),
            contents,
            staging,
            standalone=_standalone(settings, None),
        )
    else:
        parts = open_user_parts(settings, storage, repositories, clock)
        backend = parts.backend
        namespaces = (
            None if backend.gives_names else namespaces_of(settings, repositories, storage, backend, clock)
        )
        accounts = accounts_of(settings, parts, storage, repositories, namespaces, keys, clock)
        oauth = _oauth(storage, accounts, clock) if backend.has_ids else None
        announcements = Announcements(storage, repositories, clock=clock)
        sessions = Sessions(storage, accounts, keys, lifetime_s=settings.session_lifetime_s, clock=clock)
        access = with_accounts = AccountsAccess(
            backend,
            parts.policy,
            _tokens(settings, keys, clock),
            holders,
            staging,
            announcements,
            LoginLimiter(clock=clock),
            namespaces=namespaces,
            standalone=_standalone(settings, backend),
            registry_is_elsewhere=is_elsewhere,
            proxies=origin.proxies,
            is_secure=_secure_for_oauth(settings, origin),
            bearers=None if oauth is None else oauth.grants,
        )
    pages = _pages(settings, accounts, is_in_front=False)
    search = _search(settings, storage, repositories, clock)
    distribution = distribution_of(storage, settings, images, repositories, holding, search, clock)
    mirror = None
    if settings.mirror:
        from .mirror.assembly import mirror_of

        mirror = mirror_of(storage, settings, repositories, contents, holding, distribution, access, clock)
    apis = _apis(settings, accounts, oauth, pages, mirror)
    return Services(
        settings=settings,
        clock=clock,
        access=access,
        origin=origin,
        body_slots=BodySlots(settings.max_bodies, settings.max_anonymous_bodies, settings.max_client_bodies),
        storage=storage,
        images=images,
        repositories=repositories,
        pushes=Pushes(
            storage,
            contents,
            holding,
            staging,
            TarSums(storage, looks),
            most_in_chain=settings.max_chain_images,
        ),
        holding=holding,
        announcements=announcements,
        search=search,
        accounts=accounts,
        oauth=oauth,
        sessions=sessions,
        shown_layers=ShownLayers(images, looks, expanded_limit_bytes=settings.max_shown_bytes),
        descriptions=Descriptions(),
        known_sizes=KnownSizes(),
        distribution=distribution,
        logins=Logins.of(settings, keys, access, with_accounts, clock),
        pages=pages,
        apis=apis,
        table=combine(apis),
        cors=Cors(settings.cors_origins),
        mirror=mirror,
    )


def _search(settings: Settings, storage: Storage, repositories: Repositories, clock: Clock) -> SearchIndex:
    try:
        return open_search(settings.search, storage, repositories, clock)
    except ValueError as error:
        raise SettingsError([f"search: {error}"]) from error


def in_front(services: Services) -> Services:
    """Return the same services for an application that stands in front of another one.

    Only the pages and the table differ: ``/`` belongs to the other application.
    """
    pages = _pages(services.settings, services.accounts, is_in_front=True)
    apis = _apis(services.settings, services.accounts, services.oauth, pages, services.mirror)
    return replace(services, pages=pages, apis=apis, table=combine(apis))


def _signing_keys(storage: Storage, settings: Settings) -> Callable[[], Sequence[str]]:
    """Return a function that gives the keys. The one in the storage is read, or made, at the first use."""
    return lambda: settings.secret or [shared_secret(storage)]


def _tokens(settings: Settings, keys: Keys, clock: Clock) -> Tokens:
    return Tokens(
        keys,
        lifetime_s=settings.token_lifetime_s,
        write_lifetime_s=settings.write_token_lifetime_s,
        clock=clock,
    )


def _standalone(settings: Settings, backend: Backend | None) -> str:
    """Return the value of ``X-Docker-Registry-Standalone`` (decisions.md 17).

    Engines send Basic to a standalone registry over https. With accounts that are checked here they should
    use tokens, because image paths name no repository. A front that logs users in needs Basic on every call.
    """
    if settings.standalone != "auto":
        return settings.standalone.capitalize()
    if settings.images == "elsewhere":
        return "False"
    return "False" if backend is not None and backend.takes_passwords else "True"


def _index_access(
    settings: Settings,
    contents: Contents,
    repositories: Repositories,
    holders: Holders,
    staging: Staging,
    clock: Clock,
) -> Access:
    from .access.index import ForeignIndexAccess
    from .access.index_client import IndexClient

    return ForeignIndexAccess(
        IndexClient(settings.index),
        contents,
        repositories,
        holders,
        staging,
        keep_s=settings.index_cache_s,
        clock=clock,
    )


def _oauth(storage: Storage, accounts: Accounts, clock: Clock) -> OAuth:
    applications = Applications(storage, clock=clock)
    grants = Grants(storage, applications, accounts, clock=clock)
    return OAuth(
        applications=applications,
        grants=grants,
        provider=Provider(applications, grants, limiter=LoginLimiter(clock=clock)),
    )


def _secure_for_oauth(settings: Settings, origin: Origin) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that tells whether secrets of OAuth may come by the request of a WSGI environment."""
    if settings.oauth_http == "allow":
        return lambda environ: True
    return lambda environ: origin.of(BaseRequest(dict(environ))).is_secure


def _pages(settings: Settings, accounts: Accounts | None, *, is_in_front: bool) -> Pages:
    can_browse = not settings.index and (
        settings.pages.startswith("/") or (settings.pages == "on" and not is_in_front)
    )
    # without other pages, those that OAuth needs are below its own path
    base = OAUTH if not can_browse else "" if settings.pages == "on" else settings.pages
    return Pages(
        base,
        title=settings.title,
        templates=settings.templates,
        can_browse=can_browse,
        has_accounts=accounts is not None,
        can_register=can_browse and accounts is not None and accounts.can_register,
    )


def _apis(
    settings: Settings,
    accounts: Accounts | None,
    oauth: OAuth | None,
    pages: Pages,
    mirror: Mirror | None,
) -> tuple[Api, ...]:
    """Return the APIs of an application. Their order does not matter."""
    has_hub, has_images, has_v2 = not settings.index, settings.images == "here", settings.has_distribution
    apis = [
        registry_api.registry_api(
            has_images=has_images, has_hub=has_hub, has_start_page=pages.can_browse and not pages.base
        ),
        hub_api.API if has_hub else hub_api.API.without_rows(),
        users_api.API if has_hub else users_api.API.without_rows(),
        accounts_api.API if accounts is not None else accounts_api.API.without_rows(),
        web_api.pages_api(pages, has_images=has_images, has_oauth=oauth is not None, has_manifests=has_v2),
        distribution_api.distribution_api(settings.v2_mode),
    ]
    if oauth is not None:
        apis += [oauth_api.API, accounts_api.GRANTS_API]
    if accounts is not None and accounts.confirmations is not None:
        apis.append(web_api.links_api(settings.link_path))
    if mirror is not None:
        from .mirror.assembly import mirrored_apis

        return mirrored_apis(mirror, tuple(apis))
    return tuple(apis)
