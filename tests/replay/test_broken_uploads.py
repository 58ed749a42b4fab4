"""Uploads that break off, and the push that follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.deviations import unexplained
from support.replayer import Replayer, application_over, of_v1
from support.transcripts import ENGINES
from support.wire import Answer, WireRequest, WsgiTransport

from v1registry import FileStorage, MemoryStorage, Storage


@pytest.fixture(params=["memory", "files"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else FileStorage(tmp_path, durable=False)


def interrupt(
    storage: Storage, client: str, *, chunked: bool, break_off: str
) -> tuple[Replayer, str, Answer]:
    """Replay the push whose large layer was cut, with this framing; return the image and the answer."""
    transport: WsgiTransport
    transport = WsgiTransport(application_over(storage, lambda: transport.host))
    replayer = Replayer(transport)
    *before, cut = of_v1(client, "push-interrupted")
    replayer.play(before)
    upload = replayer.request(cut)
    if not chunked:
        announced = ("Content-Length", str(3 * cut.request_body.length))
        kept = tuple(header for header in upload.headers if header[0] != "Transfer-Encoding")
        upload = replace(upload, is_chunked=False, headers=(*kept, announced))
    answer = transport.send(replace(upload, break_off=break_off))
    assert answer is not None
    assert cut.image_id is not None
    return replayer, cut.image_id, answer


def assert_is_in_progress(replayer: Replayer, image_id: str) -> None:
    for name in ("json", "layer", "ancestry"):
        answer = replayer.transport.send(WireRequest("GET", f"/v1/images/{image_id}/{name}"))
        assert answer is not None
        assert (answer.status, answer.body) == (400, b'{"error": "Image is being uploaded, retry later"}')


@pytest.mark.parametrize("client", ENGINES)
@pytest.mark.parametrize(
    ("chunked", "break_off"), [(True, "error"), (False, "error"), (False, "end")], ids=str
)
def test_a_cut_layer_leaves_the_image_in_progress(
    storage: Storage, client: str, chunked: bool, break_off: str
) -> None:
    replayer, image_id, answer = interrupt(storage, client, chunked=chunked, break_off=break_off)

    assert answer.status == 400
    assert not list(storage.list(f"images/{image_id}/layer"))
    assert_is_in_progress(replayer, image_id)
    outcomes = replayer.play(of_v1(client, "push-after-interruption"))
    assert unexplained(difference for outcome in outcomes for difference in outcome.differences) == []


@pytest.mark.parametrize("client", ENGINES)
def test_a_cut_body_seen_as_whole_completes_no_image(storage: Storage, client: str) -> None:
    """granian ends a cut body like a whole one. The layer is of the first push; the next has a token."""
    replayer, image_id, answer = interrupt(storage, client, chunked=True, break_off="end")

    assert answer.status == 200
    checksum = next(
        exchange
        for exchange in of_v1(client, "push-after-interruption")
        if exchange.request == f"PUT /v1/images/{image_id}/checksum"
    )
    refusal = replayer.play_one(checksum).answer
    assert refusal is not None
    assert (refusal.status, refusal.body) == (404, b'{"error": "Image not found"}')
    assert_is_in_progress(replayer, image_id)
    outcomes = replayer.play(of_v1(client, "push-after-interruption"))
    assert unexplained(difference for outcome in outcomes for difference in outcome.differences) == []
