"""What one user may have in unfinished pushes is bounded: the bytes, and the number of pushes (decisions.md
19).
"""

from __future__ import annotations

import hashlib
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld, People, Person, image_of, list_of
from support.credentials import token_header
from support.engine_client import Image, make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client

from v1registry import MemoryStorage, errors
from v1registry.registry.expiry import Expiry
from v1registry.registry.quotas import Quotas
from v1registry.registry.sent import Facts, StagedPush
from v1registry.registry.staging import Staging
from v1registry.rights import PushKey, User
from v1registry.storage.base import Stat, Storage
from v1registry.storage.combined import held_bytes

IDS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(5)]
ALICE = PushKey.of("token of alice", owner="alice", is_token=True)
MIB = 1 << 20


def large_image(name: str, json_bytes: int = 0, layer_bytes: int = 0) -> Image:
    """Return an image with a JSON and a layer of at least these sizes."""
    layer = tar_layer({f"etc/{name}": b"x" * layer_bytes}) + b"\0" * layer_bytes
    image = make_image(layer, None, name=name)
    document = json.dumps(json.loads(image.json) | {"comment": "x" * json_bytes}).encode()
    return Image(image.image_id, document, layer)


def alice_of(storage: Storage | None = None, **settings: Any) -> Person:
    return AccountsWorld(People.of(User("alice"), User("bob")), storage, **settings).person("alice")


def begun(staging: Staging, image_id: str, key: PushKey = ALICE, document: bytes = b"{}") -> StagedPush:
    """Return a push that has sent a JSON."""
    staging.add_json(staging.find(image_id, key), document, Facts((image_id,), ()))
    return staging.find(image_id, key)


def send_layer(
    staging: Staging, push: StagedPush, *chunks: bytes, announced_bytes: int | None = None
) -> None:
    staging.add_layer(push, staging.payloads(push), iter(chunks), announced_bytes)


def counted_bytes(storage: Storage) -> int:
    """Return how many bytes are counted, for all users together."""
    return sum(int(stat.key.rpartition(".")[2]) for stat in storage.list("uploads/_bytes/"))


# -- bytes


def test_json_beyond_the_bound_is_413_and_not_kept() -> None:
    storage = MemoryStorage()
    alice = alice_of(storage, max_unfinished_bytes=20_000)
    first, second = large_image("first", json_bytes=12_000), large_image("second", json_bytes=12_000)
    assert alice.announce("alice/app", first, second) == 200
    assert alice.put_json(first) == 200

    assert alice.put_json(second) == 413

    assert "unfinished pushes would have more than 20000 bytes" in alice.answers[-1].json["error"]
    assert list(storage.list(f"uploads/{second.image_id}/")) == []
    assert counted_bytes(storage) < 20_000


def test_json_counts_against_a_layer() -> None:
    alice = alice_of(max_unfinished_bytes=20_000)
    image = large_image("one", json_bytes=8_000, layer_bytes=8_000)
    assert alice.announce("alice/app", image) == 200
    assert alice.put_json(image) == 200
    assert alice.put_layer(image) == 413


def test_complete_image_counts_no_more() -> None:
    storage = MemoryStorage()
    alice = alice_of(storage, max_unfinished_bytes=50_000)
    images = [large_image(f"number {number}", layer_bytes=10_000) for number in range(5)]
    for image in images:
        alice.push("alice/app", image)
    assert counted_bytes(storage) == 0


@pytest.mark.parametrize(
    "key", [ALICE, PushKey.of("user alice", owner="alice"), PushKey.of("", is_shared=True)]
)
def test_replaced_json_and_layer_are_counted_once(key: PushKey) -> None:
    storage = MemoryStorage()
    staging = Staging(storage)
    for number in range(10):
        push = begun(staging, IDS[0], key, b'{"number": %d}' % number)
        send_layer(staging, push, b"x" * 1000)
        send_layer(staging, push, b"y" * 1000)
    folder = staging.find(IDS[0], key).folder
    stored = sum(
        stat.size for stat in storage.list(f"{folder}/") if "/sums/" not in stat.key and "/_" not in stat.key
    )
    assert counted_bytes(storage) == pytest.approx(stored, rel=0.1)


def test_repeated_json_with_a_longer_ancestry_is_counted_once() -> None:
    storage = MemoryStorage()
    staging = Staging(storage)
    push = begun(staging, IDS[0])
    staging.add_json(push, b"{}", Facts((IDS[0], IDS[1]), ()))
    (sent,) = staging.find(IDS[0], ALICE).jsons
    assert counted_bytes(storage) == sent.size == storage.stat(sent.key).size


def test_broken_layer_is_counted_no_more() -> None:
    storage = MemoryStorage()
    staging = Staging(storage)
    push = begun(staging, IDS[0])
    before = counted_bytes(storage)

    def broken() -> Iterator[bytes]:
        yield b"x" * (held_bytes(storage) + 1)
        assert counted_bytes(storage) > before
        raise errors.BrokenUpload

    with pytest.raises(errors.BrokenUpload):
        staging.add_layer(push, staging.payloads(push), broken())
    assert counted_bytes(storage) == before


def test_announced_size_beyond_the_bound_is_refused_before_anything_is_read() -> None:
    storage = MemoryStorage()
    held = held_bytes(storage)
    staging = Staging(storage, most_bytes=held)
    push = begun(staging, IDS[0])
    with pytest.raises(errors.TooManyUnfinishedBytes):
        staging.add_layer(push, staging.payloads(push), iter(()), announced_bytes=held + 1)


def test_bytes_of_one_user_do_not_count_for_another() -> None:
    staging = Staging(MemoryStorage(), most_bytes=MIB)
    send_layer(staging, begun(staging, IDS[0]), b"x" * 900_000)
    bob = PushKey.of("token of bob", owner="bob", is_token=True)
    send_layer(staging, begun(staging, IDS[0], bob), b"x" * 900_000)


# -- two requests at once


@pytest.mark.parametrize("has_length", [False, True], ids=["chunked", "with a length"])
def test_one_of_two_overlapping_layers_beyond_the_bound_is_refused(has_length: bool) -> None:
    storage = MemoryStorage()
    held = held_bytes(storage)
    # more than is held in memory, so that a length counts at once
    half = b"x" * (held * 5 // 8)
    announced_bytes = 2 * len(half) if has_length else None
    staging = Staging(storage, most_bytes=2 * held)
    pushes = [begun(staging, image_id) for image_id in IDS[:2]]

    def first() -> Iterator[bytes]:
        yield half
        with suppress(errors.TooManyUnfinishedBytes):
            send_layer(staging, pushes[1], half, half, announced_bytes=announced_bytes)
        yield half

    with suppress(errors.TooManyUnfinishedBytes):
        staging.add_layer(pushes[0], staging.payloads(pushes[0]), first(), announced_bytes)
    stored = [len(staging.find(push.image_id, ALICE).layers) for push in pushes]
    assert stored == ([1, 0] if has_length else [0, 1])


def test_layers_that_fit_together_are_both_accepted() -> None:
    staging = Staging(MemoryStorage(), most_bytes=MIB)
    pushes = [begun(staging, image_id) for image_id in IDS[:2]]

    def first() -> Iterator[bytes]:
        yield b"x" * 200_000
        send_layer(staging, pushes[1], b"y" * 400_000)
        yield b"x" * 200_000

    staging.add_layer(pushes[0], staging.payloads(pushes[0]), first())
    assert [len(staging.find(push.image_id, ALICE).layers) for push in pushes] == [1, 1]


class MeetingStorage(MemoryStorage):
    """Two threads write their first counters before either of them lists, and list before either goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._barrier = threading.Barrier(2)
        self._met = threading.local()

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        if not prefix.startswith("uploads/_bytes/") or getattr(self._met, "is_over", False):
            return super().list(prefix, after=after)
        self._met.is_over = True
        self._barrier.wait(30)
        found = [*super().list(prefix, after=after)]
        self._barrier.wait(30)
        return iter(found)


def test_of_two_reservations_at_the_same_moment_one_succeeds() -> None:
    storage = MeetingStorage()
    first_is_over, second_has_withdrawn = threading.Event(), threading.Event()
    results = {}

    def wait_for_the_second(seconds: float) -> None:
        assert second_has_withdrawn.wait(30)

    def wait_for_the_first(seconds: float) -> None:
        second_has_withdrawn.set()
        assert first_is_over.wait(30)

    def reserve(name: str, pause: Callable[[float], None]) -> None:
        quotas = Quotas(storage, Expiry(storage), most_bytes=MIB, most_pushes=9, pause=pause)
        try:
            results[name] = len([*quotas.reserve(IDS[0], ALICE, name).counted([b"x" * 600_000], 0, 600_000)])
        except errors.TooManyUnfinishedBytes:
            results[name] = 0

    second = threading.Thread(target=reserve, args=("second", wait_for_the_first))
    second.start()
    reserve("first", wait_for_the_second)
    first_is_over.set()
    second.join(30)
    assert results == {"first": 1, "second": 0}


def test_parallel_uploads_of_one_user_never_exceed_the_bound() -> None:
    storage = MemoryStorage()
    staging = Staging(storage, most_bytes=1_000_000)
    pushes = [begun(staging, hashlib.sha256(b"%d" % number).hexdigest()) for number in range(8)]
    most = []

    def send(push: StagedPush) -> None:
        with suppress(errors.TooManyUnfinishedBytes):
            send_layer(staging, push, *[b"x" * 100_000] * 3)
        most.append(sum(stat.size for stat in storage.list("uploads/") if stat.key.endswith("/layer")))

    threads = [threading.Thread(target=send, args=(push,)) for push in pushes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 8
    assert max(most) <= 1_000_000


@pytest.mark.parametrize("has_length", [False, True], ids=["chunked", "with a length"])
def test_layer_that_arrives_is_counted_although_its_push_ends(has_length: bool) -> None:
    storage = MemoryStorage()
    first = b"x" * (held_bytes(storage) + 1)
    size_bytes = len(first) + 2 * MIB if has_length else None
    world = AccountsWorld(People.of(User("alice")), storage)
    image = image_of("one")
    token = world.person("alice").wanted_token("PUT", f"{REPOSITORIES}/alice/app/", list_of(image))
    pusher = Person(world.app, token_header(token))
    assert pusher.put_json(image) == 200
    counted = []

    def pieces() -> Iterator[bytes]:
        yield first
        assert [pusher.put_layer(image), pusher.put_checksum(image)] == [200, 200]
        yield b"x" * MIB
        counted.append(counted_bytes(storage))
        yield b"x" * MIB

    path = f"/v1/images/{image.image_id}/layer"
    answer = Client(world.app).put_pieces(path, pieces(), token_header(token), size_bytes=size_bytes)
    assert answer.status_int == 409
    assert counted[0] >= MIB
    assert list(storage.list("uploads/_bytes/")) == []
    assert list(storage.list(f"uploads/{image.image_id}/")) == []


# -- the number of pushes


def test_push_beyond_the_number_is_429_and_says_when_to_retry() -> None:
    alice = alice_of(max_unfinished_pushes=2)
    images = [image_of(f"number {number}") for number in range(3)]
    assert alice.announce("alice/app", *images) == 200
    assert [alice.put_json(image) for image in images] == [200, 200, 429]
    answer = alice.answers[-1]
    assert answer.json == {
        "error": "You have 2 unfinished pushes of images: finish them, or try again tomorrow"
    }
    assert answer.headers["Retry-After"] == "3600"


def test_unfinished_pushes_go_on_at_the_bound_and_make_room() -> None:
    alice = alice_of(max_unfinished_pushes=2)
    images = [image_of(f"number {number}") for number in range(3)]
    assert alice.announce("alice/app", *images) == 200
    assert [alice.put_json(image) for image in (*images, images[0])] == [200, 200, 429, 200]
    assert [alice.put_layer(images[0]), alice.put_checksum(images[0])] == [200, 200]
    assert alice.put_json(images[2]) == 200


def test_tokens_of_one_user_share_the_number() -> None:
    world = AccountsWorld(People.of(User("alice"), User("bob")), max_unfinished_pushes=2)
    image = image_of("one")
    alice, bob = world.person("alice"), world.person("bob")
    tokens = [alice.wanted_token("PUT", f"{REPOSITORIES}/alice/app/", list_of(image)) for _ in range(3)]
    pushers = [Person(world.app, token_header(token)) for token in tokens]
    assert [pusher.put_json(image) for pusher in pushers] == [200, 200, 429]
    assert bob.announce("bob/app", image) == 200
    assert bob.put_json(image) == 200


# -- cost


def test_look_at_an_unfinished_push_does_not_read_its_json() -> None:
    storage = FaultyStorage()
    world = AccountsWorld(People.of(User("alice")), storage)
    alice, image = world.person("alice"), image_of("one")
    assert alice.announce("alice/app", image) == 200
    assert alice.put_json(image) == 200
    before = storage.count("read", key="uploads/*/sent/*")
    assert alice.image(image) == 400
    assert storage.count("read", key="uploads/*/sent/*") == before


def test_look_at_an_image_that_many_strangers_push_reads_few_facts() -> None:
    storage = FaultyStorage()
    staging = Staging(storage)
    for number in range(200):
        begun(staging, IDS[0], PushKey.of(f"token {number}", owner=f"stranger {number}", is_token=True))
    before = storage.count("open", "read")
    assert len([*staging.any_facts(IDS[0])]) == 50
    assert storage.count("open", "read") - before == 50


def test_json_is_not_in_memory_while_the_layer_arrives() -> None:
    staging = Staging(MemoryStorage())
    push = begun(staging, IDS[0], document=b'"%s"' % (b"x" * 8 * MIB))
    taken = []

    def chunks() -> Iterator[bytes]:
        taken.append(tracemalloc.get_traced_memory()[0])
        yield b"x"

    tracemalloc.start()
    try:
        staging.add_layer(push, staging.payloads(push), chunks())
    finally:
        tracemalloc.stop()
    assert max(taken) < MIB


def test_checksum_of_an_image_with_a_large_json_does_not_parse_it() -> None:
    alice = alice_of()
    image = image_of("large")
    # a text with one such character takes four bytes for each character in memory
    comment = "\N{GRINNING FACE}" + "x" * 8 * MIB
    document = json.dumps(json.loads(image.json) | {"comment": comment}, ensure_ascii=False).encode()
    image = Image(image.image_id, document, image.layer)
    assert [alice.announce("alice/app", image), alice.put_json(image), alice.put_layer(image)] == [200] * 3
    tracemalloc.start()
    try:
        assert alice.put_checksum(image) == 200
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(document)
