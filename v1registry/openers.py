"""From the values of settings to storage, backend, policy and mailer.

A value is an object, or text that names one: a URL, or ``MODULE:ATTRIBUTE``. Nothing is connected or read
yet.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from .access.policy import CallablePolicy, NamespacePolicy, Policy, RepositoryFacts
from .settings import Settings, SettingsError
from .storage.base import Storage

if TYPE_CHECKING:
    from .accounts.base import Backend
    from .accounts.mail import Mailer

#: Where other packages add storages: a callable that gets the URL, under the name of the scheme.
STORAGE_ENTRY_POINTS: Final = "v1registry.storage"


def open_storage(place: object) -> Storage:
    """Return the storage that ``place`` is or names.

    ``memory:`` and ``file:///DIR`` come with the package. Other packages add schemes by the entry point
    ``v1registry.storage``. ``MODULE:ATTRIBUTE`` names a storage, or a callable that returns one.

    :raises ValueError: ``place`` is neither a storage nor the name of one.
    """
    if not isinstance(place, str):
        return _storage(place)
    if not place:
        raise ValueError("must name a place for the data, such as file:///srv/registry or memory:")
    scheme, colon, rest = place.partition(":")
    if not colon:
        raise ValueError(f"must be a URL such as file:///srv/registry or memory:, not {place!r}")
    # own schemes come first: reading the installed distributions is slow
    if scheme == "file":
        from .storage.filesystem import FileStorage

        return FileStorage.from_url(place)
    if scheme == "memory":
        from .storage.memory import MemoryStorage

        return MemoryStorage.from_url(place)
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
        return open_storage(named() if callable(named) else named)
    known = sorted({"file", "memory", *(entry.name for entry in entry_points(group=STORAGE_ENTRY_POINTS))})
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


def open_accounts(settings: Settings, storage: Storage, facts: RepositoryFacts) -> tuple[Backend, Policy]:
    """Return the backend and the policy of the settings ``auth`` and ``policy``.

    :param facts: answers the policy's questions about repositories.
    :raises SettingsError: one of them is invalid, or both.
    """
    from .accounts.backends.from_text import open_auth

    problems: list[str] = []
    backend: Backend | None = None
    policy: Policy | None = None
    try:
        backend = open_auth(settings.auth, storage)
    except ValueError as error:
        problems.append(f"auth: {error}")
    try:
        policy = _open_policy(settings.policy, facts)
    except ValueError as error:
        problems.append(f"policy: {error}")
    if backend is None or policy is None:
        raise SettingsError(problems)
    return backend, policy


def open_mailer(settings: Settings) -> Mailer | None:
    """Return the mailer of the setting ``mail``, None if it is empty.

    :raises SettingsError: the setting is invalid. The text shows no password.
    """
    try:
        return _open_mailer(settings.mail, settings.mail_from)
    except ValueError as error:
        raise SettingsError([f"mail: {error}"]) from error


def _open_mailer(mail: object, sender: str) -> Mailer | None:
    if mail is None or mail == "":
        return None
    from .accounts.mail import Mailer, SmtpMailer

    if isinstance(mail, str):
        if mail.startswith(("smtp:", "smtps:")):
            return SmtpMailer.from_url(mail, sender)
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
        raise ValueError(f"{text!r} names nothing: {error}") from error
