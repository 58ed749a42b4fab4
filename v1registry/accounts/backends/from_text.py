"""From the text of a setting to the backend that it names."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, Final

from ...storage.base import Storage
from ..base import Authenticator, RequestAuthenticator
from .chain import AnyBackend, chain_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Where other packages add backends: a callable that gets the text and the storage, under the scheme's name.
ENTRY_POINTS: Final = "v1registry.auth"

_OWN: Final = ("users", "htpasswd", "ldap", "ldaps", "environ")

#: A comma before something that looks like another backend; those in DNs and options are not.
_SEPARATOR: Final = re.compile(r",\s*(?=[A-Za-z_][A-Za-z0-9_.+-]*:)")


def open_auth(text: str, storage: Storage) -> Authenticator:
    """Return the backend that ``text`` names; nothing is asked or read yet. ValueError says what is expected.

    ==========================  ========================================================================================
    ``users:``                  :class:`~v1registry.accounts.users.UserStore` over ``storage``
    ``htpasswd:///path``        :meth:`v1registry.accounts.backends.htpasswd.Htpasswd.from_url`
    ``ldap://…``, ``ldaps://…`` :meth:`v1registry.accounts.backends.ldap.Ldap.from_url`
    ``environ:REMOTE_USER``     :meth:`v1registry.accounts.backends.environ.Environ.from_url`
    ``scheme:…``                what another package adds by the entry point ``v1registry.auth``: a callable of text and storage
    ``module:attribute``        a backend, or a callable that returns one
    ==========================  ========================================================================================

    Several of them with commas between are a :class:`~v1registry.accounts.backends.chain.Chain`, and so is one that takes no passwords, such as
    ``environ:``: what is returned has ``authenticate()`` in any case. A comma that is followed by a word and a
    colon begins another backend; inside of one it is written ``%2C``. The text may hold a password, so errors show nothing of it
    but the scheme.
    """
    backends = [_open(part, storage) for part in _SEPARATOR.split(text.strip())]
    only = backends[0]
    return only if len(backends) == 1 and isinstance(only, Authenticator) else chain_of(backends)


def _open(text: str, storage: Storage) -> AnyBackend:
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise ValueError(
            "a backend such as users:, htpasswd:///path, ldap://host/dc=example,dc=test is expected"
        )
    from importlib.metadata import entry_points

    try:
        if scheme in _OWN:
            return _own(scheme, text, storage)
        # whoever is not known by name is looked for among the installed distributions, which takes a while
        found: object = None
        added = entry_points(group=ENTRY_POINTS, name=scheme)
        if added:
            found = _loaded(next(iter(added)))(text, storage)
        elif all(word.isidentifier() for word in rest.split(".")):
            found = _named(scheme, rest)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if found is None:
        known = sorted({*_OWN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})
        raise ValueError(
            f"{scheme}: is no scheme of a backend; known: {', '.join(f'{name}:' for name in known)} "
            "and module:attribute"
        )
    if isinstance(found, (Authenticator, RequestAuthenticator)):
        return found
    raise ValueError(
        f"{scheme}: a backend with authenticate() or user() is expected, not {type(found).__name__}"
    )


def _own(scheme: str, text: str, storage: Storage) -> AnyBackend:
    if scheme == "users":
        from ..users import UserStore

        if text != "users:":
            raise ValueError("users: is expected to stand alone, the accounts are in the storage")
        return UserStore(storage)
    if scheme == "htpasswd":
        from .htpasswd import Htpasswd

        return Htpasswd.from_url(text)
    if scheme == "environ":
        from .environ import Environ

        return Environ.from_url(text)
    from .ldap import Ldap

    return Ldap.from_url(text)


def _loaded(added: EntryPoint) -> Any:
    try:
        return added.load()
    except AttributeError as error:
        raise ValueError(f"{added.name}: {error}") from error


def _named(module: str, attribute: str) -> object:
    """Return the backend that an attribute of a module is, or makes. ValueError, ImportError."""
    found: object = importlib.import_module(module)
    for word in attribute.split("."):
        try:
            found = getattr(found, word)
        except AttributeError:
            raise ValueError(f"{module} has no {attribute}") from None
    is_backend = isinstance(found, (Authenticator, RequestAuthenticator)) and not isinstance(found, type)
    return found() if callable(found) and not is_backend else found
