"""The rights of callers on a server with accounts of its own (decisions.md 2, 3, 11, 17; hub.md 5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from .. import errors
from ..accounts.base import Backend, BackendUnavailable, BearerVerifier, NotSupported
from ..names import RepositoryName
from ..registry.images import Images
from ..registry.repositories import Repositories
from ..rights import Action, Bearer, ImageState, Rights, User
from ..wsgi.origin import Proxies
from .attempts import LoginLimiter
from .credentials import Basic, BearerToken, TokenFields, is_plain_token, parse_authorization
from .holders import Holders, Push, listed_ids, require_layer
from .policy import Policy
from .tokens import Token, Tokens

#: What a server with accounts takes: a password, or a token of its index.
CHALLENGE = 'Basic realm="auth required",Token'

#: The scopes of which an access token needs one to read, to write and to delete.
REPOSITORY_SCOPES: Final[Mapping[Action, tuple[str, ...]]] = {
    Action.READ: ("repo_read", "repo_write"),
    Action.WRITE: ("repo_write",),
    Action.DELETE: ("repo_write",),
}


def _is_https(environ: Mapping[str, Any]) -> bool:
    return environ.get("wsgi.url_scheme") == "https"


class AccountsAccess:
    """Tells who is asking by Basic, by a token, or by what the surrounding application put into the environment.

    An access token of OAuth lets an application do what its scopes and its user's own rights allow both. The rights of an
    administrator are not passed on: to an application the user is like any other.

    :param registry_is_elsewhere: the images are on other servers, which ask this one about tokens (hub.md 6).
    :param proxies: trusted proxies; their headers name the address of a login.
    :param bearers: knows the access tokens; without it none is taken.
    :param is_secure: tells of a WSGI environment whether an access token may be sent that way: whoever reads it on its way
        has it (RFC 6750, 5.3).
    """

    has_accounts = True

    def __init__(
        self,
        backend: Backend,
        policy: Policy,
        tokens: Tokens,
        images: Images,
        repositories: Repositories,
        holders: Holders,
        limiter: LoginLimiter,
        *,
        registry_is_elsewhere: bool = False,
        proxies: Proxies | None = None,
        bearers: BearerVerifier | None = None,
        is_secure: Callable[[Mapping[str, Any]], bool] = _is_https,
    ):
        self.backend = backend
        self.policy = policy
        self.tokens = tokens
        self.images = images
        self.repositories = repositories
        self.holders = holders
        self.limiter = limiter
        self.registry_is_elsewhere = registry_is_elsewhere
        self.proxies = proxies or Proxies()
        self._bearers = bearers
        self._is_secure = is_secure
        # engines send their password along with every call to a standalone server over https, to its endpoints too; a registry
        # elsewhere takes tokens only
        self.standalone = "False" if registry_is_elsewhere else "True"

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        """Return the caller's rights. Unauthorized, AccountInactive, TooManyAttempts, Unavailable; of access tokens OAuthError."""
        try:
            credentials = parse_authorization(authorization)
            if credentials is None:
                user = self.backend.user_of_request(environ)
                return AccountRights(self, self._checked(user), None)
            if isinstance(credentials, Basic):
                return AccountRights(self, self.log_in(credentials, environ), None)
            if isinstance(credentials, list):
                return self._rights_of_token(self._candidates(authorization, credentials))
            if isinstance(credentials, BearerToken) and self._bearers is not None:
                bearer = self._bearer(self._bearers, credentials.token, environ)
                return AccountRights(self, self._checked(bearer.user), None, bearer)
        except BackendUnavailable as error:
            raise errors.Unavailable("Logins cannot be checked now, retry later") from error
        raise errors.Unauthorized(CHALLENGE)

    def rights_of(self, user: User) -> Rights:
        """Return the rights of a user who is known to be asking, and to be active."""
        return AccountRights(self, user, None)

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        """Tell whether the header holds a token of the repository whose user still may do what it is for.

        BackendUnavailable.
        """
        credentials = parse_authorization(authorization)
        if not isinstance(credentials, list):
            return False
        tokens = [self.tokens.verify(fields) for fields in self._candidates(authorization, credentials)]
        return any(
            self._is_still_good(token)
            for token in tokens
            if token is not None and token.repository == repository
        )

    def _is_still_good(self, token: Token) -> bool:
        user = self._find_again(token)
        if token.user is not None and (user is None or not user.is_active):
            return False
        return self.allows(user, token.access, token.repository)

    def allows(self, user: User | None, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the policy lets a user (None: anybody) do something to a repository."""
        return self.policy.allows(user, action, repository.namespace, repository.repository)

    def _candidates(self, authorization: str | None, tokens: list[TokenFields]) -> list[TokenFields]:
        """Return the tokens of a header that may count.

        A registry elsewhere reads the header itself, and of each field takes the last one (docker-registry 0.9.1, toolkit.py). So
        there only the last token counts, and only where nobody can see another one.
        """
        if not self.registry_is_elsewhere:
            return tokens
        return tokens[-1:] if is_plain_token(authorization) else []

    def log_in(self, credentials: Basic, environ: Mapping[str, Any]) -> User:
        """Return the active user of a name and a password. Unauthorized, AccountInactive, TooManyAttempts."""
        address = self.proxies.client_address(environ)
        wait_s = self.limiter.wait_s(credentials.username, address)
        if wait_s > 0:
            raise errors.TooManyAttempts(wait_s)
        user = self.backend.authenticate(credentials.username, credentials.password)
        if user is None:
            self.limiter.failed(credentials.username, address)
            raise errors.Unauthorized(CHALLENGE)
        self.limiter.succeeded(credentials.username, address)
        checked = self._checked(user)
        assert checked is not None
        return checked

    def _rights_of_token(self, candidates: list[TokenFields]) -> Rights:
        """Return the rights of the last token that is good: engines join several into one header."""
        for fields in reversed(candidates):
            token = self.tokens.verify(fields)
            if token is None:
                continue
            user = self._find_again(token)
            if user is not None or token.user is None:
                return AccountRights(self, self._checked(user), token)
        raise errors.Unauthorized(CHALLENGE)

    def _find_again(self, token: Token) -> User | None:
        """Return the user of a token as they are now, None where they are gone or where it is nobody's.

        A backend that only checks passwords cannot tell; there the token says what they were, until it ends.
        """
        user, access_id = token.user, token.access_id
        if user is None:
            return None
        # an application has it no longer than the access token for which it was given
        if access_id is not None and not (self._bearers and self._bearers.is_granted(user.name, access_id)):
            return None
        with suppress(NotSupported):
            user = self.backend.find(user.name)
        return user if user is None or access_id is None else replace(user, is_administrator=False)

    def _bearer(self, bearers: BearerVerifier, token: str, environ: Mapping[str, Any]) -> Bearer:
        """Return what an access token is good for. InvalidBearer, OAuthError; BackendUnavailable."""
        if not self._is_secure(environ):
            raise errors.OAuthError(
                "invalid_request",
                "Access tokens are taken over https alone; behind a proxy that speaks it, set public_url or trusted_proxies",
                challenge='Bearer realm="api", error="invalid_request"',
            )
        bearer = bearers.verify(token) if token else None
        if bearer is None:
            raise errors.InvalidBearer
        return replace(bearer, user=replace(bearer.user, is_administrator=False))

    @staticmethod
    def _checked(user: User | None) -> User | None:
        if user is not None and not user.is_active:
            raise errors.AccountInactive(username=user.name)
        return user


class AccountRights:
    """What one caller may do: a user, an application that acts for one, the bearer of a token, or anybody."""

    def __init__(
        self, access: AccountsAccess, user: User | None, token: Token | None, bearer: Bearer | None = None
    ):
        self._access = access
        self.user = user
        self.token = token
        self.bearer = bearer

    @property
    def has_token(self) -> bool:
        return self.token is not None

    @property
    def is_login(self) -> bool:
        """Whether the user is there in person. Nobody with a token, of whatever kind, is."""
        return self.user is not None and self.token is None and self.bearer is None

    def require_scope(self, action: Action) -> None:
        if not self._has_scope(action):
            assert self.bearer is not None
            raise errors.InsufficientScope(REPOSITORY_SCOPES[action][0], client_id=self.bearer.client_id)

    def _has_scope(self, action: Action) -> bool:
        return self.bearer is None or not self.bearer.scopes.isdisjoint(REPOSITORY_SCOPES[action])

    def issue_token(self, action: Action, repository: RepositoryName) -> str | None:
        """Return a token. Who came with one gets none that is good for more, or for longer."""
        token, tokens = self.token, self._access.tokens
        if token is None:
            if not self._has_scope(action):
                return None
            bearer = self.bearer
            if bearer is None:
                return tokens.issue(repository, action, self.user)
            return tokens.issue(
                repository, action, self.user, ends_by_s=bearer.expires_at_s, access_id=bearer.access_id
            )
        if action is not token.access and (action, token.access) != (Action.READ, Action.WRITE):
            return None
        return tokens.issue(
            repository,
            action,
            token.user,
            ends_by_s=token.expires_at_s,
            access_id=token.access_id,
        )

    # -- repositories

    def can_read(self, repository: RepositoryName, *tokens_for: Action) -> bool:
        """Tell whether the repository may be shown. Unauthorized for a token that is no good for that."""
        token = self.token
        if token is not None and (
            token.repository != repository or token.access not in (tokens_for or (Action.READ, Action.WRITE))
        ):
            raise errors.Unauthorized(CHALLENGE)
        return self._allows(Action.READ, repository)

    @contextmanager
    def changing(self, repository: RepositoryName) -> Iterator[None]:
        access = self._access
        with access.holders.changing(repository):
            if access.repositories.is_marked_deleted(repository):
                # whoever deleted it may have been interrupted
                self.release(repository)
            yield

    def require(self, action: Action, repository: RepositoryName, *tokens_for: Action) -> None:
        """Return if the caller may do ``action``. Unauthorized, Forbidden."""
        token = self.token
        is_other_token = token is not None and token.repository != repository
        if is_other_token or (token is not None and token.access not in (tokens_for or (action,))):
            raise errors.Unauthorized(CHALLENGE)
        if self.user is None:
            raise errors.Unauthorized(CHALLENGE)
        if not self._allows(action, repository):
            raise errors.Forbidden(repository=str(repository), username=self.user.name)

    def sees_deleted(self, repository: RepositoryName) -> bool:
        """Tell whether the caller is the registry that has the deletion before it (hub.md 6.4)."""
        token = self.token
        return token is not None and token.repository == repository and token.access is Action.DELETE

    def may_list(self, repository: RepositoryName) -> bool:
        """Tell whether search may show the repository. A token shows nothing private but its own repository."""
        token = self.token
        if token is not None and (token.repository != repository or token.access is Action.DELETE):
            return self._access.allows(None, Action.READ, repository)
        return self._allows(Action.READ, repository)

    def _allows(self, action: Action, repository: RepositoryName) -> bool:
        return self._has_scope(action) and self._access.allows(self.user, action, repository)

    # -- images

    def image_state(self, image_id: str) -> ImageState:
        self._require_images()
        # the push is looked at first: it may end in between, and then the image can be read
        is_pushing = self._can_see_push(image_id)
        if self.can_read_complete_image(image_id):
            return ImageState.READABLE
        return ImageState.PUSHING if is_pushing else ImageState.ABSENT

    def can_read_complete_image(self, image_id: str) -> bool:
        """Tell whether the caller may read a complete image."""
        access, token = self._access, self.token
        # before the holders: what a push leaves there is there before its own mark goes
        pushes = () if access.registry_is_elsewhere else tuple(access.holders.pushes(image_id))
        is_held = token is not None and access.holders.holds(token.repository, image_id)
        if token is not None and is_held and self._allows(Action.READ, token.repository):
            return True
        return self._has_holder(image_id, Action.READ) or self._is_about_to_be_held(image_id, pushes)

    def _is_about_to_be_held(self, image_id: str, pushes: Sequence[tuple[RepositoryName, Push]]) -> bool:
        """Tell whether the image was completed just now, and by a push to a repository that may be read.

        An image is complete before it is marked as held: a mark that came first would outlive a crash, and then be there for
        whatever is pushed under this id.
        """
        contents = self._access.images.completed(image_id) if pushes else None
        return contents is not None and any(
            push.has_sent(*contents) and self._can_read_now(repository) for repository, push in pushes
        )

    def _can_see_push(self, image_id: str) -> bool:
        access = self._access
        document = None if access.registry_is_elsewhere else access.images.unfinished_json(image_id)
        return document is not None and any(
            push.has_sent(document) and self._can_read_now(repository)
            for repository, push in access.holders.pushes(image_id)
        )

    def _require_images(self) -> None:
        if self.token is not None and self.token.access is Action.DELETE:
            raise errors.Unauthorized(CHALLENGE)

    def _has_holder(self, image_id: str, action: Action) -> bool:
        """Tell whether a repository holds the image to which the caller may do this."""

        def is_wanted(repository: RepositoryName) -> bool:
            return self._allows(action, repository)

        return next(self._access.holders.of(image_id, is_wanted), None) is not None

    def _can_read_now(self, repository: RepositoryName) -> bool:
        return self._allows(Action.READ, repository) and self._access.repositories.exists(repository)

    def require_parent(self, image_id: str) -> None:
        """Return if an image may build on this one. ParentNotFound: what may not be read looks absent (decisions.md 17)."""
        if self.image_state(image_id) is ImageState.ABSENT:
            raise errors.ParentNotFound(parent=image_id)

    def is_public_image(self, image_id: str) -> bool:
        access = self._access

        def is_public(repository: RepositoryName) -> bool:
            return access.allows(None, Action.READ, repository)

        return next(access.holders.of(image_id, is_public), None) is not None

    # -- pushes

    def require_image_write(self, image_id: str) -> None:
        """Return if the caller pushes the image to some repository. Unauthorized, Forbidden, ImageNotListed."""
        if self.token is not None:
            self.require(Action.WRITE, self.token.repository)
        elif self.user is None:
            raise errors.Unauthorized(CHALLENGE)
        if not (self._pushes(image_id) or self._may_write_a_holder(image_id)):
            raise errors.ImageNotListed(image_id=image_id)

    def note_json(self, image_id: str, document: bytes) -> None:
        for repository, _ in self._pushes(image_id):
            self._access.holders.note_json(repository, image_id, document)

    def has_sent_json(self, image_id: str, document: bytes) -> bool:
        return any(push.has_sent(document) for _, push in self._pushes(image_id))

    def note_layer(self, image_id: str, document: bytes, payload_checksum: str) -> None:
        for repository, _ in self._pushes(image_id):
            self._access.holders.note_layer(repository, image_id, document, payload_checksum)

    def prepare_completion(
        self, image_id: str, document: bytes, payload_checksums: Collection[str], parent: str | None
    ) -> None:
        require_layer((push for _, push in self._pushes(image_id)), document, payload_checksums)
        if parent is not None:
            # it may have been announced anew, or completed by somebody else, since this image was announced
            self.require_parent(parent)
        self._access.holders.disown_tags(image_id)

    def hold(self, image_id: str, document: bytes, payload_checksums: Collection[str]) -> None:
        holders = self._access.holders
        for repository, push in self._pushes(image_id):
            if push.has_sent(document, payload_checksums):
                holders.end_push(repository, image_id, self.can_read_complete_image)

    def announce(self, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        holders = self._access.holders
        if self._access.registry_is_elsewhere:
            # this index sees no uploads: the first to announce an id holds it (hub.md 6.3)
            for image_id in dict.fromkeys(image_ids):
                marked = list(holders.ever(image_id))
                if not marked or any(self._may_take_from(holder) for holder in marked):
                    holders.hold(repository, image_id, self.can_read_complete_image)
            return
        assert self.user is not None, "require() comes before"
        holders.announce(repository, image_ids, self.user.name, self.can_read_complete_image)

    def _may_take_from(self, holder: RepositoryName) -> bool:
        """Tell whether an image of ``holder`` may be announced elsewhere by this caller.

        What is deleted here is not deleted in the registry: whoever may not write to the deleted repository must not get
        what it held by knowing the ids.
        """
        exists = self._access.repositories.exists(holder)
        return self._allows(Action.READ if exists else Action.WRITE, holder)

    def release(self, repository: RepositoryName) -> None:
        if self._access.registry_is_elsewhere:
            return  # the registry elsewhere keeps the images, and so they stay whose they were
        repositories = self._access.repositories
        image_ids = list(repositories.tags_or_none(repository, even_deleted=True).values())
        with suppress(errors.ImageListNotFound):
            image_ids += listed_ids(repositories.image_list(repository, even_deleted=True))
        if repositories.exists(repository):
            # first of all, or its tags would show for a moment what they reach and the repository does not hold
            repositories.mark_deleted(repository)
        self._access.holders.release(repository, image_ids)

    def _pushes(self, image_id: str) -> list[tuple[RepositoryName, Push]]:
        """Return the pushes of the image that the caller goes on with (decisions.md 2).

        With Basic those count that the caller announced. What others announced counts where there is nothing else, and where the
        caller may write without being an administrator: what one of those pushes, who may write everywhere, is not for
        whoever announced its id too.
        """
        holders, token = self._access.holders, self.token
        if token is not None:
            if token.access is not Action.WRITE or not self._allows(Action.WRITE, token.repository):
                return []
            push = holders.push(token.repository, image_id)
            return [] if push is None else [(token.repository, push)]
        if self.user is None:
            return []
        pushes = [
            (repository, push)
            for repository, push in holders.pushes(image_id)
            if self._allows(Action.WRITE, repository)
        ]
        own = [(repository, push) for repository, push in pushes if self.user.name in push.users]
        if own or self._may_write_a_holder(image_id):
            return own
        user = replace(self.user, is_administrator=False)
        return [
            (repository, push)
            for repository, push in pushes
            if self._access.allows(user, Action.WRITE, repository)
        ]

    def _may_write_a_holder(self, image_id: str) -> bool:
        if self.token is not None:
            return self._access.holders.holds(self.token.repository, image_id)
        return self._has_holder(image_id, Action.WRITE)
