"""An index whose answers tests set."""

from __future__ import annotations

from v1registry import MemoryStorage
from v1registry.access.holders import Holders
from v1registry.access.index import ForeignIndexAccess
from v1registry.clock import Clock
from v1registry.names import RepositoryName
from v1registry.registry.contents import Contents
from v1registry.registry.repositories import Repositories
from v1registry.registry.staging import Staging

NAME = RepositoryName("foo", "bar")
READ = 'Token signature=A,repository="foo/bar",access=read'
WRITE = 'Token signature=A,repository="foo/bar",access=write'
DELETE = 'Token signature=A,repository="foo/bar",access=delete'
IDS = frozenset({"0" * 64, "1" * 64})


class Index:
    """An index whose answers a test sets; it keeps what it was asked."""

    def __init__(self) -> None:
        self.ids: frozenset[str] | None = IDS
        self.allows = True
        self.asked: list[str] = []

    def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
        self.asked.append(f"{repository} {authorization}")
        return self.ids

    def may_use(self, repository: RepositoryName, image_id: str, authorization: str) -> bool:
        self.asked.append(f"{repository} {image_id[:1]} {authorization}")
        return self.allows


def make_access(index: Index, clock: Clock, keep_s: float = 60) -> ForeignIndexAccess:
    storage = MemoryStorage()
    contents, repositories = Contents(storage), Repositories(storage)
    holders = Holders(storage, contents, repositories)
    return ForeignIndexAccess(
        index, contents, repositories, holders, Staging(storage), keep_s=keep_s, clock=clock
    )
