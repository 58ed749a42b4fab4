"""Measure the runs of maintenance over an object store in memory whose calls take some milliseconds.

    python tests/benchmarks/bench_slow_objects.py [--images 2000] [--call-ms 5] [--only usage,gc]

Each repository has ten images in a chain with a tag each, with accounts; every second one has an artifact of
``/v2/`` too. Each run is made by a new process-like storage, which has seen no document. The columns are the
time on the clock, the CPU time, the calls of the store, and how many of them ran at once.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bench_housekeeping import Filler
from obstore.store import MemoryStore

from v1registry import MemoryStorage, Storage
from v1registry.assembly import assemble
from v1registry.cli import prepare_v2
from v1registry.clock import Clock
from v1registry.housekeeping.copying import copy_storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage

_IN_CHAIN = 10

#: How much later than the images the collections are, in seconds.
_LATER_S: Final = 2 * 24 * 3600


class LaterClock(Clock):
    """Is days ahead."""

    def time_s(self) -> float:
        return super().time_s() + _LATER_S


class ObjectFiller(Filler):
    """Fills a storage with images whose layers are tar archives and have objects of their own."""

    def __init__(self, storage: Storage):
        super().__init__(Path())
        self._storage = storage

    def write(self, key: str, value: object) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._storage.write(key, data)

    def layer(self, image_id: str) -> bytes:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo(image_id)
            member.size = 20_000
            tar.addfile(member, io.BytesIO(image_id.encode() * 400))
        return archive.getvalue()

    def repository(self, number: int) -> None:
        super().repository(number)
        name = f"ns{number % 100}/app{number}"
        for place in range(_IN_CHAIN):
            image_id = hashlib.sha256(f"{number} {place}".encode()).hexdigest()
            self.write(f"repositories/{name}/tag_v{place}", image_id.encode())


class SlowCalls:
    """Makes the calls of a storage slow, and counts them."""

    def __init__(self, storage: ObjectStorage, takes_s: float):
        self.calls = self.running = self.most = 0
        self._lock = threading.Lock()
        self._takes_s = takes_s
        access: Any = storage._access
        self._look = access._look
        access._look = self.look

    def look(self, name: str, call: Callable[[], Any], **options: Any) -> Any:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            time.sleep(self._takes_s)
            return self._look(name, call, **options)
        finally:
            with self._lock:
                self.running -= 1


def prepare(storage: Storage) -> object:
    options = argparse.Namespace(
        repository=None, jobs=None, quiet=True, json=False, storage=None, config=None
    )
    services = assemble({"storage": storage, "v2": "on", "auth": "users:"})
    rows = list(prepare_v2._prepare(services, prepare_v2._all(services), options))
    assert all(row.digest for row in rows), rows[0]
    return len(rows)


def copy(storage: Storage) -> object:
    return copy_storage(storage, MemoryStorage(), source_name="objects").keys


RUNS: Final[Mapping[str, Callable[[Storage], object]]] = {
    "usage": lambda storage: Housekeeping(storage).usage(is_kept=False).totals,
    "gc --dry-run": lambda storage: (
        Housekeeping(storage, clock=LaterClock()).collect_garbage(is_dry_run=True).images
    ),
    "verify": lambda storage: len(list(Housekeeping(storage).verify(reads_layers=False).findings())),
    "verify --layers": lambda storage: len(list(Housekeeping(storage).verify(restarts=True).findings())),
    "copy": copy,
    "prepare-v2": prepare,
    "expire": lambda storage: Housekeeping(storage, clock=LaterClock()).expire(),
    "gc": lambda storage: Housekeeping(storage, clock=LaterClock()).collect_garbage().total,
}


def fill(store: MemoryStore, images: int) -> None:
    """Store images in repositories, and some uploads that have begun."""
    storage = ObjectStorage(store, groups=Groups(KEY_GROUPS))
    filler = ObjectFiller(storage)
    for number in range(images // _IN_CHAIN):
        filler.repository(number)
        upload = hashlib.sha256(f"upload {number}".encode()).hexdigest()
        owner, name = upload[:32], upload[32:]
        storage.write(f"uploads/{upload}/{owner}-{name}/pieces/0/data", b"piece")
        storage.write(f"uploads/_bytes/{owner}/{upload}.{name}/5", b"")
        storage.write(f"uploads/_repositories/{name}/{upload}.{owner}/5", b"")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--call-ms", type=float, default=5)
    parser.add_argument("--only", default=",".join(RUNS))
    options = parser.parse_args()
    store = MemoryStore()
    fill(store, options.images)
    print(f"{options.images} images, {options.call_ms} ms for each call")
    for name in options.only.split(","):
        storage = ObjectStorage(store, groups=Groups(KEY_GROUPS))
        if name == "gc":
            for number in range(0, options.images // _IN_CHAIN, 2):
                storage.delete_tree(f"repositories/ns{number % 100}/app{number}")
            storage = ObjectStorage(store, groups=Groups(KEY_GROUPS))
        slow = SlowCalls(storage, options.call_ms / 1000)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        found = RUNS[name](storage)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        row = f"{name:<16} {took_s:7.1f} s {cpu_s:7.1f} s CPU {slow.calls:7} calls {slow.most:3} at once"
        print(f"{row}  {found}", flush=True)


if __name__ == "__main__":
    main()
