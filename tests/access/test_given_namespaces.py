"""A namespace that an administrator gives to another user (decisions.md 21)."""

from __future__ import annotations

from support.clock import Clock

from v1registry import MemoryStorage
from v1registry.access.namespaces import Namespaces, namespace_key
from v1registry.rights import User


def test_old_owner_of_a_namespace_that_was_given_away_is_soon_refused() -> None:
    storage, clock = MemoryStorage(), Clock()
    namespaces = Namespaces(storage, clock=clock)
    old, new = User("Mira"), User("mira")
    assert (namespaces.admits(old), namespaces.admits(new)) == (True, False)
    storage.delete(namespace_key("mira"))
    assert namespaces.admits(new)
    clock.now_s += 61
    assert (namespaces.admits(old), namespaces.admits(new)) == (False, True)
