"""A registry that trusts an index elsewhere (hub.md 6): it knows no users, and has the index check each token.

What the index said yes to is kept for a short time, under a keyed hash of the header; what it said no to is asked again.
docker-registry also stores each image list (``_images_list``), on every request; here it stays in memory, and an old server over
the same folder asks for its own.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from operator import itemgetter
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from cachetools import TLRUCache

from .. import errors
from ..names import RepositoryName
from ..registry.images import Images
from ..registry.repositories import Repositories
from ..rights import Action, ImageState, Rights, User
from .credentials import is_plain_token, parse_authorization
from .holders import Holders, require_layer

CHALLENGE = "Token"

#: What a token is good for. Engines look images up with the token of a push, so that includes reading.
_ACTIONS = {
    "read": frozenset({Action.READ}),
    "write": frozenset({Action.READ, Action.WRITE}),
    "delete": frozenset({Action.DELETE}),
}

#: How many ids in image lists, and how many answers about single images, are kept: each some hundred bytes.
_KEPT_IDS = 200_000
_KEPT_ANSWERS = 50_000

T = TypeVar("T")


class Index(Protocol):
    """An index as a registry sees it; :class:`v1registry.access.index_client.IndexClient` is one. Safe for threads."""

    def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
        """Return the ids in the repository's image list if the header is good for it, None if not. IndexUnavailable."""

    def may_use(self, repository: RepositoryName, image_id: str, authorization: str) -> bool:
        """Tell whether the bearer may use an image in the repository. IndexUnavailable."""


@dataclass(frozen=True)
class Claim:
    """What a header says of itself; nothing of it is true before the index says so."""

    authorization: str = field(repr=False)
    repository: RepositoryName
    actions: frozenset[Action]

    @classmethod
    def of(cls, authorization: str | None) -> Claim:
        """Return what the header claims. Unauthorized where it holds no token, or none of ``NS/REPO``.

        Several tokens may be joined. Which of them an index looks at is its own affair, so they have to name one repository,
        and allow together what each of them allows. An access that is none of read, write and delete allows nothing;
        docker-registry 0.9.1 does not restrict it (toolkit.py, check_token), which lets a token do more than it was made for
        as soon as the two servers read a header differently.
        """
        tokens = parse_authorization(authorization) if is_plain_token(authorization) else None
        if authorization is None or not isinstance(tokens, list):
            raise errors.Unauthorized(CHALLENGE)
        names = {token.values["repository"] for token in tokens if "repository" in token.values}
        allowed = [
            _ACTIONS.get(token.values["access"], frozenset()) for token in tokens if "access" in token.values
        ]
        if len(names) != 1 or not allowed:
            raise errors.Unauthorized(CHALLENGE)
        (name,) = names
        try:
            repository = RepositoryName.parse(name).checked()
        except errors.InvalidRepositoryName:
            raise errors.Unauthorized(CHALLENGE) from None
        if str(repository) != name:
            # without its namespace, or with a slash at the end
            raise errors.Unauthorized(CHALLENGE)
        return cls(authorization, repository, frozenset.intersection(*allowed))


@dataclass(frozen=True)
class Confirmed:
    """What the index said to a good token."""

    image_ids: frozenset[str]
    is_kept: bool = False  #: said some time ago


class ForeignIndexAccess:
    """Has the tokens of callers checked by an index.

    :param keep_s: how long what the index allowed is not asked again; 0: it is asked each time.
    :param clock: seconds since whenever.
    """

    standalone = "False"
    has_accounts = False

    def __init__(
        self,
        index: Index,
        images: Images,
        repositories: Repositories,
        holders: Holders,
        *,
        keep_s: float = 60,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.images = images
        self.repositories = repositories
        self.holders = holders
        self._index = index
        self._hash_key = secrets.token_bytes(32)
        self._lists: _Kept[frozenset[str]] = _Kept(_KEPT_IDS, keep_s, clock)
        self._usable: _Kept[bool] = _Kept(_KEPT_ANSWERS, keep_s, clock)

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        """Return the rights of a token's bearer. Unauthorized, IndexUnavailable."""
        claim = Claim.of(authorization)
        return ForeignRights(self, claim, self.confirm(claim))

    def rights_of(self, user: User) -> Rights:
        """Refuse: this registry knows no users.

        :raises Unauthorized: always.
        """
        raise errors.Unauthorized(CHALLENGE)

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        """Tell whether the header holds a token of the repository that the index takes. IndexUnavailable."""
        try:
            claim = Claim.of(authorization)
            self.confirm(claim)
        except errors.Unauthorized:
            return False
        return claim.repository == repository

    def confirm(self, claim: Claim) -> Confirmed:
        """Have the index check a claim, if it did not do so lately. Unauthorized, IndexUnavailable."""
        kept = self._lists.get(self._hash(claim))
        return self.ask_again(claim) if kept is None else Confirmed(kept, is_kept=True)

    def ask_again(self, claim: Claim) -> Confirmed:
        """Have the index check a claim now. Unauthorized, IndexUnavailable."""
        key, asked_at = self._hash(claim), self._lists.now()
        self._lists.drop(key)
        image_ids = self._index.image_ids(claim.repository, claim.authorization)
        if image_ids is None:
            raise errors.Unauthorized(CHALLENGE)
        if Action.DELETE not in claim.actions:
            # a deletion is asked about each time: afterwards the name may be another repository's
            self._lists.put(key, image_ids, asked_at, 1 + len(image_ids))
        return Confirmed(image_ids)

    def may_use(self, claim: Claim, image_id: str) -> bool:
        """Tell whether the index lets the bearer use an image in the token's repository. IndexUnavailable."""
        key = (self._hash(claim), image_id)
        if self._usable.get(key) is not None:
            return True
        asked_at = self._usable.now()
        may_use = self._index.may_use(claim.repository, image_id, claim.authorization)
        if may_use:
            self._usable.put(key, True, asked_at)
        return may_use

    def forget(self) -> None:
        """Ask the index about everything anew: a repository was deleted."""
        self._lists.clear()
        self._usable.clear()

    def _hash(self, claim: Claim) -> bytes:
        return hashlib.blake2b(
            claim.authorization.encode("ascii"), key=self._hash_key, digest_size=32
        ).digest()


class ForeignRights:
    """What the bearer of a token may do that the index took."""

    has_token = True
    user = None
    bearer = None
    is_login = False

    def __init__(self, access: ForeignIndexAccess, claim: Claim, confirmed: Confirmed):
        self._access = access
        self._claim = claim
        self._confirmed = confirmed
        self._may_use: dict[str, bool] = {}
        self._is_public: dict[str, bool] = {}

    def issue_token(self, action: Action, repository: RepositoryName) -> str:
        """Refuse: tokens come from the index. Forbidden."""
        raise errors.Forbidden("Tokens are issued by the index of this registry")

    def require_scope(self, action: Action) -> None:
        return

    # -- repositories

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        """Return True for the token's own repository. Unauthorized for the others, and for the token of a deletion."""
        self._require_any(Action.READ)
        if repository != self._claim.repository:
            raise errors.Unauthorized(CHALLENGE)
        return True

    def changing(self, repository: RepositoryName) -> AbstractContextManager[None]:
        return self._access.holders.changing(repository)

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        """Return if the token is the repository's and good for this. Unauthorized."""
        self._require_any(*(tokens_for or (action,)))
        if repository != self._claim.repository:
            raise errors.Unauthorized(CHALLENGE)

    def sees_deleted(self, repository: RepositoryName) -> bool:
        return False

    def may_list(self, repository: RepositoryName) -> bool:
        return repository == self._claim.repository and Action.READ in self._claim.actions

    def _require_any(self, *actions: Action) -> None:
        if not self._claim.actions.intersection(actions):
            raise errors.Unauthorized(CHALLENGE)

    # -- images

    def image_state(self, image_id: str) -> ImageState:
        self._require_any(Action.READ)
        # the push is looked at first: it may end in between, and then the image can be read
        is_pushing = self._can_see_push(image_id)
        if self.can_read_complete_image(image_id):
            return ImageState.READABLE
        return ImageState.PUSHING if is_pushing else ImageState.ABSENT

    def can_read_complete_image(self, image_id: str) -> bool:
        """Tell whether the image may be shown to the bearer. Unauthorized, IndexUnavailable.

        What a public repository holds here its readers may read. About everything else the index is asked: about private
        repositories, as docker-registry 0.9.1 does it (images.py), and about images that came here through other repositories,
        which it shows to whoever knows their ids.
        """
        self._require_any(Action.READ)
        images = self._access.images
        if not images.is_announced(image_id):
            return True  # there is nothing to hide
        if not images.is_complete(image_id):
            return False
        return self.is_public_image(image_id) or self._asks_index(image_id)

    def _can_see_push(self, image_id: str) -> bool:
        """Tell whether an unfinished image is in the list that the index gave. Unauthorized, IndexUnavailable."""
        self._require_any(Action.READ)
        images = self._access.images
        is_pushed = images.is_announced(image_id) and not images.is_complete(image_id)
        return is_pushed and self._is_listed(image_id)

    def require_parent(self, image_id: str) -> None:
        """Return if the index lets an image of the repository build on this one. ParentNotAuthorized, IndexUnavailable."""
        if not self._access.images.is_announced(image_id):
            raise errors.ParentNotFound(parent=image_id)
        if not self._asks_index(image_id):
            raise errors.ParentNotAuthorized(parent=image_id)

    def is_public_image(self, image_id: str) -> bool:
        """Tell whether the token's repository is public here, and holds the image."""
        if image_id not in self._is_public:
            repository, holders = self._claim.repository, self._access.holders
            self._is_public[image_id] = not self._access.repositories.is_private(repository) and (
                holders.is_marked(repository, image_id) or holders.holds(repository, image_id)
            )
        return self._is_public[image_id]

    def require_image_write(self, image_id: str) -> None:
        """Return if the image is in the list that the index gave. Unauthorized, ImageNotListed, IndexUnavailable."""
        self._require_any(Action.WRITE)
        if not self._is_listed(image_id):
            raise errors.ImageNotListed(image_id=image_id)
        if self._access.images.is_complete(image_id):
            # asked about now, because the model wants to know it while it holds the image's lock
            self.can_read_complete_image(image_id)

    def note_json(self, image_id: str, document: bytes) -> None:
        self._access.holders.note_json(self._claim.repository, image_id, document, is_announced=False)

    def has_sent_json(self, image_id: str, document: bytes) -> bool:
        push = self._access.holders.push(self._claim.repository, image_id)
        return push is not None and push.has_sent(document)

    def note_layer(self, image_id: str, document: bytes, payload_checksum: str) -> None:
        self._access.holders.note_layer(self._claim.repository, image_id, document, payload_checksum)

    def prepare_completion(
        self, image_id: str, document: bytes, payload_checksums: Collection[str], parent: str | None
    ) -> None:
        """Return if the layer came through the token's repository. LayerMissing, ChecksumMismatch.

        The index allowed the parent before.
        """
        push = self._access.holders.push(self._claim.repository, image_id)
        require_layer([] if push is None else [push], document, payload_checksums)

    def hold(self, image_id: str, document: bytes, payload_checksums: Collection[str]) -> None:
        repository, holders = self._claim.repository, self._access.holders
        push = holders.push(repository, image_id)
        if push is not None and push.has_sent(document, payload_checksums):
            # to build on an ancestor the index allowed
            holders.end_push(repository, image_id, lambda ancestor: True)

    def announce(self, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        return  # the index has the lists

    def release(self, repository: RepositoryName) -> None:
        tagged = self._access.repositories.tags_or_none(repository).values()
        self._access.holders.release(repository, [*tagged, *self._confirmed.image_ids])
        self._access.forget()

    def _is_listed(self, image_id: str) -> bool:
        if image_id not in self._confirmed.image_ids and self._confirmed.is_kept:
            # it may have been announced since
            self._confirmed = self._access.ask_again(self._claim)
        return image_id in self._confirmed.image_ids

    def _asks_index(self, image_id: str) -> bool:
        if image_id not in self._may_use:
            self._may_use[image_id] = self._access.may_use(self._claim, image_id)
        return self._may_use[image_id]


class _Kept(Generic[T]):
    """Values that are valid for some time; the least recently used are dropped if they are too many. Safe for threads.

    :param capacity: the weight of all values together.
    :param keep_s: how long a value is valid, in seconds.
    :param clock: returns seconds.
    """

    def __init__(self, capacity: int, keep_s: float, clock: Callable[[], float]):
        self._keep_s = keep_s
        self._clock = clock
        self._lock = Lock()  # cachetools is not safe for threads
        self._values: TLRUCache[Hashable, tuple[T, float, int]] = TLRUCache(
            capacity, lambda key, value, now: value[1], clock, itemgetter(2)
        )

    def now(self) -> float:
        return self._clock()

    def get(self, key: Hashable) -> T | None:
        """Return the value if it is still valid."""
        with self._lock:
            found = self._values.get(key)
        return None if found is None else found[0]

    def put(self, key: Hashable, value: T, learned_at: float, weight: int = 1) -> None:
        """Keep what was true at ``learned_at``, unless its weight alone is more than the capacity."""
        with self._lock:
            self._values.pop(key, None)
            with suppress(ValueError):  # it is heavier than the capacity
                self._values[key] = value, learned_at + self._keep_s, weight

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
