"""Deletions that look at a whole repository take turns (DST-015)."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.faulty_storage import FaultyStorage
from support.programs import eventually
from support.v2_client import V2Client, digest_of
from support.wsgi_client import Answer, call

from v1registry import Registry, errors
from v1registry.distribution.deletions import Deletions
from v1registry.layers.turns import Patience

IMPATIENT = Patience(most_waiting=0, wait_s=0)
MINE, YOURS = "192.0.2.1", "192.0.2.2"


class Slow:
    """An open server on which deletions in one repository wait for a signal."""

    def __init__(self) -> None:
        self.storage, self.go_on, self.begun = FaultyStorage(), threading.Event(), threading.Semaphore(0)
        self.app = Registry(storage=self.storage)
        client = V2Client(self.app)
        self.paths = {}
        for name in ("team/mine", "team/yours"):
            manifest = client.artifact(name, "content")
            assert client.put_manifest(name, "latest", manifest).status == 201
            blob = client.put_blob(name, b"unused")
            self.paths[name] = f"/v2/{name}/blobs/{blob}", f"/v2/{name}/manifests/{digest_of(manifest)}"
        self.storage.before(self._wait, "list", key="repositories/team/mine/*", times=None)

    def _wait(self) -> None:
        self.begun.release()
        assert self.go_on.wait(60)

    def delete(self, path: str, address: str) -> Answer:
        return call(self.app, "DELETE", path, REMOTE_ADDR=address)


@pytest.mark.parametrize("kind", [0, 1], ids=["blob", "manifest"])
def test_DST_015_slow_deletion_of_one_address_leaves_others_alone(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v1registry.distribution.parts.Deletions", lambda: Deletions(IMPATIENT))
    slow = Slow()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow.delete, slow.paths["team/mine"][kind], MINE)
        assert slow.begun.acquire(timeout=60)
        refused = slow.delete(slow.paths["team/yours"][kind], MINE)
        assert refused.status == 503
        assert refused.header("Retry-After") == "10"
        assert json.loads(refused.body)["errors"][0]["code"] == "UNAVAILABLE"
        assert slow.delete(slow.paths["team/yours"][kind], YOURS).status == 202
        slow.go_on.set()
        assert running.result(60).status == 202
    assert slow.delete(slow.paths["team/mine"][kind], MINE).status == 404


def test_deletions_of_one_client_wait_for_each_other() -> None:
    deletions, order = Deletions(), list[str]()
    entered, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with deletions.turn("mine"):
            entered.set()
            assert go_on.wait(60)
            order.append("first")

    def second() -> None:
        with deletions.turn("mine"):
            order.append("second")

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(first)]
        assert entered.wait(60)
        futures.append(pool.submit(second))
        eventually(lambda: deletions.waiting == 1, "the second one waits")
        go_on.set()
        for future in futures:
            future.result(60)
    assert order == ["first", "second"]
    assert deletions.waiting == 0


def test_number_of_clients_at_once_is_bounded() -> None:
    deletions = Deletions(IMPATIENT)
    turns = [deletions.turn(f"client {number}") for number in range(8)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(errors.DeletionBusy), deletions.turn("another"):
        pass
    turns[0].__exit__(None, None, None)
    with deletions.turn("another"):
        pass


def test_unknown_clients_do_not_exclude_each_other() -> None:
    deletions = Deletions(IMPATIENT)
    with deletions.turn(""), deletions.turn(""):
        pass


def test_turn_is_free_after_a_failure() -> None:
    deletions = Deletions(IMPATIENT)
    with pytest.raises(errors.Unsupported), deletions.turn("mine"):
        raise errors.Unsupported
    with deletions.turn("mine"):
        pass
