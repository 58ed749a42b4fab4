"""Who is asking, on a server with accounts of its own: logins, tokens, and what is known of their users
(hub.md 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from logging import WARNING
from typing import Any, Final

from .. import errors
from ..accounts.base import Backend, BackendUnavailable, BearerVerifier, NotSupported, UnknownUser
from ..log import audit
from ..names import RepositoryName
from ..registry.staging import Staging
from ..rights import Action, Bearer, Listing, Rights, User
from ..wsgi.origin import Proxies
from .account_rights import CHALLENGE, AccountRights
from .announcements import Announcements
from .attempts import LoginLimiter
from .credentials import Basic, BearerToken, TokenFields, is_plain_token, parse_authorization
from .holders import Holders
from .namespaces import Namespaces
from .policy import NamespacePolicy, Policy, own_namespaces
from .tokens import Token, Tokens

#: The longest name of a failed log-in in a log line, in characters.
_LONGEST_LOGGED: Final = 255


def _is_https(environ: Mapping[str, Any]) -> bool:
    return environ.get("wsgi.url_scheme") == "https"


class AccountsAccess:
    """Finds out who is asking: by Basic, by a token, or by what the surrounding application put into the
    environment.

    An access token of OAuth lets an application do what its scopes and its user's rights both allow. The
    rights of an administrator are not passed on: to an application the user is like any other.

    :param standalone: the value of ``X-Docker-Registry-Standalone`` (decisions.md 17).
    :param registry_is_elsewhere: the images are on other servers, which ask this one about tokens (hub.md 6).
    :param namespaces: gives namespaces to users from outside. If None, all names of users differ without
        case too.
    :param proxies: trusted proxies; their headers name the address of a login.
    :param bearers: knows the access tokens; without it none is accepted.
    :param is_secure: tells of a WSGI environment whether an access token may be sent that way (RFC 6750,
        5.3).
    """

    has_accounts = True

    def __init__(
        self,
        backend: Backend,
        policy: Policy,
        tokens: Tokens,
        holders: Holders,
        staging: Staging,
        announcements: Announcements,
        limiter: LoginLimiter,
        *,
        namespaces: Namespaces | None = None,
        standalone: str = "False",
        registry_is_elsewhere: bool = False,
        proxies: Proxies | None = None,
        bearers: BearerVerifier | None = None,
        is_secure: Callable[[Mapping[str, Any]], bool] = _is_https,
    ):
        self.backend = backend
        self.policy = policy
        self.tokens = tokens
        self.holders = holders
        self.staging = staging
        self.announcements = announcements
        self.limiter = limiter
        self._namespaces = namespaces
        self.registry_is_elsewhere = registry_is_elsewhere
        self.proxies = proxies or Proxies()
        self._bearers = bearers
        self._is_secure = is_secure
        # engines send their password along with every call to a standalone server over https, to its
        # endpoints too
        self.standalone = standalone

    def rights(self, authorization: str | None, environ: Mapping[str, Any]) -> Rights:
        """Return the caller's rights.

        :raises Unauthorized: the credentials are invalid or expired.
        :raises AccountInactive: the account is not activated, or is disabled.
        :raises TooManyAttempts: too many logins failed.
        :raises OAuthError: the access token may not be sent like this.
        :raises Unavailable: the backend cannot answer now.
        """
        try:
            credentials = parse_authorization(authorization)
            if credentials is None:
                user = self._admitted(self.backend.user_of_request(environ))
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
        """Return the rights of an active user whose login was checked elsewhere."""
        return AccountRights(self, user, None)

    def forget(self) -> None:
        """Do nothing: no answers of others are remembered here."""

    def is_good_token(self, authorization: str | None, repository: RepositoryName) -> bool:
        """Tell whether the header holds a token of the repository, and its user still has the right.

        :raises BackendUnavailable: the backend cannot answer now.
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
        user = self._user_of(token)
        if token.user is not None and (user is None or not user.is_active):
            return False
        return self.allows(user, token.access, token.repository)

    def allows(self, user: User | None, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the policy lets a user, or None, an anonymous caller, do something to a repository."""
        return self.policy.allows(user, action, repository.namespace, repository.repository)

    def trusts(self, user: User, repository: RepositoryName) -> bool:
        """Tell whether pushes of a user may take over images of a repository (decisions.md 18)."""
        return self.policy.trusts(user, repository.namespace, repository.repository)

    def listing(self, user: User | None) -> Listing | None:
        """Return which repositories a user, or None, an anonymous caller, may read.

        None if the policy has to be asked about each.
        """
        return self.policy.listing(user)

    @property
    def trusts_namespaces_only(self) -> bool:
        """Whether ``trusts`` is true only for the user's own namespaces."""
        return self.policy.trusts_namespaces_only

    def namespaces_of(self, user: User) -> tuple[str, ...]:
        """Return the namespaces that the user may write, empty if the policy is not by namespaces."""
        return own_namespaces(user) if isinstance(self.policy, NamespacePolicy) else ()

    def _candidates(self, authorization: str | None, tokens: list[TokenFields]) -> list[TokenFields]:
        """Return the tokens of a header that may count.

        A registry elsewhere reads the header itself, and takes the last value of each field (docker-registry
        0.9.1, toolkit.py). So only the last token counts then, and only if no parser can see a different one.
        """
        if not self.registry_is_elsewhere:
            return tokens
        return tokens[-1:] if is_plain_token(authorization) else []

    def log_in(self, credentials: Basic, environ: Mapping[str, Any]) -> User:
        """Return the active user of a name and a password.

        :raises Unauthorized: the password is wrong, or there is no such user.
        :raises AccountInactive: the account is not activated, or is disabled.
        :raises TooManyAttempts: too many logins failed.
        """
        address = self.proxies.client_address(environ)
        username = credentials.username[:_LONGEST_LOGGED]
        try:
            with self.limiter.attempt(credentials.username, address) as attempt:
                user = self.backend.authenticate(credentials.username, credentials.password)
                if user is None:
                    attempt.failed()
                else:
                    attempt.succeeded()
        except errors.TooManyAttempts:
            audit("blocked log-in of %r: too many failures", username, level=WARNING)
            raise
        if user is None:
            audit("failed log-in of %r: wrong password or unknown user", username, level=WARNING)
            raise errors.Unauthorized(CHALLENGE)
        if not user.is_active:
            audit("failed log-in of %r: the account is not active", username, level=WARNING)
        checked = self._checked(self._admitted(user))
        assert checked is not None
        return checked

    def _admitted(self, user: User | None) -> User | None:
        """Return the user of the request if the namespace of the name is theirs.

        :raises Unauthorized: it belongs to a user whose name differs in case only (decisions.md 21).
        """
        if user is not None and self._namespaces is not None and not self._namespaces.admits(user):
            raise errors.Unauthorized(CHALLENGE)
        return user

    def _rights_of_token(self, candidates: list[TokenFields]) -> Rights:
        """Return the rights of the last valid token: engines join several into one header.

        :raises Unauthorized: none is valid.
        """
        for fields in reversed(candidates):
            token = self.tokens.verify(fields)
            if token is None:
                continue
            user = self._user_of(token)
            if user is not None or token.user is None:
                return AccountRights(self, self._checked(user), token)
        raise errors.Unauthorized(CHALLENGE)

    def _user_of(self, token: Token) -> User | None:
        """Return the user of a token as they are now; None if the token ended, or is anonymous."""
        return None if token.user is None else self.find_again(token.user, token.mark, token.access_id)

    def find_again(self, user: User, mark: str, access_id: str | None = None) -> User | None:
        """Return the user of a token as they are now; None if the account or the access token ended.

        A backend that only checks passwords cannot tell. Then the token's own words count until it expires.

        :param user: as the token says.
        :param mark: of the account and its password, as the token says.
        :param access_id: of the OAuth access token with which an application got the token.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        # an application has the token no longer than the access token for which it was given
        if access_id is not None and not (self._bearers and self._bearers.is_granted(user.name, access_id)):
            return None
        try:
            account = self.backend.account(user.name)
        except UnknownUser:
            return None
        except NotSupported:
            return user
        if mark != self.tokens.mark_of(account.user.id, account.password_mark):
            return None  # the password was changed, or a later account has the name
        return account.user if access_id is None else replace(account.user, is_administrator=False)

    def mark_of(self, user: User) -> str:
        """Return what a token says about the account of its user: it differs once the password is changed.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        try:
            account = self.backend.account(user.name)
        except (NotSupported, UnknownUser):
            return ""
        return self.tokens.mark_of(account.user.id, account.password_mark)

    def bearer_of(self, credentials: Basic, environ: Mapping[str, Any]) -> Bearer | None:
        """Return what an access token allows that came as the password of its user; None if it is none.

        :raises AccountInactive: the account is not activated, or is disabled.
        :raises OAuthError: the request came over plain http.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        found = self._bearers.verify(credentials.password) if self._bearers and credentials.password else None
        if self._bearers is None or found is None or found.user.name != credentials.username:
            return None
        bearer = self._bearer(self._bearers, credentials.password, environ)
        self._checked(bearer.user)
        return bearer

    def _bearer(self, bearers: BearerVerifier, token: str, environ: Mapping[str, Any]) -> Bearer:
        """Return what an access token allows.

        :raises InvalidBearer: it is unknown, expired or revoked.
        :raises OAuthError: the request came over plain http.
        :raises BackendUnavailable: the backend cannot answer now.
        """
        if not self._is_secure(environ):
            raise errors.OAuthError(
                "invalid_request",
                "Access tokens are taken over https alone; behind a proxy that speaks it, "
                "set public_url or trusted_proxies",
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
