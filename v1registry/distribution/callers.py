"""Who is asking below ``/v2/``, and what they may do (distribution.md 3)."""

from __future__ import annotations

from typing import Any

from .. import errors
from ..names import RepositoryName
from ..rights import Action, Rights
from ..wsgi.request import Request


class Caller:
    """The caller of one request of the distribution API."""

    def __init__(self, request: Request[Any]):
        self._request = request
        self.rights: Rights = request.rights

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the caller may do this. READ is pull, WRITE is push."""
        if action is Action.READ:
            return self.rights.can_read(repository)
        return self.rights.allows(action, repository)

    def require(self, action: Action, repository: RepositoryName) -> None:
        """Check that the caller may do this.

        :raises Unauthorized: the caller is anonymous, and could log in.
        :raises NameUnknown: the user may not read the repository; the same as for a missing one.
        :raises Denied: the user may read it, and not do this.
        """
        if self.allows(action, repository):
            return
        self.rights.require_login()
        raise errors.NameUnknown if action is Action.READ else errors.Denied


def caller_of(request: Request[Any]) -> Caller:
    """Return the caller of a request. They are looked up once per request.

    :raises Unauthorized: the credentials are wrong.
    """
    found: Caller | None = request.__dict__.get("_caller")
    if found is None:
        found = request.__dict__["_caller"] = Caller(request)
    return found
