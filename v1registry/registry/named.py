"""The repository that the path of a request names."""

from __future__ import annotations

from .. import errors
from ..names import RepositoryName
from ..rights import Action
from .services import Request


def named_repository(request: Request) -> RepositoryName:
    """Return the repository of the path. Whether the caller may read it was not checked.

    :raises InvalidRepositoryName: the name is too odd to be looked for.
    """
    return RepositoryName.parse(request.fields["repository"])


def writable_repository(
    request: Request, action: Action = Action.WRITE, *tokens_for: Action
) -> RepositoryName:
    """Return the repository of the path.

    :param tokens_for: a token must allow at least one of these actions. Default: ``action``.
    :raises InvalidRepositoryName: a new repository may not have this name.
    :raises Unauthorized: the caller is anonymous, or the token does not allow it.
    :raises Forbidden: the user may not do it.
    """
    name = RepositoryName.parse(request.fields["repository"]).checked()
    request.rights.require(action, name, *tokens_for)
    return name


def existing_repository(request: Request, action: Action, *tokens_for: Action) -> RepositoryName:
    """Return the repository of the path for a deletion. What exists can be deleted under any name
    (decisions.md 7).

    :param tokens_for: a token must allow at least one of these actions. Default: ``action``.
    :raises InvalidRepositoryName: it does not exist, and no repository may have this name.
    :raises Unauthorized: the caller is anonymous, or the token does not allow it.
    :raises Forbidden: the user may not do it.
    """
    name, repositories = named_repository(request), request.services.repositories
    # the rights first: to others an existing name must look like a missing one
    request.rights.require(action, name, *tokens_for)
    try:
        return name.checked()
    except errors.InvalidRepositoryName:
        if repositories.exists(name) or repositories.is_marked_deleted(name):
            return name
        raise
