"""Backends from the setting ``auth``."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, Final

from ...clock import SYSTEM_CLOCK, Clock
from ...storage.base import Storage
from ..base import Backend
from .chain import BackendChain

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Other packages add backends here: under the name of a scheme, a callable of the text and the storage.
ENTRY_POINTS: Final = "v1registry.auth"

_OWN: Final = ("users", "htpasswd", "ldap", "ldaps", "environ")

#: A comma before the beginning of another backend, unlike the commas in DNs and options.
_SEPARATOR: Final = re.compile(r",\s*(?=[A-Za-z_][A-Za-z0-9_.+-]*:)")


_A_BACKEND: Final = (
    "an object whose class derives from v1registry.accounts.Backend "
    "(a function is wrapped as v1registry.accounts.Callback)"
)


def open_auth(auth: object, storage: Storage, clock: Clock = SYSTEM_CLOCK) -> Backend:
    """Return the backend that the setting ``auth`` is or names. Nothing is opened or read yet.

    * A Backend is returned as it is.
    * ``users:`` is a :class:`~v1registry.accounts.users.UserStore` over ``storage``.
    * ``htpasswd:///path``, ``ldap://…``, ``ldaps://…`` and ``environ:KEY`` are read by ``from_url`` of
      :class:`~v1registry.accounts.backends.htpasswd.Htpasswd`,
      :class:`~v1registry.accounts.backends.ldap.Ldap` and
      :class:`~v1registry.accounts.backends.environ.Environ`.
    * ``scheme:…`` calls the entry point ``scheme`` of the group ``v1registry.auth`` with text and storage.
    * ``module:attribute`` is a Backend, or a callable without arguments that returns one.
    * Several texts with commas between them are a :class:`~v1registry.accounts.backends.chain.BackendChain`.
      A comma that is followed by a word and a colon begins another backend; inside a backend it is written
      ``%2C``.

    :param clock: for the backends that come with the package.
    :raises ValueError: the setting names no backend. The text may contain a password, so the message shows
        only the scheme.
    """
    if isinstance(auth, Backend):
        return _usable(auth)
    if not isinstance(auth, str):
        raise ValueError(f"must be text such as users:, or {_A_BACKEND}, not {_kind(auth)}")
    backends = [_open(part, storage, clock) for part in _SEPARATOR.split(auth.strip())]
    return backends[0] if len(backends) == 1 else BackendChain(backends)


def has_accounts_in_storage(auth: str) -> bool:
    """Return whether the text of the setting ``auth`` names accounts in the storage, alone or in a chain.

    >>> has_accounts_in_storage("ldap://host/dc=a,dc=b, users:"), has_accounts_in_storage("open:")
    (True, False)
    """
    return "users:" in _SEPARATOR.split(auth.strip())


def _open(text: str, storage: Storage, clock: Clock) -> Backend:
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise ValueError(
            "must name a backend, such as users:, htpasswd:///path or ldap://host/dc=example,dc=test"
        )
    try:
        if scheme in _OWN:
            return _own(scheme, text, storage, clock)
        found = _added(scheme, rest, text, storage)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if isinstance(found, Backend):
        return _usable(found)
    raise ValueError(f"{scheme}: must be {_A_BACKEND}, not {_kind(found)}")


def _usable(backend: Backend) -> Backend:
    """Return the backend if it can log users in.

    :raises ValueError: it overrides neither of the two methods, perhaps because one is misspelt.
    """
    if not (backend.takes_passwords or backend.reads_environ):
        raise ValueError(f"{_kind(backend)} must override authenticate() or user_of_request()")
    return backend


def _added(scheme: str, rest: str, text: str, storage: Storage) -> object:
    """Return what an entry point or an attribute of a module gives.

    :raises ValueError: there is neither.
    :raises ImportError: its module cannot be imported.
    """
    # reading the entry points of all installed distributions takes a while, so own schemes come first
    from importlib.metadata import entry_points

    added = entry_points(group=ENTRY_POINTS, name=scheme)
    if added:
        return _loaded(next(iter(added)))(text, storage)
    if all(word.isidentifier() for word in rest.split(".")):
        return _named(scheme, rest)
    known = sorted({*_OWN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})
    raise ValueError(
        f"{scheme}: is an unknown scheme; known are {', '.join(f'{name}:' for name in known)} "
        "and module:attribute"
    )


def _own(scheme: str, text: str, storage: Storage, clock: Clock) -> Backend:
    if scheme == "users":
        from ..users import UserStore

        if text != "users:":
            raise ValueError("users: must stand alone, because its accounts are in the storage")
        return UserStore(storage, clock=clock)
    if scheme == "htpasswd":
        from .htpasswd import Htpasswd

        return Htpasswd.from_url(text, clock=clock)
    if scheme == "environ":
        from .environ import Environ

        return Environ.from_url(text)
    from .ldap import Ldap

    return Ldap.from_url(text, clock=clock)


def _loaded(added: EntryPoint) -> Any:
    try:
        return added.load()
    except AttributeError as error:
        raise ValueError(f"{added.name}: {error}") from error


def _named(module: str, attribute: str) -> object:
    """Return the backend that an attribute of a module is, or returns.

    :raises ValueError: the module has no such attribute.
    :raises ImportError: the module cannot be imported.
    """
    found: object = importlib.import_module(module)
    for word in attribute.split("."):
        try:
            found = getattr(found, word)
        except AttributeError:
            raise ValueError(f"{module} has no {attribute}") from None
    return found() if callable(found) and not isinstance(found, Backend) else found


def _kind(found: object) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
