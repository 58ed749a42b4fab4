"""Assembly: from a storage and settings to the services of an application, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from . import settings as settings_
from .access.accounts import AccountsAccess
from .access.announcements import Announcements
from .access.attempts import LoginLimiter
from .access.distribution_logins import Logins
from .access.holders import Holders
from .access.namespaces import Namespaces
from .access.open import OpenAccess
from .access.tokens import Tokens
from .accounts.backends.chain import BackendChain
from .accounts.base import Backend, NotSupported
from .accounts.confirmations import Confirmations, Links
from .accounts.lapsing import LapsingStore
from .accounts.newcomers import LapsingAccounts, Newcomers
from .accounts.service import Accounts
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
from .openers import UserParts, open_storage, open_user_parts
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
from .reserved_names import ReservedNames
from .rights import Access
from .search.scan import ScanSearch
from .settings import Settings, SettingsError
from .signing import shared_secret
from .storage.base import Storage
from .storage.memory import MemoryStorage
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


def assemble(mapping: Mapping[str, Any]) -> Services:
    """Return the services of an application that stands alone. Nothing is read or connected yet.

    :param mapping: the setting ``storage`` and the keys of :class:`v1registry.settings.Settings`.
    :raises SettingsError: settings are invalid, name something that does not exist, or contradict each other.
    """
    settings, problems = settings_.judge(mapping)
    storage = None
    try:
        storage = open_storage(mapping.get("storage", ""))
    except ValueError as error:
        problems.append(f"storage: {error}")
    if problems or storage is None:
        # what the other settings name is judged too, so that all problems are reported at once
        raise SettingsError([*problems, *_problems_of_users(settings, storage or MemoryStorage(), problems)])
    return _assemble(storage, settings)


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


def _assemble(storage: Storage, settings: Settings) -> Services:
    keys = _signing_keys(storage, settings)
    origin = Origin(settings.public_url, Proxies(settings.trusted_proxies))
    repositories = Repositories(storage, most_list_bytes=settings.max_document_bytes)
    looks = Looks(
        Bounds(
            settings.max_expanded_bytes,
            settings.max_expansion_ratio,
            settings.max_layer_records,
            settings.max_look_s,
        )
    )
    images = Images(storage, looks)
    contents = images.contents
    staging = Staging(
        storage,
        most_bytes=settings.max_unfinished_bytes,
        most_pushes=settings.max_unfinished_pushes,
        most_total_bytes=settings.max_unfinished_total_bytes if settings.is_open else None,
    )
    is_elsewhere = settings.images == "elsewhere"
    holders = Holders(storage, contents, repositories, registry_is_elsewhere=is_elsewhere)
    holding = OpenHolding(contents, repositories) if settings.is_open else holders
    access: Access
    with_accounts: AccountsAccess | None = None
    accounts, oauth, sessions, announcements = None, None, None, None
    if settings.index:
        access = _index_access(settings, contents, repositories, holders, staging)
    elif settings.is_open:
        access = OpenAccess(
            _tokens(settings, settings.secret), contents, staging, standalone=_standalone(settings, None)
        )
    else:
        parts = open_user_parts(settings, storage, repositories)
        backend = parts.backend
        namespaces = None if backend.gives_names else _namespaces(settings, repositories, storage, backend)
        accounts = _accounts(settings, parts, storage, repositories, namespaces, keys)
        oauth = _oauth(storage, accounts) if backend.has_ids else None
        announcements = Announcements(storage, repositories)
        sessions = Sessions(storage, accounts, keys, lifetime_s=settings.session_lifetime_s)
        access = with_accounts = AccountsAccess(
            backend,
            parts.policy,
            _tokens(settings, keys),
            holders,
            staging,
            announcements,
            LoginLimiter(),
            namespaces=namespaces,
            standalone=_standalone(settings, backend),
            registry_is_elsewhere=is_elsewhere,
            proxies=origin.proxies,
            is_secure=_secure_for_oauth(settings, origin),
            bearers=None if oauth is None else oauth.grants,
        )
    pages = _pages(settings, accounts, is_in_front=False)
    apis = _apis(settings, accounts, oauth, pages)
    return Services(
        settings=settings,
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
        search=ScanSearch(repositories),
        accounts=accounts,
        oauth=oauth,
        sessions=sessions,
        shown_layers=ShownLayers(images, looks, expanded_limit_bytes=settings.max_shown_bytes),
        descriptions=Descriptions(),
        known_sizes=KnownSizes(),
        distribution=distribution_of(storage, settings, images, repositories, holding),
        logins=Logins.of(settings, keys, access, with_accounts),
        pages=pages,
        apis=apis,
        table=combine(apis),
        cors=Cors(settings.cors_origins),
    )


def in_front(services: Services) -> Services:
    """Return the same services for an application that stands in front of another one.

    Only the pages and the table differ: ``/`` belongs to the other application.
    """
    pages = _pages(services.settings, services.accounts, is_in_front=True)
    apis = _apis(services.settings, services.accounts, services.oauth, pages)
    return replace(services, pages=pages, apis=apis, table=combine(apis))


def _signing_keys(storage: Storage, settings: Settings) -> Callable[[], Sequence[str]]:
    """Return a function that gives the keys. The one in the storage is read, or made, at the first use."""
    return lambda: settings.secret or [shared_secret(storage)]


def _tokens(settings: Settings, keys: Callable[[], Sequence[str]] | Sequence[str]) -> Tokens:
    return Tokens(
        keys,
        lifetime_s=settings.token_lifetime_s,
        write_lifetime_s=settings.write_token_lifetime_s,
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
    settings: Settings, contents: Contents, repositories: Repositories, holders: Holders, staging: Staging
) -> Access:
    from .access.index import ForeignIndexAccess
    from .access.index_client import IndexClient

    return ForeignIndexAccess(
        IndexClient(settings.index), contents, repositories, holders, staging, keep_s=settings.index_cache_s
    )


def _namespaces(
    settings: Settings, repositories: Repositories, storage: Storage, backend: Backend
) -> Namespaces:
    return Namespaces(
        storage,
        find=backend.find if backend.can_find else None,
        has_repositories=repositories.are_in,
        is_read_only=settings.read_only,
    )


def _accounts(
    settings: Settings,
    parts: UserParts,
    storage: Storage,
    repositories: Repositories,
    namespaces: Namespaces | None,
    keys: Callable[[], Sequence[str]],
) -> Accounts:
    """Return registration, profiles and mailed links.

    :param namespaces: None if all users are registered here.
    """
    reserved = ReservedNames(storage, lambda: _older_names(parts.backend, repositories))
    confirmations = None
    if parts.mailer is not None:
        links = Links(keys, lifetime_s=settings.link_lifetime_s)
        address = f"{settings.public_url.rstrip('/')}{settings.link_path}"
        confirmations = Confirmations(
            parts.backend,
            parts.mailer,
            links,
            address,
            per_mailbox=settings.mails_per_mailbox,
            per_hour=settings.mails_per_hour,
        )
    return Accounts(
        parts.backend,
        is_open=_is_registration_open(settings, parts.backend),
        is_read_only=settings.read_only,
        is_reserved=lambda name: (
            name in settings.reserved_names
            or repositories.are_in(name)
            or reserved.includes(name)
            or (namespaces is not None and namespaces.is_owned(name))
        ),
        confirmations=confirmations,
        newcomers=Newcomers(
            per_address=settings.registrations_per_address,
            per_hour=settings.registrations_per_hour,
            mails_per_address=0 if confirmations is None else settings.mails_per_address,
            accounts=None if confirmations is None else _lapsing(parts.backend),
            lapse_s=settings.link_lifetime_s,
        ),
    )


def _lapsing(backend: Backend) -> LapsingAccounts | None:
    """Return the accounts of which those give way that were not activated in time; None if there are none."""
    creating = backend.creating if isinstance(backend, BackendChain) else backend
    return creating if isinstance(creating, LapsingStore) else None


def _is_registration_open(settings: Settings, backend: Backend) -> bool:
    """Tell whether users may register.

    In a chain with a backend that cannot look up names, a client could register the name of one of its users
    (decisions.md 20). So registration is closed there, unless the setting opens it.
    """
    is_blind = isinstance(backend, BackendChain) and backend.can_create and not backend.can_find
    if is_blind and settings.registration == "open":
        log.warning(
            "registration is open although a backend of the chain %r cannot look up names: "
            "a client can register the name of one of its users, and becomes that user",
            backend,
        )
    if is_blind and settings.registration == "auto":
        log.warning(
            "registration is closed, because a backend of the chain %r cannot look up names; "
            "set registration = closed to confirm this",
            backend,
        )
    return settings.registration == "open" or (settings.registration == "auto" and not is_blind)


def _older_names(backend: Backend, repositories: Repositories) -> Iterator[str]:
    """Yield the names of groups and collaborators that got rights before such names were reserved."""
    for name in repositories.all():
        yield from repositories.collaborators_by_name(name)
    with suppress(NotSupported):
        for user in backend.users():
            yield from user.groups


def _oauth(storage: Storage, accounts: Accounts) -> OAuth:
    applications = Applications(storage)
    grants = Grants(storage, applications, accounts)
    return OAuth(applications=applications, grants=grants, provider=Provider(applications, grants))


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
    settings: Settings, accounts: Accounts | None, oauth: OAuth | None, pages: Pages
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
    return tuple(apis)
