"""Public test suites for storages, search indexes and backends of users.

Their modules describe how to use them: :mod:`v1registry_fakes.contracts.storage`,
:mod:`v1registry_fakes.contracts.search`, :mod:`v1registry_fakes.contracts.accounts` and
:mod:`v1registry_fakes.contracts.profiles`.
"""

from __future__ import annotations

from .accounts import (
    AccountsContract,
    BackendContract,
    ConfirmationContract,
    LookupContract,
)
from .profiles import ProfilesContract
from .search import SearchIndexContract
from .storage import StorageContract

__all__ = [
    "AccountsContract",
    "BackendContract",
    "ConfirmationContract",
    "LookupContract",
    "ProfilesContract",
    "SearchIndexContract",
    "StorageContract",
]
