"""A search index that a setting names."""

from __future__ import annotations

from v1registry import Storage
from v1registry.registry.repositories import Repositories
from v1registry.search.scan import ScanSearch


def scan(storage: Storage, repositories: Repositories) -> ScanSearch:
    """Return an index of the package."""
    return ScanSearch(repositories)


def no_index(storage: Storage, repositories: Repositories) -> str:
    """Return something else."""
    return "none"
