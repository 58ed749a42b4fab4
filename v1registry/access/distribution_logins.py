"""Who is asking below ``/v2/``: by Basic, by a token of the distribution API, or by an OAuth access token
(distribution.md 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .. import errors
from ..accounts.base import BackendUnavailable, NotSupported, UnknownUser
from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..rights import Access, Action, Rights, User
from ..settings import Settings
from ..signing import Keys
from .account_rights import AccountRights
from .accounts import AccountsAccess
from .credentials import Basic, parse_authorization
from .distribution_tokens import DistributionToken, DistributionTokens, Scope


@dataclass(frozen=True)
class Login:
    """The caller of one request of the distribution API."""

    #: of the user, whatever the scope of the token is. A token that an application got has those of the
    #: application
    rights: Rights
    token: DistributionToken | None = None  #: None if the caller came without one
    public: Rights | None = None  #: of an anonymous caller; None on a server without accounts

    @property
    def is_anonymous(self) -> bool:
        """Whether the server has accounts, and the caller is none of their users."""
        return self.public is not None and self.rights.user is None

    def has_right(self, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the user may do this, whatever the scope of the token is."""
        if self.is_anonymous and action is not Action.READ:
            return False
        return self.rights.allows(action, repository)

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the caller may do this: within the scope of the token, or as an anonymous caller."""
        if not self.has_right(action, repository):
            return False
        if self.token is None or self.token.scope.allows(action, repository):
            return True
        return action is Action.READ and self.public is not None and self.public.allows(action, repository)

    def part_of(self, asked: Scope) -> Scope:
        """Return the part of a scope that the user has.

        What is missing counts like what is hidden, unless the user may create it. So a token does not tell
        which of the two it is.
        """
        found = {
            name: frozenset(action for action in actions if self.has_right(action, name))
            for name, actions in asked.actions.items()
            if self.may_know(name)
        }
        return Scope({name: actions for name, actions in found.items() if actions}, asked.has_catalog)

    def may_know(self, repository: RepositoryName) -> bool:
        """Tell whether the repository exists, or the user may create it."""
        return (
            self.public is None
            or self.has_right(Action.WRITE, repository)
            or self.rights.incarnation_of(repository) != ""
        )


@contextmanager
def _backend_asked() -> Iterator[None]:
    """Report a backend that cannot answer as a server that cannot.

    :raises Unavailable: the backend cannot answer now.
    """
    try:
        yield
    except BackendUnavailable as error:
        raise errors.Unavailable("Logins cannot be checked now, retry later") from error


class Logins:
    """Finds out who is asking below ``/v2/``, and issues tokens. Safe for threads.

    :param access: of the application.
    :param accounts: the same; None if the application has no accounts.
    """

    def __init__(self, access: Access, tokens: DistributionTokens, accounts: AccountsAccess | None = None):
        self._access = access
        self._accounts = accounts
        self._tokens = tokens

    @classmethod
    def of(
        cls,
        settings: Settings,
        keys: Keys,
        access: Access,
        accounts: AccountsAccess | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Logins:
        """Return the logins of an application.

        :param keys: sign the tokens of a server with accounts. Without accounts tokens are not checked, so
            no key is made for them.
        """
        tokens = DistributionTokens(
            settings.secret if accounts is None else keys,
            lifetime_s=settings.v2_token_lifetime_s,
            refresh_lifetime_s=settings.v2_refresh_lifetime_s,
            clock=clock,
        )
        return cls(access, tokens, accounts)

    def login(
        self, authorization: str | None, environ: Mapping[str, Any], service_of: Callable[[], str]
    ) -> Login:
        """Return the caller of a request.

        :param service_of: returns the service for which a token has to be.
        :raises Unauthorized: the credentials are wrong; :class:`InvalidBearer` if they are a token.
        :raises AccountInactive: the account is not activated, or is disabled.
        :raises TooManyAttempts: too many logins failed.
        :raises OAuthError: an OAuth access token came over plain http.
        :raises Unavailable: the backend cannot answer now.
        """
        accounts = self._accounts
        if accounts is None:
            return Login(self._access.rights(None, environ))
        public = AccountRights(accounts, None, None)
        with _backend_asked():
            scheme, _, text = (authorization or "").strip().partition(" ")
            if scheme.lower() == "bearer" and "." in text:
                # no OAuth access token has a dot
                return self._login_of_token(accounts, text.strip(), service_of(), public)
            credentials = parse_authorization(authorization)
            if isinstance(credentials, list):
                raise errors.Unauthorized("", "Tokens of the Docker Registry API v1 are not accepted here")
            bearer = accounts.bearer_of(credentials, environ) if isinstance(credentials, Basic) else None
            if bearer is not None:
                return Login(AccountRights(accounts, bearer.user, None, bearer), public=public)
        return Login(accounts.rights(authorization, environ), public=public)

    def login_of_refresh(self, text: str, service: str) -> Login:
        """Return the user of a refresh token.

        :raises InvalidBearer: it is invalid, it expired, the password was changed, or the account ended.
        :raises Unavailable: the backend cannot answer now.
        """
        accounts = self._accounts
        if accounts is None:
            return Login(self._access.rights(None, {}))
        token = self._tokens.verify_refresh(text, service)
        if token is None:
            raise errors.InvalidBearer
        said = User(token.username)
        with _backend_asked():
            user = accounts.find_again(said, token.mark)
        # a backend that cannot look the user up gives back what the token says: too little for so long a time
        if user is None or user is said or not user.is_active:
            raise errors.InvalidBearer
        return Login(AccountRights(accounts, user, None), public=AccountRights(accounts, None, None))

    def issue(self, login: Login, asked: Scope, service: str) -> tuple[str, Scope, int, int]:
        """Return an access token, its scope, when it was issued, and its lifetime in seconds.

        :param asked: the token has the part of it that the caller has.
        :raises Unavailable: the backend cannot answer now.
        """
        rights, scope = login.rights, login.part_of(asked)
        mark = ""
        if rights.user is not None and self._accounts is not None:
            with _backend_asked():
                mark = self._accounts.mark_of(rights.user)
        token, issued_at_s, lifetime_s = self._tokens.issue(
            scope, rights.user, service=service, mark=mark, bearer=rights.bearer
        )
        return token, scope, issued_at_s, lifetime_s

    def issue_refresh(self, login: Login, service: str) -> str | None:
        """Return a refresh token; None if nothing would end it when the user changes the password.

        :raises Unavailable: the backend cannot answer now.
        """
        accounts, user = self._accounts, login.rights.user
        if accounts is None or user is None or login.rights.bearer is not None:
            return None
        with _backend_asked(), suppress(NotSupported, UnknownUser):
            if accounts.backend.account(user.name).password_mark:
                mark = accounts.mark_of(user)
                return self._tokens.issue_refresh(user.name, service=service, mark=mark)
        return None

    def _login_of_token(
        self, accounts: AccountsAccess, text: str, service: str, public: AccountRights
    ) -> Login:
        """Return the user of a token, as they are now.

        :raises InvalidBearer: it is invalid or expired, or the account or the access token ended.
        """
        token = self._tokens.verify(text, service)
        if token is None:
            raise errors.InvalidBearer
        if token.user is None:
            return Login(public, token, public)
        bearer = token.bearer
        user = accounts.find_again(token.user, token.mark, None if bearer is None else bearer.access_id)
        if user is None or not user.is_active:
            raise errors.InvalidBearer
        return Login(AccountRights(accounts, user, None, bearer), token, public)
