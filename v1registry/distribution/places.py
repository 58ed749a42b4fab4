"""A repository as one request of the distribution API sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..names import RepositoryName
from ..registry.holding import Holding
from ..rights import Rights

#: How the incarnation of a repository ends if it was found in old data (see access/marks.py).
_ADOPTED: Final = " adopted"


@dataclass(frozen=True)
class Place:
    """A repository with the incarnation that it has now. Marks of a different one do not count."""

    repository: RepositoryName
    incarnation: str  #: empty on an open server, and if the repository does not exist
    is_open: bool = False  #: on an open server all marks count

    @classmethod
    def of(cls, rights: Rights, repository: RepositoryName) -> Place:
        """Return the place of a repository that the caller may read."""
        return cls(repository, rights.incarnation_of(repository), rights.is_open)

    @classmethod
    def begin(cls, rights: Rights, holding: Holding, repository: RepositoryName) -> Place:
        """Return the place of a repository that the caller may write. The repository is made if necessary."""
        return cls(repository, holding.begin(repository), rights.is_open)

    def counts(self, incarnation: object) -> bool:
        """Tell whether a mark with an incarnation counts."""
        if self.is_open:
            return True
        if not incarnation:
            return self.incarnation.endswith(_ADOPTED)
        return incarnation == self.incarnation
