"""Which images a caller may announce to an index whose registry is elsewhere (hub.md 6.3)."""

from __future__ import annotations

from itertools import islice

from ..names import RepositoryName
from ..registry.repositories import Repositories
from ..rights import Action, Rights
from .holder_search import MOST_HIDDEN, HolderSearch
from .policy import own_namespaces


def may_announce(rights: Rights, image_id: str, search: HolderSearch, repositories: Repositories) -> bool:
    """Tell whether the caller may take an image from a repository that has it.

    An image that no repository has may be taken too.
    """
    near, seeker = ((), "") if rights.user is None else (own_namespaces(rights.user), rights.user.name)
    candidates = search.candidates(image_id, near, seeker)
    is_held = False
    for holder in islice(candidates, MOST_HIDDEN):
        if _may_take_from(rights, holder, repositories):
            search.remember(image_id, seeker, holder)
            return True
        is_held = True
    return not is_held


def _may_take_from(rights: Rights, holder: RepositoryName, repositories: Repositories) -> bool:
    """Tell whether the caller may announce an image of ``holder`` to a different repository.

    A repository that is deleted here still exists in the registry. Its images are not for those who know the
    ids.
    """
    exists = repositories.exists(holder)
    return rights.allows(Action.READ if exists else Action.WRITE, holder)
