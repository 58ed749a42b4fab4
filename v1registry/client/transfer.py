"""What a push and a pull have in common."""

from __future__ import annotations

from dataclasses import dataclass

from .connection import Connection, Credentials
from .progress import Progress
from .reference import Reference
from .repository import AskIndex, RepositoryClient


@dataclass(frozen=True)
class Transfer:
    """The connection, the tag and the options of one push or pull."""

    connection: Connection
    credentials: Credentials | None
    reference: Reference
    progress: Progress
    parallel: int  #: layers at the same time
    layer_limit_bytes: int  #: of one layer, both as transferred and expanded

    def repository(self, ask_index: AskIndex) -> RepositoryClient:
        """Return a client of the tag's repository.

        :param ask_index: see :class:`RepositoryClient`.
        :raises RegistryUnreachable: the registry does not answer.
        """
        return RepositoryClient(self.connection, self.credentials, self.reference.name, ask_index)
