"""Who may do what: the vocabulary of users, actions and rights.

An :class:`Access` is made once for an application, a :class:`Rights` by it for each request. The APIs ask the rights and know
nothing of passwords, tokens or accounts.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from .names import RepositoryName


class Action(enum.Enum):
    """What a request does to a repository or an image."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"


@dataclass(frozen=True)
class User:
    """A user as the backend knows them."""

    name: str
    groups: frozenset[str] = frozenset()  #: each is a namespace that its members may write
    is_active: bool = True  #: an account that is not yet activated, or disabled, gets 403 everywhere
    is_administrator: bool = False
    #: the account, for ever: a later account of the same name has a different id. Empty if the backend has no ids.
    #: Two values of one user are equal whether or not both have it
    id: str = field(default="", compare=False)


class Rights(Protocol):
    """What the caller of one request may do."""

    def issue_token(self, action: Action, repository: RepositoryName) -> str | None:
        """Return a token for the caller, without the word ``Token``. The caller may do ``action``.

        None where the caller's own token is good for less.
        """

    @property
    def has_token(self) -> bool:
        """Whether the caller came with a token of a repository."""

    def require_scope(self, action: Action) -> None:
        """Return if the credentials are good for such an action at all, on whatever. InsufficientScope.

        It is asked before every handler of a row that needs ``action``.
        """

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        """Tell whether the repository may be shown. One that may not is answered as if it did not exist. Unauthorized.

        :param tokens_for: what a token has to be good for, one of these; reading or writing when left out.
        """

    def changing(self, repository: RepositoryName) -> AbstractContextManager[None]:
        """Keep out all others who change what the repository holds, or whether it exists.

        What a deletion in two steps left of it is cleared away before (decisions.md 14).
        """

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        """Return if the caller may do ``action`` to the repository. Unauthorized, Forbidden.

        :param tokens_for: what a token has to be good for, one of these; ``action`` itself when left out.
        """

    def sees_deleted(self, repository: RepositoryName) -> bool:
        """Tell whether the repository may still be shown while it is only marked as deleted."""

    def can_read_image(self, image_id: str) -> bool:
        """Tell whether the image may be shown: it is complete, and a repository holds it that may be read."""

    def can_see_push(self, image_id: str) -> bool:
        """Tell whether an image whose push has not ended may be told of, because the caller sent it to a readable repository.

        Who asks both asks this first: a push may end in between, and then the image can be read.
        """

    def require_parent(self, image_id: str) -> None:
        """Return if an image that the caller pushes may build on this one. ParentNotFound, ParentNotAuthorized."""

    def may_list(self, repository: RepositoryName) -> bool:
        """Tell whether search may show the repository to the caller."""

    def is_public_image(self, image_id: str) -> bool:
        """Tell whether everybody may read the image, so that shared caches may keep it."""

    def require_image_write(self, image_id: str) -> None:
        """Return if the caller may push the image. Unauthorized, Forbidden, ImageNotListed."""

    def note_json(self, image_id: str, document: bytes) -> None:
        """Note that the caller sent this JSON, and that it is what is stored."""

    def has_sent_json(self, image_id: str, document: bytes) -> bool:
        """Tell whether the caller sent this JSON."""

    def note_layer(self, image_id: str, document: bytes, payload_checksum: str) -> None:
        """Note that the caller, who sent this JSON, sent the layer of this sum, and that it is what is stored."""

    def prepare_completion(
        self, image_id: str, document: bytes, payload_checksums: Collection[str], parent: str | None
    ) -> None:
        """Return if the caller may complete the image: sent the layer of one of these sums, and may read the parent.

        LayerMissing, ChecksumMismatch, ParentNotFound.
        """

    def hold(self, image_id: str, document: bytes, payload_checksums: Collection[str]) -> None:
        """Note that the image is complete: repositories to which the caller sent JSON and layer hold it from now on."""

    def announce(self, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        """Note that a push of these images to the repository begins. The repository may be written."""

    def release(self, repository: RepositoryName) -> None:
        """Note that the repository is about to be deleted: it holds nothing any more. Its lock is held."""


class Access(Protocol):
    """Tells what the callers of an application may do."""

    #: the value of ``X-Docker-Registry-Standalone``: whether the registry checks its callers itself
    standalone: str

    #: whether there are users to tell apart
    has_accounts: bool

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        """Tell whether the header holds a token of the repository that has not expired (hub.md 4.5)."""

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        """Return the rights of a caller. Unauthorized, AccountInactive, TooManyAttempts, Unavailable.

        :param authorization: the header of that name; None where it was not sent.
        :param environ: the WSGI environment, for backends that look there.
        """
