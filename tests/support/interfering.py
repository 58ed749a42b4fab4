"""A progress of maintenance that pushes and deletes at each step: pushes beside a run."""

from __future__ import annotations

from support.accounts_world import AccountsWorld, image_of

#: How many pushes one run gets.
_MOST: int = 40


class Interfering:
    """Pushes as alice to a new repository at each step of a run, and deletes every third one."""

    def __init__(self, world: AccountsWorld):
        self._world = world
        self.pushes = 0

    def start(self, label: str, total: int | None, unit: str, /) -> Interfering:
        self.advance(0)
        return self

    def advance(self, number: int, /) -> None:
        if self.pushes == _MOST:
            return
        self.pushes += 1
        alice, name = self._world.person("alice"), f"alice/new{self.pushes}"
        base = image_of("base")
        alice.push(name, base, image_of(f"new{self.pushes}", base))
        if self.pushes % 3 == 0:
            assert alice.delete(name).status_int == 200

    def finish(self) -> None:
        self.advance(0)
