"""Who is asking below ``/v2/``, and what they may do (distribution.md 3)."""

from __future__ import annotations

from .. import errors
from ..access.distribution_logins import Login
from ..names import RepositoryName
from ..rights import Action, Rights
from .services import Request


class Caller:
    """The caller of one request of the distribution API."""

    def __init__(self, login: Login):
        self.login = login
        #: of the user, whatever the scope of the caller's token is: ask :meth:`allows` what the caller may do
        self.rights: Rights = login.rights

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the caller may do this. READ is pull, WRITE is push."""
        return self.login.allows(action, repository)

    def require(self, action: Action, repository: RepositoryName) -> None:
        """Check that the caller may do this.

        :raises Unauthorized: the caller is anonymous, and could log in; or the scope of the token lacks it.
        :raises InsufficientScope: an application has no scope for it.
        :raises NameUnknown: the user may not read the repository; the same as for a missing one.
        :raises Forbidden: the user may not do this.
        """
        self.rights.require_scope(action)
        if self.allows(action, repository):
            return
        self._require_scope_or_login(self.login.has_right(action, repository))
        if action is Action.READ:
            raise errors.NameUnknown(repository=str(repository)[:300])
        self.rights.require(action, repository)

    def require_catalog(self) -> None:
        """Check that the caller may list repositories: those for which :meth:`Rights.may_list` is true.

        :raises Unauthorized: the caller came without credentials; or the scope of the token lacks it.
        :raises InsufficientScope: an application has no scope for it.
        """
        self.rights.require_scope(Action.READ)
        token = self.login.token
        if token is None or not token.scope.has_catalog:
            self._require_scope_or_login(token is not None)

    def require_login(self) -> None:
        """Check that the caller has credentials: a token of an anonymous caller is enough.

        :raises Unauthorized: there are none, and the caller could log in.
        """
        if self.login.token is None and self.login.is_anonymous:
            raise errors.Unauthorized("")

    def hide_missing(self, repository: RepositoryName) -> None:
        """Return if the caller may know that something in the repository does not exist.

        Otherwise a repository that does not exist and one that is hidden would get different answers.

        :raises Unauthorized: the repository does not exist, and the caller is anonymous.
        :raises NameUnknown: it does not exist, and the user may not create it.
        """
        if self.login.may_know(repository):
            return
        self._require_scope_or_login(False)
        raise errors.NameUnknown(repository=str(repository)[:300])

    def _require_scope_or_login(self, has_right: bool) -> None:
        """Return if another token would not help, nor a login.

        :param has_right: whether the user may do what is asked.
        :raises Unauthorized: the caller is anonymous.
        :raises TokenTooNarrow: the scope of the token is the obstacle.
        """
        if self.login.token is not None and (has_right or self.login.is_anonymous):
            raise errors.TokenTooNarrow
        if self.login.is_anonymous:
            raise errors.Unauthorized("")


def caller_of(request: Request) -> Caller:
    """Return the caller of a request. They are looked up once per request.

    :raises Unauthorized: the credentials are wrong.
    """
    found: Caller | None = request.__dict__.get("_caller")
    if found is None:
        authorization = request.headers.get("Authorization")
        login = request.services.logins.login(authorization, request.environ, lambda: request.origin.host)
        request.use_rights(login.rights)
        found = request.__dict__["_caller"] = Caller(login)
    return found
