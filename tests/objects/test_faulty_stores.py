"""A registry over a store that is slow, fails, or does not answer: nothing hangs, nothing is lost."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.engine_client import make_image, random_layer
from support.fault_proxy import Call, Fault, FaultProxy
from support.object_stores import ObjectStore
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.storage import ABSENT, KeyConflict, KeyNotFound, StorageUnavailable
from v1registry.storage.base import update
from v1registry.storage.objects import ObjectStorage, urls

pytestmark = pytest.mark.real

LAYER = random_layer(40_000, "faulty store")
IMAGE = make_image(LAYER, name="faulty store")

#: The time-out of a call in these tests, in seconds.
TIMEOUT_S = 2

#: The longest time of a request whose store does not answer: one call with all its repetitions, the longest
#: pause between them, and some more for busy machines.
DEADLINE_S = TIMEOUT_S * 1.5 + TIMEOUT_S + 2 + 10


class Setting:
    """A registry over a store behind a proxy."""

    def __init__(self, proxy: FaultProxy, url: str, direct_url: str) -> None:
        self.proxy = proxy
        self.url = url
        self.registry = Registry(storage=url)
        self.client = Client(self.registry)
        #: the same data without the proxy
        self.direct = Client(Registry(storage=direct_url))
        storage = self.registry.storage
        assert isinstance(storage, ObjectStorage)
        self.storage = storage

    def warm_up(self) -> None:
        """Let the probe be over, and the look for the objects of an old registry."""
        self.storage.conditions()
        assert not list(self.storage.list("a/"))
        self.proxy.forget_calls()


@pytest.fixture
def setting(ceph: ObjectStore) -> Iterator[Setting]:
    bucket = ceph.new_bucket()
    with FaultProxy(ceph.endpoint) as proxy:
        url = ceph.url(bucket, "registry", endpoint=proxy.url, timeout=str(TIMEOUT_S))
        made = Setting(proxy, url, ceph.url(bucket, "registry"))
        made.warm_up()
        yield made


def on_nth(fault: Fault, *numbers: int, method: str = "PUT") -> Callable[[Call], Fault | None]:
    """Return what gives a fault to some calls of a method, counted from 0."""
    counted = iter(range(1_000_000))
    lock = threading.Lock()

    def choose(call: Call) -> Fault | None:
        if call.method != method:
            return None
        with lock:
            return fault if next(counted) in numbers else None

    return choose


def now_and_then(*faults: Fault, seed: int, share: float) -> Callable[[Call], Fault | None]:
    """Return what gives a share of all calls one of the faults."""
    generator = random.Random(seed)
    lock = threading.Lock()

    def choose(call: Call) -> Fault | None:
        with lock:
            return generator.choice(faults) if generator.random() < share else None

    return choose


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    start = time.monotonic()
    result = action()
    return result, time.monotonic() - start


# -- one fault


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.HANG_AFTER])
def test_write_whose_answer_is_lost_is_stored_once(setting: Setting, fault: Fault) -> None:
    setting.proxy.choose = on_nth(fault, 0)
    stat = setting.storage.write("a/b", b"value", expect=ABSENT)
    assert setting.storage.read("a/b") == (b"value", stat)


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT_BEFORE, Fault.CUT_BODY, Fault.HANG_BEFORE])
def test_read_is_repeated(setting: Setting, fault: Fault) -> None:
    setting.storage.write("a/b", b"value")
    setting.proxy.choose = on_nth(fault, 0, method="GET")
    assert setting.storage.read("a/b")[0] == b"value"


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.HANG_AFTER])
def test_second_creation_is_refused_after_a_lost_answer(setting: Setting, fault: Fault) -> None:
    setting.storage.write("a/b", b"first")
    setting.proxy.choose = on_nth(fault, 0)
    with pytest.raises(KeyConflict):
        setting.storage.write("a/b", b"second", expect=ABSENT)
    assert setting.storage.read("a/b")[0] == b"first"


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_deletion_whose_answer_is_lost_happens_once(setting: Setting, fault: Fault) -> None:
    setting.storage.write("a/b", b"value")
    setting.proxy.choose = on_nth(fault, 0)
    setting.storage.delete("a/b")
    with pytest.raises(KeyNotFound):
        setting.storage.read("a/b")


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT_BEFORE, Fault.CUT_BODY])
def test_large_value_arrives_whole_in_spite_of_cuts(setting: Setting, fault: Fault) -> None:
    value = random.Random(1).randbytes(20_000_000)
    pieces = [value[start : start + 500_000] for start in range(0, len(value), 500_000)]
    setting.proxy.choose = on_nth(fault, 0, 2)
    setting.storage.write("a/b", pieces)
    setting.proxy.choose = on_nth(fault, 1, 2, method="GET")
    with setting.storage.open("a/b") as blob:
        received = b"".join(blob)
    assert hashlib.sha256(received).digest() == hashlib.sha256(value).digest()


# -- a store that does not answer, or only with errors


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE, Fault.BUSY, Fault.CUT_BEFORE])
def test_requests_end_with_503_and_retry_after(setting: Setting, fault: Fault) -> None:
    setting.client.push(IMAGE)
    setting.proxy.choose = lambda call: fault
    for path in (
        f"/v1/images/{IMAGE.image_id}/json",
        "/v2/a/b/manifests/latest",
        "/v1/repositories/a/b/tags",
    ):
        answer, seconds = timed(lambda path=path: setting.client.get(path))
        assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10"), path
        assert seconds < DEADLINE_S, path
        assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE, Fault.BUSY])
def test_push_ends_with_503_and_can_be_repeated(setting: Setting, fault: Fault) -> None:
    setting.proxy.choose = lambda call: fault if call.method in ("PUT", "POST") else None
    answer, seconds = timed(lambda: setting.client.put_json(IMAGE))
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10")
    assert seconds < DEADLINE_S
    setting.proxy.choose = lambda call: None
    setting.proxy.release()
    setting.client.push(IMAGE)
    assert setting.direct.get(f"/v1/images/{IMAGE.image_id}/layer").body == LAYER


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE, Fault.BUSY, Fault.CUT_BEFORE])
def test_ping_needs_no_store_and_status_tells_the_failure(setting: Setting, fault: Fault) -> None:
    setting.proxy.choose = lambda call: fault
    answer, seconds = timed(lambda: setting.client.get("/v1/_ping"))
    assert answer.status_int == 200
    assert seconds < 1
    assert setting.client.get("/v2/").status_int == 200
    answer, seconds = timed(lambda: setting.client.get("/v1/_status"))
    assert answer.status_int == 503
    assert answer.json["failures"]["storage"]
    assert seconds < DEADLINE_S


def test_failures_show_no_credentials_and_no_text_of_the_store(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.proxy.choose = lambda call: Fault.BUSY
    with pytest.raises(StorageUnavailable) as caught:
        setting.storage.write("a/b", b"value")
    setting.client.get("/v2/a/b/manifests/latest")
    for text in (str(caught.value), caplog.text, repr(setting.storage)):
        assert "testkey" not in text
        assert "testsecret" not in text
        assert "slow down" not in text


# -- faults now and then


def test_slow_store_makes_requests_slow_and_nothing_else(setting: Setting) -> None:
    setting.proxy.delay_s = 0.1
    setting.client.push(IMAGE)
    setting.proxy.forget_calls()
    answer, seconds = timed(lambda: setting.client.get(f"/v1/images/{IMAGE.image_id}/layer"))
    assert answer.body == LAYER
    # besides the delays of its calls there is only work of this machine
    assert seconds < 0.1 * len(setting.proxy.calls) + 2


def test_request_over_a_store_that_always_answers_late_ends(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "DEADLINE_S", 0.0)
    registry = Registry(storage=setting.url)
    # the probe and the look for old objects are over
    assert not list(registry.storage.list("a/"))
    registry.storage.write("a/b", b"value")
    setting.proxy.delay_s = 0.75 * TIMEOUT_S
    answer, seconds = timed(lambda: Client(registry).put_json(IMAGE))
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10")
    # the bound of a request is that of one call
    assert seconds < DEADLINE_S
    setting.proxy.delay_s = 0.0
    Client(registry).push(IMAGE)


def test_no_acknowledged_push_is_lost(setting: Setting) -> None:
    setting.proxy.choose = now_and_then(
        Fault.BUSY, Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.CUT_BODY, seed=13, share=0.1
    )
    images = [
        make_image(random_layer(3_000 * number, f"n{number}"), name=f"n{number}") for number in range(1, 9)
    ]
    done = []
    for image in images:
        answers = [
            answered(lambda put=put, image=image: put(image))
            for put in (setting.client.put_json, setting.client.put_layer, setting.client.put_checksum)
        ]
        assert {answer.status_int for answer in answers} <= {200, 503}, answers
        if all(answer.status_int == 200 for answer in answers):
            done.append(image)
    assert done
    for image in done:
        got = setting.direct.get(f"/v1/images/{image.image_id}/layer")
        assert (got.status_int, got.body) == (200, image.layer)


def answered(action: Callable[[], Any]) -> Any:
    """Repeat a request as engines do, which is only for a failure of the server."""
    for _ in range(5):
        answer = action()
        if answer.status_int != 503:
            break
    return answer


def test_counter_of_two_instances_loses_no_step(setting: Setting) -> None:
    setting.proxy.choose = now_and_then(Fault.BUSY, Fault.CUT_BEFORE, Fault.CUT_AFTER, seed=14, share=0.1)
    other = Registry(storage=setting.url).storage
    counts = [0, 0]
    unknown = [0, 0]

    def count(number: int, storage: Any) -> None:
        for _ in range(10):
            try:
                update(storage, "a/counter", lambda old: b"%d" % (int(old or b"0") + 1))
            except StorageUnavailable:
                # it may have been counted
                unknown[number] += 1
            else:
                counts[number] += 1

    with ExitStack() as stack:
        for number, storage in enumerate((setting.storage, other)):
            thread = threading.Thread(target=count, args=(number, storage))
            thread.start()
            stack.callback(thread.join)
    setting.proxy.choose = lambda call: None
    value = int(setting.storage.read("a/counter")[0])
    assert sum(counts) <= value <= sum(counts) + sum(unknown)
    assert sum(counts) > 10
