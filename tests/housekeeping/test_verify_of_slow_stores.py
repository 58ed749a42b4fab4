"""A search for damage over an object store that answers slowly, but answers."""

from __future__ import annotations

import pytest
from support.engine_client import make_image
from support.slow_objects import MOST_S, SlowStore, open_slowly
from support.v2_client import V2Client
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.housekeeping.verify import Finding, Verification
from v1registry.storage.objects import ObjectStorage


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[ObjectStorage, SlowStore]:
    storage, slow = open_slowly(monkeypatch)
    app = Registry(storage)
    image = make_image(b"layer", name="slow verify")
    Client(app).push(image)
    V2Client(app).image("team/app", "slow")
    return storage, slow


def found(storage: ObjectStorage) -> list[Finding]:
    return list(Verification(storage, reads_layers=True, restarts=True).findings())


def test_verify_of_a_store_that_is_always_slow_finds_no_damage(opened: tuple[ObjectStorage, SlowStore]):
    storage, slow = opened
    slow.takes_s = 9.0
    assert found(storage) == []
    assert slow.now_s > 3 * MOST_S


def test_one_slow_answer_of_many_is_no_damage(opened: tuple[ObjectStorage, SlowStore]):
    storage, slow = opened
    before = slow.calls
    assert found(storage) == []
    for number in range(slow.calls - before):
        slow.slow_call = slow.calls + 1 + number
        assert found(storage) == [], number
