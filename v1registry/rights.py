"""Who may do what: the vocabulary of users, actions and rights.

An :class:`Access` is made once for an application, a :class:`Rights` by it for each request. The APIs ask the
rights and know nothing of passwords, tokens or accounts.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from . import errors
from .names import RepositoryName, check_image_id
from .storage.base import Stat


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
    #: the account, for ever: a later account of the same name has a different id. Empty if the backend has no
    #: ids. Two values of one user are equal whether or not both have it
    id: str = field(default="", compare=False, repr=False)

    @property
    def account(self) -> str:
        """A text that no other account has, a later one of the same name included if the backend has ids."""
        return repr((self.id, self.name))

    @property
    def namespace(self) -> str:
        """The namespace that belongs to the user: the name in lower case (decisions.md 21)."""
        return self.name.lower()


@dataclass(frozen=True)
class Listing:
    """Which repositories lists and search may show to a caller, so that an index can find them.

    A repository is shown if any field says so. ``Rights.may_list`` says the same of a single one.
    """

    is_everything: bool = False
    has_public: bool = False  #: all that are not private
    namespaces: frozenset[str] = frozenset()  #: all in these namespaces
    repositories: frozenset[RepositoryName] = frozenset()
    collaborator: User | None = None  #: all of which this user is a collaborator; None if that gives nothing
    rule: Callable[[RepositoryName], bool] | None = None  #: asked of each repository; None if there is none


#: For callers who may see all repositories, and for those who see none.
EVERYTHING = Listing(is_everything=True)
NOTHING = Listing()


@dataclass(frozen=True)
class Bearer:
    """What an OAuth access token is good for, as it was verified for one request (oauth.md 3.5)."""

    user: User  #: as they are now
    scopes: frozenset[str]
    client_id: str
    is_trusted: bool = False  #: the application may vouch for addresses (oauth.md 4.5)
    #: what BearerVerifier.is_granted is asked about; it is no secret. Two tokens that allow the same are
    #: equal
    access_id: str = field(default="", compare=False)
    expires_at_s: float | None = field(default=None, compare=False)  #: since the epoch; None if unknown


@dataclass
class Facts:
    """What else was read of a content, while its parts are remembered. None is what was not read yet."""

    checksums: tuple[str, ...] | None = None
    ancestry: tuple[str, ...] | None = None  #: from the image itself to the root
    is_marked: bool | None = None  #: whether an old server marked the first content as being pushed


@dataclass(frozen=True)
class Parts:
    """What was read of a content when it was looked at in a request."""

    document: bytes  #: the JSON
    etag: str  #: of the JSON, in the storage
    layer: Stat | None  #: None if a mirror has not fetched the layer
    #: None if the parts are not remembered for other requests
    facts: Facts | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Content:
    """One of the contents that an image id may have: JSON, layer and ancestry (decisions.md 17)."""

    image_id: str
    variant: str = ""  #: the name of its folder; empty for the keys that docker-registry has
    #: None if it was not looked at yet. Valid for the request that looked, which need not read it twice
    parts: Parts | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class ImageState:
    """What an image id is to the caller of one request: readable, being pushed, or absent."""

    content: Content | None = None  #: what the caller may read; None if nothing
    repository: RepositoryName | None = None  #: which holds the content; None on an open server
    is_lent: bool = (
        False  #: the token's repository does not hold it yet, but a push may name it (decisions.md 18)
    )
    #: tells whether the caller may know of an unfinished push; it has to look for pushes
    sees_push: Callable[[], bool] | None = None

    @property
    def is_pushing(self) -> bool:
        """Whether nothing is readable, but the caller may know of an unfinished push."""
        return self.content is None and self.sees_push is not None and self.sees_push()


ABSENT = ImageState()


#: What the owners of pushes to an open server begin with. All of them are bounded together, so that object
#: stores keep their counters in one document (registry/key_groups.py). A user may happen to begin so too.
OPEN_OWNERS: Final = "00"


@dataclass(frozen=True)
class PushKey:
    """What tells pushes of one image id apart (decisions.md 5)."""

    name: str  #: 32 hex digits, the name of its folder
    owner: str  #: 32 hex digits: the user, or the key itself, whose unfinished bytes are counted together
    is_shared: bool = False  #: several clients may have it, so several JSONs and layers are kept
    is_token: bool = False  #: a token, which one client alone has

    @classmethod
    def of(
        cls, text: str, *, owner: str | None = None, is_shared: bool = False, is_token: bool = False
    ) -> PushKey:
        """Return the key for a text that is a secret, or that only the pusher has.

        :param owner: stands for the account of the user; None on an open server, where the key stands for
            itself.
        """
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        if owner is None:
            return cls(name, f"{OPEN_OWNERS}{name[len(OPEN_OWNERS) :]}", is_shared, is_token)
        counted = hashlib.sha256(f"user {owner}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return cls(name, counted, is_shared, is_token)


@dataclass(frozen=True)
class PushGrant:
    """What a caller may push: with which key, and for which repositories the image will be completed."""

    key: PushKey
    repositories: tuple[RepositoryName, ...] = ()  #: none on an open server


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

    def require_login(self) -> None:
        """Check that the caller has credentials, or that there are no accounts.

        It is asked before an answer that says that something is missing. So an anonymous caller gets the same
        answer for what is missing and what is hidden (decisions.md 11).

        :raises Unauthorized: the caller is anonymous, and could log in.
        """

    def issue_token(self, action: Action, repository: RepositoryName) -> str | None:
        """Return a token for the caller, without the word ``Token``. The caller may do ``action``.

        None if the caller's own token allows less.
        """

    @property
    def has_token(self) -> bool:
        """Whether the caller came with a token of a repository."""

    def require_scope(self, action: Action) -> None:
        """Check that the credentials allow the action for at least some repositories.

        It is asked before every handler of a row that needs ``action``.

        :raises InsufficientScope: they do not.
        """

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        """Tell whether the repository may be shown. A hidden one is answered like a missing one.

        :param tokens_for: a token must allow at least one of these actions. Default: READ or WRITE.
        """

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        """Check that the caller may do ``action`` to the repository.

        :param tokens_for: a token must allow at least one of these actions. Default: ``action``.
        :raises Unauthorized: the caller is anonymous, or the token does not allow it.
        :raises Forbidden: the user may not do it.
        """

    def sees_deleted(self, repository: RepositoryName) -> bool:
        """Tell whether the repository may still be shown while it is only marked as deleted."""

    def image_state(self, image_id: str) -> ImageState:
        """Return what the image is to the caller. It is looked up once in a request.

        :raises Unauthorized: the caller's token does not allow to look at images.
        """

    def content_in(self, repository: RepositoryName | None, image_id: str) -> Content | None:
        """Return the content of an image that a repository holds, None if it holds none.

        :param repository: one that the caller may read; None on an open server.
        """

    def incarnation_of(self, repository: RepositoryName | None) -> str:
        """Return a text that changes if the repository is deleted and made again; empty on an open server."""

    def state_for(
        self, repository: RepositoryName | None, image_id: str, *, is_named: bool = False
    ) -> ImageState:
        """Return the content that a repository holds, or that a push of the caller may take over for it
        (decisions.md 18), with the repository that holds it.

        :param repository: one that the caller may write; None on an open server.
        :param is_named: the caller names the image by a tag, or as the parent of an image. Announcements and
            looks may take over less, because engines announce the ids of all their images, and skip what
            looks present.
        """

    def parent_error(self, image_id: str) -> errors.BadRequest:
        """Return the error for a parent that does not count: ParentNotFound, or ParentNotAuthorized."""

    def may_list(self, repository: RepositoryName) -> bool:
        """Tell whether search may show the repository to the caller."""

    def listing(self) -> Listing:
        """Return which repositories search may show to the caller."""

    @property
    def is_open(self) -> bool:
        """Whether all callers see the same contents, so that shared caches may keep them (decisions.md
        12).
        """

    def is_public_image(self, state: ImageState) -> bool:
        """Tell whether anonymous callers may read an image that the caller may read."""

    # -- pushes

    def push_grant(self, image_id: str) -> PushGrant:
        """Return the grant for a push of the image that begins.

        :raises Unauthorized: the credentials do not allow to write.
        :raises Forbidden: the user may not write the token's repository.
        :raises ImageNotListed: no repository that the caller may write lists or holds the image.
        """

    def push_key(self) -> PushKey:
        """Return the push key of the caller, who may write.

        :raises Unauthorized: the credentials do not allow to write.
        :raises Forbidden: the user may not write the token's repository.
        """

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the user may do ``action`` to the repository.

        The repository of the caller's token is ignored.
        """


def require_readable_image(rights: Rights, image_id: str) -> ImageState:
    """Return the state of an image that the caller may read; its content is not None.

    :raises InvalidImageId: the id does not follow the grammar.
    :raises ImageInProgress: the push of the image has not ended.
    :raises ImageNotFound: there is no such image, or the caller may not know of it.
    """
    state = rights.image_state(check_image_id(image_id))
    if state.content is None:
        raise (errors.ImageInProgress if state.is_pushing else errors.ImageNotFound)(image_id=image_id)
    return state


def require_readable_content(rights: Rights, image_id: str) -> Content:
    """Return the content of an image that the caller may read. See :func:`require_readable_image`."""
    content = require_readable_image(rights, image_id).content
    assert content is not None
    return content


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
        """Return the rights of a caller.

        :param authorization: the header of that name; None if it was not sent.
        :param environ: the WSGI environment, for backends that look there.
        :raises Unauthorized: the credentials are wrong or malformed.
        :raises AccountInactive: the account is not activated, or disabled.
        :raises TooManyAttempts: too many log-ins failed.
        :raises Unavailable: the backend cannot check credentials now.
        """

    def rights_of(self, user: User) -> Rights:
        """Return the rights of an active user whose login was checked elsewhere, for example by a session."""

    def forget(self) -> None:
        """Forget what others said about repositories, because one was deleted."""
