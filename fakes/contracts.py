"""Public test suites for storages, search indexes and backends of users.

Their modules describe how to use them: :mod:`v1registry_fakes.storage_contracts`,
:mod:`v1registry_fakes.search_contracts`,
:mod:`v1registry_fakes.auth_contracts` and :mod:`v1registry_fakes.profile_contracts`.
"""

from __future__ import annotations

from .auth_contracts import (
    AccountsContract,
    BackendContract,
    ConfirmationContract,
    LookupContract,
)
from .profile_contracts import ProfilesContract
from .search_contracts import SearchIndexContract
from .storage_contracts import StorageContract

__all__ = [
    "AccountsContract",
    "BackendContract",
    "ConfirmationContract",
    "LookupContract",
    "ProfilesContract",
    "SearchIndexContract",
    "StorageContract",
]
