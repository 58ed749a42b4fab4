"""The scopes for which clients ask: texts such as ``repository:acme/app:pull,push`` (distribution.md 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .. import errors
from ..access.distribution_tokens import Scope
from ..names import RepositoryName, parse_v2_name
from ..rights import Action

#: The action in a scope -> what it is here.
ACTIONS: Final = {"pull": Action.READ, "push": Action.WRITE, "delete": Action.DELETE}

#: The scope of the list of repositories.
CATALOG: Final = "registry:catalog:*"

#: The most scopes in one request, so that a token fits into a header.
MOST_SCOPES: Final = 16

#: The longest text with scopes, in characters.
_LONGEST: Final = 16_384


def parse_scopes(texts: Iterable[str]) -> Scope:
    """Return what the scopes of a request ask for. Those of unknown types and invalid names are ignored.

    :param texts: each has scopes with blanks between them.
    :raises BadRequest: there are too many.

    >>> scope = parse_scopes(["repository:acme/app:pull plugin:acme/x:pull", "registry:catalog:*"])
    >>> [str(name) for name in scope.actions], scope.has_catalog
    (['acme/app'], True)
    """
    joined = " ".join(texts)
    words = joined[:_LONGEST].split()
    if len(words) > MOST_SCOPES or len(joined) > _LONGEST:
        raise errors.BadRequest(f"Too many scopes: at most {MOST_SCOPES} are accepted in one request")
    actions: dict[RepositoryName, frozenset[Action]] = {}
    has_catalog = False
    for word in words:
        kind, _, rest = word.partition(":")
        name, _, asked = rest.rpartition(":")
        if kind == "registry":
            has_catalog = has_catalog or (name == "catalog" and "*" in asked.split(","))
        elif kind == "repository":
            try:
                repository = parse_v2_name(name)
            except errors.NameInvalid:
                continue
            actions[repository] = actions.get(repository, frozenset()) | _actions_of(asked)
    return Scope(actions, has_catalog)


def _actions_of(text: str) -> frozenset[Action]:
    names = text.split(",")
    if "*" in names:
        return frozenset(ACTIONS.values())
    return frozenset(ACTIONS[name] for name in names if name in ACTIONS)


def scope_text(scope: Scope) -> str:
    """Return a scope as clients write it.

    >>> scope_text(parse_scopes(["repository:library/app:* registry:catalog:*"]))
    'repository:app:pull,push,delete registry:catalog:*'
    """
    words = [
        f"repository:{name.short}:{','.join(text for text, action in ACTIONS.items() if action in actions)}"
        for name, actions in scope.actions.items()
    ]
    return " ".join([*words, *([CATALOG] if scope.has_catalog else [])])
