"""Users: who they are, where they are kept, and how their accounts are changed.

The public names of users and backends. Each is imported when it is first used, so ``import v1registry`` stays
small and optional libraries are needed only by the backends that use them.

>>> from v1registry.accounts import Callback
>>> Callback(lambda username, password: False).takes_passwords
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..rights import User
    from .backends.callback import Callback
    from .backends.chain import BackendChain
    from .backends.environ import Environ
    from .backends.htpasswd import Htpasswd
    from .backends.ldap import Ldap, LdapOptions
    from .base import (
        Account,
        AccountExists,
        AuthError,
        Backend,
        BackendUnavailable,
        Email,
        EmailRefused,
        NotSupported,
        UnknownUser,
    )
    from .mail import Mailer, MailError, Recipient, SmtpMailer
    from .passwords import PasswordMemory, Passwords
    from .users import UserStore

__all__ = [
    "Account",
    "AccountExists",
    "AuthError",
    "Backend",
    "BackendChain",
    "BackendUnavailable",
    "Callback",
    "Email",
    "EmailRefused",
    "Environ",
    "Htpasswd",
    "Ldap",
    "LdapOptions",
    "MailError",
    "Mailer",
    "NotSupported",
    "PasswordMemory",
    "Passwords",
    "Recipient",
    "SmtpMailer",
    "UnknownUser",
    "User",
    "UserStore",
]

_MODULES: Final = {
    "..rights": ("User",),
    ".backends.callback": ("Callback",),
    ".backends.chain": ("BackendChain",),
    ".backends.environ": ("Environ",),
    ".backends.htpasswd": ("Htpasswd",),
    ".backends.ldap": ("Ldap", "LdapOptions"),
    ".base": (
        "Account",
        "AccountExists",
        "AuthError",
        "Backend",
        "BackendUnavailable",
        "Email",
        "EmailRefused",
        "NotSupported",
        "UnknownUser",
    ),
    ".mail": ("MailError", "Mailer", "Recipient", "SmtpMailer"),
    ".passwords": ("PasswordMemory", "Passwords"),
    ".users": ("UserStore",),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name.

    :raises AttributeError: it is not one of ``__all__``.
    :raises ImportError: its library is not installed; the message names the extra.
    """
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name], __name__), name)
