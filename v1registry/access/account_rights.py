"""What one caller may do, on a server with accounts of its own (decisions.md 2, 3, 11, 17, 18)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Final, Protocol

from .. import errors
from ..names import DEFAULT_NAMESPACE, RepositoryName
from ..registry.staging import Staging
from ..rights import ABSENT, Action, Bearer, Content, ImageState, Listing, PushGrant, PushKey, User
from .announcements import Announcements
from .holders import Holders
from .policy import own_namespaces
from .tokens import Token, Tokens

#: What a server with accounts takes: a password, or a token of its index.
CHALLENGE: Final = 'Basic realm="auth required",Token'

#: The scopes of which an access token needs one to read, to write and to delete.
REPOSITORY_SCOPES: Final[Mapping[Action, tuple[str, ...]]] = {
    Action.READ: ("repo_read", "repo_write"),
    Action.WRITE: ("repo_write",),
    Action.DELETE: ("repo_write",),
}


#: How many namespaces a refusal names.
_MOST_NAMED: Final = 10


class AccountServices(Protocol):
    """What the rights of one request are made of; :class:`v1registry.access.accounts.AccountsAccess` has
    it.
    """

    tokens: Tokens
    holders: Holders
    staging: Staging
    announcements: Announcements
    registry_is_elsewhere: bool

    @property
    def trusts_namespaces_only(self) -> bool:
        """Whether ``trusts`` is true only for the user's own namespaces."""

    def trusts(self, user: User, repository: RepositoryName) -> bool:
        """Tell whether pushes of a user may take over images of a repository (decisions.md 18)."""

    def allows(self, user: User | None, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the policy lets a user, or None, an anonymous caller, do something to a repository."""

    def listing(self, user: User | None) -> Listing | None:
        """Return which repositories a user may read; None if the policy has to be asked about each."""

    def mark_of(self, user: User) -> str:
        """Return what a token says about the account of its user."""

    def namespaces_of(self, user: User) -> tuple[str, ...]:
        """Return the namespaces that the user may write, empty if the policy is not by namespaces."""


class AccountRights:
    """The rights of a user, of an application that acts for one, of the bearer of a token, or of an anonymous
    caller.

    Made once for a request. What it looked up is remembered, because a request asks for the same image
    several times.
    """

    is_open = False

    def __init__(
        self, access: AccountServices, user: User | None, token: Token | None, bearer: Bearer | None = None
    ):
        self._access = access
        self.user = user
        self.token = token
        self.bearer = bearer
        self._states: dict[str, ImageState] = {}
        self._held: dict[tuple[RepositoryName, str], Content] = {}
        self._walked: set[RepositoryName] = set()
        self._allowed: dict[tuple[Action, RepositoryName], bool] = {}
        self._near_ones: tuple[str, ...] = ()

    @property
    def has_token(self) -> bool:
        return self.token is not None

    @property
    def is_login(self) -> bool:
        return self.user is not None and self.token is None and self.bearer is None

    def require_login(self) -> None:
        if self.user is None and self.token is None:
            raise errors.Unauthorized(CHALLENGE)

    def require_scope(self, action: Action) -> None:
        if not self._has_scope(action):
            assert self.bearer is not None
            raise errors.InsufficientScope(REPOSITORY_SCOPES[action][0], client_id=self.bearer.client_id)

    def _has_scope(self, action: Action) -> bool:
        return self.bearer is None or not self.bearer.scopes.isdisjoint(REPOSITORY_SCOPES[action])

    def issue_token(self, action: Action, repository: RepositoryName) -> str | None:
        """Return a token. A caller with a token gets none that allows more, or that lasts longer."""
        token, tokens = self.token, self._access.tokens
        if token is None:
            if not self._has_scope(action):
                return None
            bearer = self.bearer
            return tokens.issue(
                repository,
                action,
                self.user,
                mark="" if self.user is None else self._access.mark_of(self.user),
                ends_by_s=None if bearer is None else bearer.expires_at_s,
                access_id=None if bearer is None else bearer.access_id,
            )
        if action is not token.access and (action, token.access) != (Action.READ, Action.WRITE):
            return None
        return tokens.issue(
            repository,
            action,
            token.user,
            mark=token.mark,
            ends_by_s=token.expires_at_s,
            access_id=token.access_id,
        )

    # -- repositories

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        token = self.token
        if token is not None and (
            token.repository != repository or token.access not in (tokens_for or (Action.READ, Action.WRITE))
        ):
            raise errors.Unauthorized(CHALLENGE)
        return self.allows(Action.READ, repository)

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        token = self.token
        is_other_token = token is not None and token.repository != repository
        if is_other_token or (token is not None and token.access not in (tokens_for or (action,))):
            raise errors.Unauthorized(CHALLENGE)
        if self.user is None:
            raise errors.Unauthorized(CHALLENGE)
        if not self.allows(action, repository):
            raise errors.Forbidden(
                self._denial(self.user), repository=str(repository), username=self.user.name
            )

    def _denial(self, user: User) -> str | None:
        """Return the text of a refusal: engines show it, so it says where the user may push.

        None if the policy is not by namespaces.
        """
        namespaces = self._access.namespaces_of(user)[:_MOST_NAMED]
        if not namespaces:
            return None
        below = ", ".join(f"{namespace}/" for namespace in namespaces)
        return f"{errors.Forbidden.text}; it may push to repositories below {below}"

    def sees_deleted(self, repository: RepositoryName) -> bool:
        """Tell whether the caller is the registry that has to do its part of a deletion (hub.md 6.4)."""
        token = self.token
        return token is not None and token.repository == repository and token.access is Action.DELETE

    def may_list(self, repository: RepositoryName) -> bool:
        """Tell whether search may show the repository.

        A token shows nothing private but its own repository.
        """
        token = self.token
        if token is not None and (token.repository != repository or token.access is Action.DELETE):
            return self._access.allows(None, Action.READ, repository)
        return self.allows(Action.READ, repository)

    def listing(self) -> Listing:
        token = self.token
        if token is None and not self._has_scope(Action.READ):
            return Listing()
        found = self._access.listing(self.user if token is None else None)
        if found is None:
            return Listing(rule=self.may_list)
        if token is not None and self.may_list(token.repository):
            return replace(found, repositories=found.repositories | {token.repository})
        return found

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        key = action, repository
        if key not in self._allowed:
            self._allowed[key] = self._has_scope(action) and self._access.allows(
                self.user, action, repository
            )
        return self._allowed[key]

    # -- images

    def image_state(self, image_id: str) -> ImageState:
        token = self.token
        if token is not None and token.access is Action.DELETE:
            raise errors.Unauthorized(CHALLENGE)
        if image_id not in self._states:
            self._states[image_id] = self._find_state(image_id)
        return self._states[image_id]

    def _find_state(self, image_id: str) -> ImageState:
        # a push that ends between the two looks makes the image look absent for this request
        return self._readable(image_id) or ImageState(sees_push=lambda: self._sees_push(image_id))

    def _readable(self, image_id: str) -> ImageState | None:
        token = self.token
        if token is None:
            return self._readable_anywhere(image_id)
        repository = token.repository
        if not self.allows(Action.READ, repository):
            return None
        held = self.content_in(repository, image_id)
        if held is not None:
            # if it is damaged, a push repairs it: it must not look present because others have it
            content = self._access.holders.whole(held)
            return None if content is None else ImageState(content, repository)
        if token.access is Action.WRITE and self.allows(Action.WRITE, repository):
            for holder, lent in self._lenders(image_id):
                return ImageState(lent, holder, is_lent=True)
        return None

    def _readable_anywhere(self, image_id: str) -> ImageState | None:
        """Return what an id means if no token names a repository (decisions.md 17)."""
        readable = []
        for repository, content in self._whole(self._holders(image_id, Action.READ)):
            state = ImageState(content, repository)
            is_near = repository.namespace in self._near
            if is_near and self._lends(repository):
                return state
            readable.append(state)
            if not is_near and not content.variant:
                break  # no other content sorts before the first one
        if readable and self._has_open_push(image_id):
            return None  # or an engine would skip the upload, and the tag would be refused
        # the first content sorts before all others
        return min(readable, key=_variant_of, default=None)

    def _holders(self, image_id: str, action: Action) -> Iterator[tuple[RepositoryName, Content]]:
        """Yield the holders of an image to which the caller may do ``action``, those that are near first."""
        return self._access.holders.of(
            image_id, lambda name: self.allows(action, name), near=self._near, seeker=self._seeker
        )

    def _has_open_push(self, image_id: str) -> bool:
        """Tell whether the user announced the image to a repository that does not hold it whole yet."""
        user = self.user
        if user is None:
            return False
        announced = self._access.announcements.recorded(user, image_id)
        return any(
            self.allows(Action.WRITE, name)
            and self._access.holders.whole(self.content_in(name, image_id)) is None
            for name in announced
        )

    @property
    def _near(self) -> tuple[str, ...]:
        """The namespaces whose repositories are asked first: those of the user, then the official one."""
        if not self._near_ones:
            self._near_ones = (*(() if self.user is None else own_namespaces(self.user)), DEFAULT_NAMESPACE)
        return self._near_ones

    @property
    def _seeker(self) -> str:
        return "" if self.user is None else self.user.name

    def _lenders(self, image_id: str) -> Iterator[tuple[RepositoryName, Content]]:
        """Yield holders from which a push of the user may take an image over without upload (decisions.md
        18).
        """
        lenders = self._access.holders.of(
            image_id,
            self._lends,
            near=self._near,
            seeker=self._seeker,
            is_near_only=self._access.trusts_namespaces_only,
        )
        return self._whole(lenders)

    def _whole(
        self, holders: Iterator[tuple[RepositoryName, Content]]
    ) -> Iterator[tuple[RepositoryName, Content]]:
        """Yield those holders whose content is not damaged."""
        for repository, held in holders:
            content = self._access.holders.whole(held)
            if content is not None:
                yield repository, content

    def _lends(self, repository: RepositoryName) -> bool:
        """Tell whether the user trusts the writers of a repository: they are the same, or those of
        ``library``.
        """
        if repository.namespace == DEFAULT_NAMESPACE:
            return self.allows(Action.READ, repository)
        user = self.user
        return user is not None and self._has_scope(Action.WRITE) and self._access.trusts(user, repository)

    def _sees_push(self, image_id: str) -> bool:
        if self._access.registry_is_elsewhere:
            return False
        names = {name for facts in self._access.staging.any_facts(image_id) for name in facts.repositories}
        return any(self.allows(Action.READ, name) for name in names if self._is_in_scope(name))

    def _is_in_scope(self, repository: RepositoryName) -> bool:
        return self.token is None or self.token.repository == repository

    def content_in(self, repository: RepositoryName | None, image_id: str) -> Content | None:
        if repository is None:
            return None
        key = repository, image_id
        found = self._held.get(key)
        if found is None:
            # what is held never changes, but it may come to be held in this very request
            is_walked = repository in self._walked
            self._walked.add(repository)
            found = self._access.holders.content(repository, image_id, is_walked=is_walked)
            if found is not None:
                self._held[key] = found
        return found

    def incarnation_of(self, repository: RepositoryName | None) -> str:
        return "" if repository is None else self._access.holders.incarnation(repository)

    def state_for(
        self, repository: RepositoryName | None, image_id: str, *, is_named: bool = False
    ) -> ImageState:
        held = self.content_in(repository, image_id)
        if held is not None:
            return ImageState(held, repository)
        lenders = self._lenders(image_id)
        if is_named and self.user is not None and self.user.is_administrator:
            lenders = chain(lenders, self._whole(self._holders(image_id, Action.WRITE)))
        for holder, content in lenders:
            return ImageState(content, holder, is_lent=True)
        return ABSENT

    def parent_error(self, image_id: str) -> errors.BadRequest:
        # what may not be read looks absent (decisions.md 17)
        return errors.ParentNotFound(parent=image_id)

    def is_public_image(self, state: ImageState) -> bool:
        access = self._access
        if state.repository is not None and access.allows(None, Action.READ, state.repository):
            return True
        if state.content is None:
            return False
        public = access.holders.of(
            state.content.image_id,
            lambda name: access.allows(None, Action.READ, name),
            near=(DEFAULT_NAMESPACE,),
        )
        return any(content == state.content for _, content in public)

    # -- pushes

    def push_key(self) -> PushKey:
        token, user = self.token, self.user
        if token is not None:
            self.require(Action.WRITE, token.repository)
        if user is None:
            raise errors.Unauthorized(CHALLENGE)
        if token is not None:
            return PushKey.of(f"token {token.nonce}", owner=user.account, is_token=True)
        return PushKey.of(f"user {user.account}", owner=user.account)

    def push_grant(self, image_id: str) -> PushGrant:
        key, token, user = self.push_key(), self.token, self.user
        assert user is not None
        access = self._access
        if token is not None:
            repository = token.repository
            if access.announcements.lists(repository, image_id) or self.content_in(repository, image_id):
                return PushGrant(key, (repository,))
            raise errors.ImageNotListed(image_id=image_id)
        found = [name for name in access.announcements.of(user, image_id) if self.allows(Action.WRITE, name)]
        found = found or [name for name, _ in self._holders(image_id, Action.WRITE)]
        if not found:
            raise errors.ImageNotListed(image_id=image_id)
        return PushGrant(key, tuple(found))


def _variant_of(state: ImageState) -> str:
    return state.content.variant if state.content is not None else ""
