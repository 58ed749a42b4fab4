"""Who may read, write and delete which repository."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..names import DEFAULT_NAMESPACE, RepositoryName
from ..rights import EVERYTHING, NOTHING, Action, Listing, User


class RepositoryFacts(Protocol):
    """The questions of the policy about a repository. Repositories answers them."""

    def is_private(self, name: RepositoryName) -> bool:
        """Return whether the repository is private; a missing one is not."""

    def granted(self, name: RepositoryName, user: User) -> Action | None:
        """Return READ, or WRITE, which includes reading, if the user is a collaborator; None if not."""


#: A function that replaces the policy: ``(user or None, action, namespace, repository) -> bool``.
PolicyFunction = Callable[[User | None, Action, str, str], bool]


class Policy(Protocol):
    """Decides what a user may do."""

    #: whether ``trusts`` is true only for the user's own namespaces and ``library``
    trusts_namespaces_only: bool

    def allows(self, user: User | None, action: Action, namespace: str, repository: str) -> bool:
        """Return whether the user may do this.

        :param user: an active user; None for a caller without credentials.
        :param repository: the repository may be missing.
        """

    def trusts(self, user: User, namespace: str, repository: str) -> bool:
        """Return whether pushes of the user may take over images of the repository without an upload.

        The user trusts those who write there (decisions.md 18). Two things do not count: the right of an
        administrator, and the grant of a collaborator, because a stranger may have given it.
        """

    def listing(self, user: User | None) -> Listing | None:
        """Return which repositories a user may read; None if each has to be asked about.

        :param user: an active user; None for a caller without credentials.
        """


def own_namespaces(user: User) -> tuple[str, ...]:
    """Return the namespaces that a user writes by the rules of the Hub. ``library`` is never one of them."""
    names = dict.fromkeys((user.namespace, *sorted(user.groups)))
    return tuple(name for name in names if name != DEFAULT_NAMESPACE)


def _owns(user: User, namespace: str) -> bool:
    """Tell whether a namespace is one of those that the user writes by the rules of the Hub."""
    return namespace != DEFAULT_NAMESPACE and (namespace == user.namespace or namespace in user.groups)


class NamespacePolicy:
    """The rules of the Hub.

    A user writes and deletes in the namespace of the user's name and in those of the user's groups.
    ``library`` belongs to administrators, who may do everything. Public repositories are read by all. Private
    ones are read by users who may write there, and by collaborators, some of whom may write too.

    :param facts: the repositories.
    """

    trusts_namespaces_only = True

    def __init__(self, facts: RepositoryFacts):
        self._facts = facts

    def allows(self, user: User | None, action: Action, namespace: str, repository: str) -> bool:
        if user is not None and (user.is_administrator or _owns(user, namespace)):
            return True
        name = RepositoryName(namespace, repository)
        if user is not None:
            granted = self._facts.granted(name, user)
            if granted is Action.WRITE and action is not Action.DELETE:
                return True
            if granted is not None and action is Action.READ:
                return True
        return action is Action.READ and not self._facts.is_private(name)

    def trusts(self, user: User, namespace: str, repository: str) -> bool:
        return _owns(user, namespace)

    def listing(self, user: User | None) -> Listing:
        if user is None:
            return Listing(has_public=True)
        if user.is_administrator:
            return EVERYTHING
        return Listing(has_public=True, namespaces=frozenset(own_namespaces(user)), collaborator=user)


class MembersPolicy:
    """The setting ``policy = members``: users who are logged in may do everything, all other callers
    nothing.
    """

    trusts_namespaces_only = False

    def allows(self, user: User | None, action: Action, namespace: str, repository: str) -> bool:
        return user is not None

    def trusts(self, user: User, namespace: str, repository: str) -> bool:
        return True

    def listing(self, user: User | None) -> Listing:
        return NOTHING if user is None else EVERYTHING


class CallablePolicy:
    """A policy that asks a function.

    :param function: gets what :meth:`Policy.allows` gets.
    """

    trusts_namespaces_only = False

    def __init__(self, function: PolicyFunction):
        self._function = function

    def allows(self, user: User | None, action: Action, namespace: str, repository: str) -> bool:
        return self._function(user, action, namespace, repository)

    def trusts(self, user: User, namespace: str, repository: str) -> bool:
        plain = replace(user, is_administrator=False)
        return self._function(plain, Action.WRITE, namespace, repository)

    def listing(self, user: User | None) -> None:
        return None
