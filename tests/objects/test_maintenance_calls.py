"""How many calls of an object store the commands of maintenance make for each image that is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest
from obstore.store import MemoryStore
from support.converted import store_image
from support.counted_objects import CALLS, count_calls
from support.engine_client import make_image, random_layer
from v1registry_fakes.clock import FakeClock

from v1registry.housekeeping.service import Housekeeping
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.parallel import THREADS
from v1registry.storage.objects.store import ObjectAccess

IMAGES: Final = 60
REPOSITORIES: Final = 6

RUNS: Final[dict[str, tuple[float, Callable[[Housekeeping], object]]]] = {
    "usage": (4, lambda housekeeping: housekeeping.usage()),
    "verify": (6, lambda housekeeping: list(housekeeping.verify(reads_layers=False).findings())),
    "verify of layers": (7, lambda housekeeping: list(housekeeping.verify(restarts=True).findings())),
    "gc": (5, lambda housekeeping: housekeeping.collect_garbage(grace_s=0)),
}


@pytest.fixture
def store() -> MemoryStore:
    """A store with images, each with a tag, in some repositories."""
    store = MemoryStore()
    storage = ObjectStorage(store, groups=Groups(KEY_GROUPS))
    for number in range(IMAGES):
        image = make_image(random_layer(20_000, number), name=str(number))
        store_image(storage, image)
        key = f"repositories/team/app{number % REPOSITORIES}/tag_v{number}"
        storage.write(key, image.image_id.encode())
    return store


@pytest.mark.parametrize("name", RUNS)
def test_run_costs_few_calls_for_each_image(
    store: MemoryStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, run = RUNS[name]
    counted = count_calls(monkeypatch)
    clock = FakeClock()
    # a state of a group stays as new as it was, however slow the machine is
    clock.freeze()
    storage = ObjectStorage(store, groups=Groups(KEY_GROUPS), clock=clock)
    with counted.counting() as calls:
        run(Housekeeping(storage))
    assert len(calls) <= most * IMAGES, calls


@pytest.mark.parametrize("name", RUNS)
def test_run_makes_a_bounded_number_of_calls_at_once(
    store: MemoryStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return method(*args, **options)
            finally:
                with lock:
                    running -= 1

        return call

    for method in CALLS:
        monkeypatch.setattr(ObjectAccess, method, counting(getattr(ObjectAccess, method)))
    RUNS[name][1](Housekeeping(ObjectStorage(store, groups=Groups(KEY_GROUPS))))
    assert 1 <= most <= THREADS
