"""A registry that trusts an external index (hub.md 6). It has no users; the index checks each token.

What the index allowed is kept for a short time, under a keyed hash of the header. What it refused is asked
again. docker-registry also stores each image list on every request. Here it stays in memory.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from cachetools import TLRUCache

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..registry.contents import Contents
from ..registry.repositories import Repositories
from ..registry.staging import Staging
from ..rights import Action, Content, ImageState, Listing, PushGrant, PushKey, Rights, User
from .credentials import is_plain_token, parse_authorization
from .holders import Holders

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
    """An index as a registry sees it; :class:`v1registry.access.index_client.IndexClient` is one.

    Safe for threads.
    """

    def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
        """Return the ids in the repository's image list if the header is good for it, None if not.

        :raises IndexUnavailable: the index cannot be asked.
        """

    def may_use(self, repository: RepositoryName, image_id: str, authorization: str) -> bool:
        """Tell whether the bearer may use an image in the repository.

        :raises IndexUnavailable: the index cannot be asked.
        """


@dataclass(frozen=True)
class Claim:
    """What the tokens of a header claim. Nothing of it counts before the index confirms it."""

    authorization: str = field(repr=False)
    repository: RepositoryName
    actions: frozenset[Action]

    @classmethod
    def of(cls, authorization: str | None) -> Claim:
        """Return what the header claims.

        Several tokens may be joined, and an index may check only one of them. So they must name one
        repository, and they allow only what each of them allows. An access other than read, write and delete
        allows nothing. docker-registry 0.9.1 does not restrict it (toolkit.py, check_token). Then a token
        allows more than it was made for, if the two servers parse the header differently.

        :raises Unauthorized: the header has no token of a repository ``NS/REPO``, or tokens of several.
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
    """The answer of the index to a valid token."""

    image_ids: frozenset[str]
    is_kept: bool = False  #: the answer is from an earlier request


class ForeignIndexAccess:
    """Has the index check the tokens of callers.

    :param keep_s: how long an answer is kept, in seconds; 0: the index is asked each time.
    """

    standalone = "False"
    has_accounts = False

    def __init__(
        self,
        index: Index,
        contents: Contents,
        repositories: Repositories,
        holders: Holders,
        staging: Staging,
        *,
        keep_s: float = 60,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self.contents = contents
        self.repositories = repositories
        self.holders = holders
        self.staging = staging
        self._index = index
        self._hash_key = secrets.token_bytes(32)
        self._lists: _Kept[frozenset[str]] = _Kept(_KEPT_IDS, keep_s, clock)
        self._usable: _Kept[bool] = _Kept(_KEPT_ANSWERS, keep_s, clock)

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        """Return the rights of a token's bearer.

        :raises Unauthorized: the header has no token, or the index does not accept it.
        :raises IndexUnavailable: the index cannot be asked.
        """
        claim = Claim.of(authorization)
        return ForeignRights(self, claim, self.confirm(claim))

    def rights_of(self, user: User) -> Rights:
        """Refuse: this registry has no users.

        :raises Unauthorized: always.
        """
        raise errors.Unauthorized(CHALLENGE)

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        """Tell whether the header has a token of the repository that the index accepts.

        :raises IndexUnavailable: the index cannot be asked.
        """
        try:
            claim = Claim.of(authorization)
            self.confirm(claim)
        except errors.Unauthorized:
            return False
        return claim.repository == repository

    def confirm(self, claim: Claim) -> Confirmed:
        """Have the index check a claim, unless its answer is kept.

        :raises Unauthorized: the index does not accept it.
        :raises IndexUnavailable: the index cannot be asked.
        """
        kept = self._lists.get(self._hash(claim))
        return self.ask_again(claim) if kept is None else Confirmed(kept, is_kept=True)

    def ask_again(self, claim: Claim) -> Confirmed:
        """Have the index check a claim now.

        :raises Unauthorized: the index does not accept it.
        :raises IndexUnavailable: the index cannot be asked.
        """
        key, asked_at = self._hash(claim), self._lists.now()
        self._lists.drop(key)
        image_ids = self._index.image_ids(claim.repository, claim.authorization)
        if image_ids is None:
            raise errors.Unauthorized(CHALLENGE)
        if Action.DELETE not in claim.actions:
            # the index is asked about each deletion, because a new repository may have the name afterwards
            self._lists.put(key, image_ids, asked_at, 1 + len(image_ids))
        return Confirmed(image_ids)

    def may_use(self, claim: Claim, image_id: str) -> bool:
        """Tell whether the index lets the bearer use an image in the token's repository.

        :raises IndexUnavailable: the index cannot be asked.
        """
        key = (self._hash(claim), image_id)
        if self._usable.get(key) is not None:
            return True
        asked_at = self._usable.now()
        may_use = self._index.may_use(claim.repository, image_id, claim.authorization)
        if may_use:
            self._usable.put(key, True, asked_at)
        return may_use

    def forget(self) -> None:
        """Ask the index about everything again, because a repository was deleted."""
        self._lists.clear()
        self._usable.clear()

    def _hash(self, claim: Claim) -> bytes:
        return hashlib.blake2b(
            claim.authorization.encode("ascii"), key=self._hash_key, digest_size=32
        ).digest()


class ForeignRights:
    """The rights of the bearer of a token that the index accepted."""

    is_open = False
    has_token = True
    user = None
    bearer = None
    is_login = False

    def __init__(self, access: ForeignIndexAccess, claim: Claim, confirmed: Confirmed):
        self._access = access
        self._claim = claim
        self._confirmed = confirmed
        self._states: dict[str, ImageState] = {}
        self._held: dict[str, Content] = {}

    def issue_token(self, action: Action, repository: RepositoryName) -> str:
        """Refuse: tokens come from the index.

        :raises Forbidden: always.
        """
        raise errors.Forbidden("Tokens are issued by the index of this registry")

    def require_login(self) -> None:
        return

    def require_scope(self, action: Action) -> None:
        return

    # -- repositories

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        self._require_any(Action.READ)
        if repository != self._claim.repository:
            raise errors.Unauthorized(CHALLENGE)
        return True

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        self._require_any(*(tokens_for or (action,)))
        if repository != self._claim.repository:
            raise errors.Unauthorized(CHALLENGE)

    def sees_deleted(self, repository: RepositoryName) -> bool:
        return False

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        return repository == self._claim.repository and action in self._claim.actions

    def may_list(self, repository: RepositoryName) -> bool:
        return self.allows(Action.READ, repository)

    def listing(self) -> Listing:
        return Listing(repositories=frozenset(filter(self.may_list, [self._claim.repository])))

    def _require_any(self, *actions: Action) -> None:
        if not self._claim.actions.intersection(actions):
            raise errors.Unauthorized(CHALLENGE)

    # -- images

    def image_state(self, image_id: str) -> ImageState:
        """Return what the image is to the bearer.

        The index is asked about an image that the token's repository does not hold here: it may have come
        through other repositories, or from old data.

        :raises IndexUnavailable: the index cannot answer now.
        """
        self._require_any(Action.READ)
        if image_id not in self._states:
            self._states[image_id] = self._find_state(image_id)
        return self._states[image_id]

    def _find_state(self, image_id: str) -> ImageState:
        repository = self._claim.repository
        held = self.content_in(repository, image_id)
        content = self._access.holders.whole(held)
        if content is not None:
            return ImageState(content, repository)
        lent = None if held is not None else self._lent(image_id)
        if lent is not None:
            return ImageState(lent)
        facts_of = self._access.staging.any_facts
        return ImageState(
            sees_push=lambda: any(repository in facts.repositories for facts in facts_of(image_id))
        )

    def content_in(self, repository: RepositoryName | None, image_id: str) -> Content | None:
        if repository is None:
            return self._lent(image_id)
        found = self._held.get(image_id) or self._access.holders.content(repository, image_id)
        if found is not None:
            self._held[image_id] = found
        return found

    def incarnation_of(self, repository: RepositoryName | None) -> str:
        return "" if repository is None else self._access.holders.incarnation(repository)

    def state_for(
        self, repository: RepositoryName | None, image_id: str, *, is_named: bool = False
    ) -> ImageState:
        held = self.content_in(repository, image_id)
        return (
            ImageState(self._lent(image_id), is_lent=True) if held is None else ImageState(held, repository)
        )

    def _lent(self, image_id: str) -> Content | None:
        """Return a content that others brought, if the index lets the bearer use the image."""
        content = self._access.contents.open_content(image_id)
        if content is None or not self._access.may_use(self._claim, image_id):
            return None
        return content

    def parent_error(self, image_id: str) -> errors.BadRequest:
        """Return why an image may not be a parent: it is missing, or the index does not allow it."""
        if self._access.contents.open_content(image_id) is None:
            return errors.ParentNotFound(parent=image_id)
        return errors.ParentNotAuthorized(parent=image_id)

    def is_public_image(self, state: ImageState) -> bool:
        """Tell whether the token's repository is public here, and holds the image."""
        return state.repository is not None and not self._access.repositories.is_private(state.repository)

    # -- pushes

    def push_key(self) -> PushKey:
        self._require_any(Action.WRITE)
        owner = f"namespace {self._claim.repository.namespace}"  # the users are known to the index alone
        return PushKey.of(f"header {self._claim.authorization}", owner=owner, is_token=True)

    def push_grant(self, image_id: str) -> PushGrant:
        key = self.push_key()
        if not self._is_listed(image_id):
            raise errors.ImageNotListed(image_id=image_id)
        return PushGrant(key, (self._claim.repository,))

    def _is_listed(self, image_id: str) -> bool:
        if image_id not in self._confirmed.image_ids and self._confirmed.is_kept:
            # it may have been announced since
            self._confirmed = self._access.ask_again(self._claim)
        return image_id in self._confirmed.image_ids


class _Kept(Generic[T]):
    """Values that are valid for some time; the least recently used are dropped if they are too many. Safe for
    threads.

    :param capacity: the weight of all values together.
    :param keep_s: how long a value is valid, in seconds.
    """

    def __init__(self, capacity: int, keep_s: float, clock: Clock):
        self._keep_s = keep_s
        self._clock = clock
        self._lock = Lock()  # cachetools is not safe for threads
        self._values: TLRUCache[Hashable, tuple[T, float, int]] = TLRUCache(
            capacity, lambda key, value, now: value[1], clock.monotonic_s, itemgetter(2)
        )

    def now(self) -> float:
        return self._clock.monotonic_s()

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
