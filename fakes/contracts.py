"""What a storage or a backend of users has to do, as tests that you run on yours.

The modules that they come from tell how: :mod:`v1registry_fakes.storage_contracts`, :mod:`v1registry_fakes.auth_contracts`
and :mod:`v1registry_fakes.profile_contracts`.
"""

from __future__ import annotations

from .auth_contracts import (
    AccountsContract,
    BackendContract,
    ConfirmationContract,
    LookupContract,
)
from .profile_contracts import ProfilesContract
from .storage_contracts import StorageContract

__all__ = [
    "AccountsContract",
    "BackendContract",
    "ConfirmationContract",
    "LookupContract",
    "ProfilesContract",
    "StorageContract",
]
