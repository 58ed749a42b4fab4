"""Any sequence of operations has the same results on a plain dict and in all storages of the package."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from obstore.store import MemoryStore

from v1registry.storage import (
    ABSENT,
    ANY,
    FileStorage,
    InvalidKey,
    KeyConflict,
    KeyNotFound,
    MemoryStorage,
    Storage,
    StorageError,
)
from v1registry.storage.objects import ObjectStorage

SEGMENTS = st.sampled_from(["a", "b", "a-b", "a.b", "ab", "_a", "A", ".a", "..a", "a~"])
KEYS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
PREFIXES = st.one_of(st.just(""), KEYS, KEYS.map(lambda key: key + "/"), KEYS.map(lambda key: key[:-1]))
VALUES = st.binary(max_size=20)


class Model:
    """The protocol over a dict. The etag is the number of the write."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, int]] = {}
        self.writes = 0

    def below(self, folder: str) -> list[str]:
        return sorted(key for key in self.values if key.startswith(folder + "/"))

    def write(self, key: str, value: bytes, expect: int | None) -> None:
        """Write if the expected value is there: the number of a write, 0 for absence, None for any."""
        segments = key.split("/")
        above = {"/".join(segments[:count]) for count in range(1, len(segments))}
        if self.below(key) or above & self.values.keys():
            raise InvalidKey(key, "model")
        if expect not in (None, self.values.get(key, (b"", 0))[1]):
            raise KeyConflict(key, "model")
        self.writes += 1
        self.values[key] = value, self.writes

    def read(self, key: str) -> bytes:
        if key not in self.values:
            raise KeyNotFound(key)
        return self.values[key][0]

    def delete(self, key: str, expect: int | None = None) -> None:
        self.read(key)
        if expect not in (None, self.values[key][1]):
            raise KeyConflict(key, "model")
        del self.values[key]

    def publish(self, staged: str, folder: str) -> None:
        if f"{folder}/".startswith(f"{staged}/") or staged.startswith(f"{folder}/"):
            raise InvalidKey(folder, "model")
        keys = self.below(staged)
        if not keys:
            raise KeyNotFound(staged)
        if self.below(folder):
            raise KeyConflict(folder, "model")
        segments = folder.split("/")
        if {"/".join(segments[:count]) for count in range(1, len(segments) + 1)} & self.values.keys():
            raise InvalidKey(folder, "model")
        for key in keys:
            self.values[folder + key.removeprefix(staged)] = self.values.pop(key)

    def folders(self, folder: str) -> list[str]:
        base = folder + "/" if folder else ""
        rests = [key[len(base) :] for key in self.values if key.startswith(base)]
        return sorted({rest.split("/")[0] for rest in rests if "/" in rest})


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = Model()
        self.storages: list[Storage] = [
            MemoryStorage(),
            FileStorage(self.folder.name, durable=False),
            ObjectStorage(MemoryStore()),
        ]
        #: number of a write -> its etag in each storage
        self.etags: dict[int, list[str]] = {0: [ABSENT, ABSENT, ABSENT]}

    def teardown(self) -> None:
        self.folder.cleanup()

    def same(self, expected: Callable[[], object], actual: Callable[[Storage, int], object]) -> None:
        """Check that all storages have the result or the exception of the model."""
        wanted = outcome(expected)
        for number, storage in enumerate(self.storages):
            assert outcome(lambda s=storage, n=number: actual(s, n)) == wanted, storage

    @rule(
        key=KEYS,
        value=VALUES,
        is_streamed=st.booleans(),
        condition=st.sampled_from(["any", "absent", "now", "old"]),
    )
    def write(self, key: str, value: bytes, is_streamed: bool, condition: str) -> None:
        expect = self.expected(key, condition)
        new_etags: list[str] = []

        def write(storage: Storage, number: int) -> None:
            data: bytes | Iterator[bytes] = iter([value[:3], value[3:]]) if is_streamed else value
            expected_etag = ANY if expect is None else self.etags[expect][number]
            new_etags.append(storage.write(key, data, expect=expected_etag).etag)

        self.same(lambda: self.model.write(key, value, expect), write)
        if new_etags:
            self.etags[self.model.writes] = new_etags

    @rule(key=KEYS)
    def read(self, key: str) -> None:
        self.same(lambda: self.model.read(key), lambda storage, _: storage.read(key)[0])
        self.same(lambda: len(self.model.read(key)), lambda storage, _: storage.stat(key).size)

    @rule(key=KEYS, start=st.integers(0, 22), stop=st.none() | st.integers(0, 22))
    def read_a_range(self, key: str, start: int, stop: int | None) -> None:
        def read(storage: Storage, _number: int) -> bytes:
            with storage.open(key, start, stop) as blob:
                return b"".join(blob)

        self.same(lambda: self.model.read(key)[start:stop], read)

    @rule(key=KEYS, condition=st.sampled_from(["any", "absent", "now", "old"]))
    def delete(self, key: str, condition: str) -> None:
        expect = self.expected(key, condition)
        etags = [ANY] * len(self.storages) if expect is None else self.etags[expect]
        self.same(
            lambda: self.model.delete(key, expect),
            lambda storage, number: storage.delete(key, expect=etags[number]),
        )

    @rule(staged=KEYS, folder=KEYS)
    def publish(self, staged: str, folder: str) -> None:
        self.same(
            lambda: self.model.publish(staged, folder), lambda storage, _: storage.publish(staged, folder)
        )

    def expected(self, key: str, condition: str) -> int | None:
        """Return the number of the write that an operation on ``key`` expects, None for any."""
        _, current = self.model.values.get(key, (b"", 0))
        old = max((number for number in self.etags if number not in (0, current)), default=0)
        return {"any": None, "absent": 0, "now": current, "old": old}[condition]

    @rule(folder=KEYS)
    def delete_tree(self, folder: str) -> None:
        for key in self.model.below(folder):
            self.model.delete(key)
        for storage in self.storages:
            storage.delete_tree(folder)

    @rule(prefix=PREFIXES, after=PREFIXES)
    def list_from_the_middle(self, prefix: str, after: str) -> None:
        self.same(
            lambda: sorted(key for key in self.model.values if key.startswith(prefix) and key > after),
            lambda storage, _: [stat.key for stat in storage.list(prefix, after=after)],
        )

    @rule(folder=st.just("") | KEYS, after=st.just("") | SEGMENTS)
    def list_folders(self, folder: str, after: str) -> None:
        self.same(
            lambda: [name for name in self.model.folders(folder) if name > after],
            lambda storage, _: list(storage.list_folders(folder, after=after)),
        )

    @invariant()
    def all_is_listed(self) -> None:
        for number, storage in enumerate(self.storages):
            assert [(stat.key, stat.size, stat.etag) for stat in storage.list("")] == [
                (key, len(value), self.etags[write][number])
                for key, (value, write) in sorted(self.model.values.items())
            ]


def outcome(operation: Callable[[], object]) -> object:
    try:
        return operation()
    except StorageError as error:
        return type(error)


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
