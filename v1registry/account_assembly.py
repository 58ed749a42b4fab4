"""Assembly of the accounts: registration, profiles, mailed links, namespaces of users kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from .access.namespaces import Namespaces
from .accounts.backends.chain import BackendChain
from .accounts.base import Backend, NotSupported
from .accounts.confirmations import Confirmations, Links
from .accounts.lapsing import LapsingStore
from .accounts.newcomers import LapsingAccounts, Newcomers
from .accounts.service import Accounts
from .clock import Clock
from .log import get_logger
from .openers import UserParts
from .registry.repositories import Repositories
from .reserved_names import ReservedNames
from .settings import Settings
from .signing import Keys
from .storage.base import Storage

log = get_logger(__name__)


def namespaces_of(
    settings: Settings, repositories: Repositories, storage: Storage, backend: Backend, clock: Clock
) -> Namespaces:
    """Return the namespaces of users who are registered elsewhere."""
    return Namespaces(
        storage,
        find=backend.find if backend.can_find else None,
        has_repositories=repositories.are_in,
        is_read_only=settings.read_only,
        clock=clock,
    )


def accounts_of(
    settings: Settings,
    parts: UserParts,
    storage: Storage,
    repositories: Repositories,
    namespaces: Namespaces | None,
    keys: Keys,
    clock: Clock,
) -> Accounts:
    """Return registration, profiles and mailed links.

    :param namespaces: None if all users are registered here.
    """
    reserved = ReservedNames(storage, lambda: _older_names(parts.backend, repositories))
    confirmations = None
    if parts.mailer is not None:
        links = Links(keys, lifetime_s=settings.link_lifetime_s, clock=clock)
        address = f"{settings.public_url.rstrip('/')}{settings.link_path}"
        confirmations = Confirmations(
            parts.backend,
            parts.mailer,
            links,
            address,
            per_mailbox=settings.mails_per_mailbox,
            per_hour=settings.mails_per_hour,
            clock=clock,
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
            clock=clock,
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
    for name in repositories.candidates():
        yield from repositories.collaborators_by_name(name)
    with suppress(NotSupported):
        for user in backend.users():
            yield from user.groups
