"""Turns at deletions that look at all manifests, or at all tags, of a repository.

A blob is deleted only if no manifest of the repository needs it, and a manifest together with its tags.
Neither has an index, because docker-registry 0.9 on the same folder would not keep one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from .. import errors
from ..layers.turns import Busy, ClientTurns, Patience

#: Of how many users or addresses deletions run at once in a process.
_MOST_CLIENTS: Final = 8

#: How many further deletions of one of them wait, and how long each.
_PATIENCE: Final = Patience(most_waiting=4, wait_s=10.0)


class Deletions:
    """Lets each client make one such deletion at a time. For the threads of one process."""

    def __init__(self, patience: Patience = _PATIENCE):
        self._turns = ClientTurns(_MOST_CLIENTS, patience)

    @property
    def waiting(self) -> int:
        """How many deletions wait."""
        return self._turns.waiting

    @contextmanager
    def turn(self, client: str) -> Iterator[None]:
        """Exclude other deletions of the same client.

        :param client: see :attr:`v1registry.wsgi.request.Request.client`.
        :raises DeletionBusy: too many of them wait already, or the turn did not come in time.
        """
        try:
            with self._turns.turn(client):
                yield
        except Busy:
            raise errors.DeletionBusy from None
