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

from . import errors
from .names import RepositoryName, check_image_id


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
    id: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Bearer:
    """What an OAuth access token is good for, as it was verified for one request (oauth.md 3.5)."""

    user: User  #: as they are now
    scopes: frozenset[str]
    client_id: str
    is_trusted: bool = False  #: the application may vouch for addresses (oauth.md 4.5)
    #: what BearerVerifier.is_granted is asked about; it is no secret. Two tokens that allow the same are equal
    access_id: str = field(default="", compare=False)
    expires_at_s: float | None = field(default=None, compare=False)  #: since the epoch; None if unknown


class ImageState(enum.Enum):
    """What an image id is to the caller of one request. An image that the caller may not read is ABSENT."""

    READABLE = "readable"  #: it is complete, and the caller may read it
    PUSHING = "pushing"  #: its push has not ended, and the caller may know of it
    ABSENT = "absent"


class Rights(Protocol):
    """What the caller of one request may do."""

    @property
    def user(self) -> User | None:
        """The user who is asking; None if the caller is anonymous, or if there are no accounts."""

    @property
    def bearer(self) -> Bearer | None:
        """What the OAuth access token of the request allows; None if there is no such token."""

    @property
    def is_login(self) -> bool:
        """Whether the user is there in person: with a password or a session, not with a token of any kind."""

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
        """Tell whether the repository may be shown. A hidden one is answered like a missing one.

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

    def image_state(self, image_id: str) -> ImageState:
        """Return what the image is to the caller.

        :raises Unauthorized: the caller's token does not allow to look at images.
        """

    def can_read_complete_image(self, image_id: str) -> bool:
        """Tell whether the caller may read an image that is known to be complete."""

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


def require_readable_image(rights: Rights, image_id: str) -> str:
    """Return the id of an image that the caller may read.

    :raises InvalidImageId: the id does not follow the grammar.
    :raises ImageInProgress: the push of the image has not ended.
    :raises ImageNotFound: there is no such image, or the caller may not know of it.
    """
    state = rights.image_state(check_image_id(image_id))
    if state is ImageState.PUSHING:
        raise errors.ImageInProgress(image_id=image_id)
    if state is ImageState.ABSENT:
        raise errors.ImageNotFound(image_id=image_id)
    return image_id


def require_readable_repository(
    rights: Rights, repository: RepositoryName, *tokens_for: Action
) -> RepositoryName:
    """Return the repository if the caller may read it.

    :param tokens_for: what a token may be good for; reading or writing if left out.
    :raises Unauthorized: the caller's token is for a different repository or a different action.
    :raises RepositoryNotFound: the caller may not read it; the same as for a missing one (decisions.md 11).
    """
    if not rights.can_read(repository, *tokens_for):
        raise errors.RepositoryNotFound(repository=str(repository)[:300])
    return repository


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

        :param authorization: the header of that name; None if it was not sent.
        :param environ: the WSGI environment, for backends that look there.
        """

    def rights_of(self, user: User) -> Rights:
        """Return the rights of an active user whose login was checked elsewhere, for example by a session."""
