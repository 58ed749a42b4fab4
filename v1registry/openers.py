"""From the values of settings to storage, backend, policy and mailer.

A value is an object, or text that names one: a URL, or ``MODULE:ATTRIBUTE``. Nothing is connected or read
yet.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .access.policy import CallablePolicy, MembersPolicy, NamespacePolicy, Policy, RepositoryFacts
from .clock import SYSTEM_CLOCK, Clock
from .registry.repositories import Repositories
from .search.base import SearchIndex
from .search.scan import ScanSearch
from .settings import Settings, SettingsError, without_userinfo
from .storage.base import Storage

if TYPE_CHECKING:
    from .accounts.base import Backend
    from .accounts.mail import Mailer

T = TypeVar("T")

#: Where other packages add storages: a callable that gets the URL, under the name of the scheme.
STORAGE_ENTRY_POINTS: Final = "v1registry.storage"

#: Where other packages add search indexes: a callable that gets text, storage and repositories.
SEARCH_ENTRY_POINTS: Final = "v1registry.search"

#: The folder of the search index in the folder of a storage. No key of the storage is below it.
SEARCH_FOLDER: Final = "search"


def open_storage(place: object, clock: Clock = SYSTEM_CLOCK) -> Storage:
    """Return the storage that ``place`` is or names.

    ``memory:``, ``file:///DIR``, ``s3://BUCKET``, ``gs://BUCKET`` and ``az://CONTAINER`` come with the
    package. Other packages add schemes by the entry point ``v1registry.storage``. ``MODULE:ATTRIBUTE`` names
    a storage, or a callable that returns one.

    :param clock: for a storage in memory or in an object store; a folder has the times of its file system.
    :raises ValueError: ``place`` is neither a storage nor the name of one.
    """
    if not isinstance(place, str):
        return _storage(place)
    if not place:
        raise ValueError("must name a place for the data, such as file:///srv/registry or memory:")
    scheme, colon, rest = place.partition(":")
    if not colon:
        raise ValueError(
            f"must be a URL such as file:///srv/registry or memory:, not {without_userinfo(place)!r}"
        )
    # own schemes come first: reading the installed distributions is slow
    if scheme == "file":
        from .storage.filesystem import FileStorage

        return FileStorage.from_url(place)
    if scheme == "memory":
        from .storage.memory import MemoryStorage

        return MemoryStorage.from_url(place, clock=clock)
    if scheme in ("s3", "gs", "az"):
        from .registry.key_groups import KEY_GROUPS, OLD_FOLDERS
        from .storage.objects.groups import Groups
        from .storage.objects.urls import open_objects

        return open_objects(place, groups=Groups(KEY_GROUPS), old_folders=OLD_FOLDERS, clock=clock)
    from importlib.metadata import entry_points

    added = entry_points(group=STORAGE_ENTRY_POINTS, name=scheme)
    if added:
        try:
            factory = next(iter(added)).load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{scheme}: its package cannot be used: {error}") from error
        return _storage(factory(place))
    if rest.isidentifier():
        named = _attribute(place)
        return open_storage(named() if callable(named) else named, clock)
    known = sorted(
        {
            "file",
            "memory",
            "s3",
            "gs",
            "az",
            *(entry.name for entry in entry_points(group=STORAGE_ENTRY_POINTS)),
        }
    )
    raise ValueError(
        f"{scheme}: is not a scheme of a storage; known: {', '.join(f'{name}:' for name in known)}"
    )


def _storage(found: object) -> Storage:
    """Return an object that looks like a storage.

    :raises ValueError: it does not.
    """
    if not all(hasattr(found, method) for method in ("read", "write", "publish")):
        raise ValueError(f"must be a URL such as file:///srv/registry, or a storage, not {found!r}")
    return found  # type: ignore[return-value]  # the contract suite is the place to prove the rest


def open_search(
    place: object, storage: Storage, repositories: Repositories, clock: Clock = SYSTEM_CLOCK
) -> SearchIndex:
    """Return the search index that the setting ``search`` is or names.

    Other packages add schemes by the entry point ``v1registry.search``: a callable that gets the text, the
    storage and the repositories. An index that has a method ``changing`` observes the repositories.

    :param clock: for an index that comes with the package.
    :raises ValueError: ``place`` is neither an index nor the name of one.
    """
    found = _open_search(place, storage, repositories, clock)
    if not all(hasattr(found, method) for method in ("find", "names_after")):
        raise ValueError(
            f"must be auto, sqlite, sqlite:///DIR, postgresql://…, scan, or an index, not {found!r}"
        )
    if hasattr(found, "changing"):
        repositories.observe(found)
    return found  # type: ignore[no-any-return]  # the contract suite is the place to prove the rest


def _open_search(place: object, storage: Storage, repositories: Repositories, clock: Clock) -> Any:
    from .storage.filesystem import FileStorage

    if not isinstance(place, str):
        return place
    is_folder = isinstance(storage, FileStorage)
    if place == "scan" or (place == "auto" and not is_folder):
        return ScanSearch(repositories)
    scheme, _, rest = place.partition(":")
    if place in ("auto", "sqlite") or scheme == "sqlite":
        from .search.sqlite import SqliteSearch

        if scheme == "sqlite" and rest:
            folder = FileStorage.from_url(f"file:{rest}").path
        elif isinstance(storage, FileStorage):
            folder = os.path.join(storage.path, SEARCH_FOLDER)
        else:
            raise ValueError("sqlite needs a storage that is a folder; sqlite:///DIR names another one")
        return SqliteSearch(folder, storage, repositories, clock=clock)
    if scheme in ("postgresql", "postgres"):
        from .search.postgresql import PostgresSearch

        return PostgresSearch(place, storage, repositories, clock=clock)
    from importlib.metadata import entry_points

    added = entry_points(group=SEARCH_ENTRY_POINTS, name=scheme)
    if added:
        try:
            return next(iter(added)).load()(place, storage, repositories)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{scheme}: its package cannot be used: {error}") from error
    if not rest:
        raise ValueError(
            f"must be auto, sqlite, sqlite:///DIR, postgresql://…, scan or MODULE:ATTRIBUTE, "
            f"not {without_userinfo(place)!r}"
        )
    named = _attribute(place)
    return named(storage, repositories) if callable(named) else named


@dataclass(frozen=True)
class UserParts:
    """What the settings about users name."""

    backend: Backend
    policy: Policy
    mailer: Mailer | None  #: None if no links are mailed


def open_user_parts(
    settings: Settings, storage: Storage, facts: RepositoryFacts, clock: Clock = SYSTEM_CLOCK
) -> UserParts:
    """Return what the settings ``auth``, ``policy`` and ``mail`` name.

    :param facts: answers the policy's questions about repositories.
    :param clock: for what comes with the package; objects of the settings keep their own.
    :raises SettingsError: some of them are invalid; all problems are listed. The text shows no password.
    """
    from .accounts.backends.from_text import open_auth

    problems: list[str] = []
    backend = _opened("auth", lambda: open_auth(settings.auth, storage, clock), problems)
    policy = _opened("policy", lambda: _open_policy(settings.policy, facts), problems)
    mailer = _opened("mail", lambda: _open_mailer(settings.mail, settings.mail_from, clock), problems)
    if mailer is not None and backend is not None and not backend.can_confirm:
        problems.append("mail: the users of this server (auth) are not activated by links")
    if problems or backend is None or policy is None:
        raise SettingsError(problems)
    return UserParts(backend, policy, mailer)


def _opened(key: str, open_it: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return open_it()
    except ValueError as error:
        problems.append(f"{key}: {error}")
        return None


def _open_mailer(mail: object, sender: str, clock: Clock) -> Mailer | None:
    if mail is None or mail == "":
        return None
    from .accounts.mail import Mailer, SmtpMailer

    if isinstance(mail, str):
        if mail.startswith(("smtp:", "smtps:")):
            return SmtpMailer.from_url(mail, sender, clock=clock)
        if "//" in mail:
            raise ValueError("must be smtp://HOST, smtps://HOST or MODULE:ATTRIBUTE of a Mailer")
        mail = _attribute(mail)
        if isinstance(mail, type) or not isinstance(mail, Mailer):
            mail = mail() if callable(mail) else mail
    if not isinstance(mail, Mailer):
        raise ValueError(
            f"must be a Mailer with send_activation() and send_confirmation(), not {type(mail).__name__}"
        )
    return mail


def _open_policy(policy: object, facts: RepositoryFacts) -> Policy:
    if policy is None or policy == "":
        return NamespacePolicy(facts)
    if policy == "members":
        return MembersPolicy()
    if isinstance(policy, str):
        policy = _attribute(policy)
    if not callable(policy):
        raise ValueError(f"must be a function (user, action, namespace, repository) -> bool, not {policy!r}")
    return CallablePolicy(policy)


def _attribute(text: str) -> Any:
    """Return the object that ``MODULE:ATTRIBUTE`` names.

    :raises ValueError: there is no such module, or no such attribute in it.
    """
    module, colon, attribute = text.partition(":")
    try:
        if not colon:
            raise AttributeError("must be MODULE:ATTRIBUTE")
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        hint = ""
        if isinstance(error, ModuleNotFoundError):
            hint = "; the module must be beside the ini file, in a folder of PYTHONPATH, or installed"
        raise ValueError(f"{without_userinfo(text)!r} names nothing: {error}{hint}") from error
