"""What a storage or a backend of users has to do, as tests that you run on yours.

The modules that they come from tell how: :mod:`v1registry_fakes.storage_contracts` and :mod:`v1registry_fakes.auth_contracts`.
"""

from __future__ import annotations

from .auth_contracts import (
    AuthenticatorContract,
    ConfirmingDirectoryContract,
    UserDirectoryContract,
    UserLookupContract,
)
from .storage_contracts import StorageContract

__all__ = [
    "AuthenticatorContract",
    "ConfirmingDirectoryContract",
    "StorageContract",
    "UserDirectoryContract",
    "UserLookupContract",
]
