"""Pushes with interruptions and of images that exist."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.archives import Watch, make_archive
from support.pushed_chain import IDS, assert_is_pushed, is_complete
from support.scripted import Script, hang_up, reply

from v1registry.client import (
    BadArchive,
    Client,
    NotAuthorized,
    NotFoundInRegistry,
    ProtocolError,
    TransferFailed,
)

EXISTS = {"error": "Image already exists"}


class TestInterruptedLayers:
    def test_411_is_answered_by_a_request_with_a_length(
        self, client: Client, reference: str, archive: Path, script: Script, pauses: list[float]
    ) -> None:
        script.when("PUT", f".*{IDS[0]}/layer", reply(411))
        client.push(archive, reference)
        assert_is_pushed(script)
        rejected, accepted = script.requests("PUT", f".*{IDS[0]}/layer")
        assert "content-length" not in rejected.headers
        stored = script.storage.stat(f"images/{IDS[0]}/layer").size
        assert accepted.headers["content-length"] == str(stored)
        assert pauses == []

    def test_all_layers_after_a_411_have_a_length(
        self, connect: Callable[..., Client], reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", f".*{IDS[0]}/layer", reply(411))
        connect(parallel=1).push(archive, reference)
        lengths = ["content-length" in seen.headers for seen in script.requests("PUT", ".*/layer")]
        assert lengths == [False, True, True, True]

    def test_broken_connection_restarts_the_image_with_a_length(
        self,
        connect: Callable[..., Client],
        reference: str,
        archive: Path,
        script: Script,
        pauses: list[float],
    ) -> None:
        watch = Watch()
        script.when("PUT", f".*{IDS[1]}/layer", hang_up)
        result = connect(progress=watch).push(archive, reference)
        assert_is_pushed(script)
        calls = [
            f"{seen.method} {seen.path.rpartition('/')[2]}" for seen in script.seen if IDS[1] in seen.path
        ]
        again = ["GET json", "PUT json", "PUT layer", "PUT checksum"]
        assert calls == ["GET json", "PUT json", "PUT layer", *again]
        assert "content-length" in script.requests("PUT", f".*{IDS[1]}/layer")[1].headers
        assert len(pauses) == 1
        assert result.pushed == tuple(IDS)
        assert all((task.done_bytes, task.finishes) == (task.total_bytes, 1) for task in watch.tasks)

    @pytest.mark.parametrize("status", [400, 404])
    def test_rejected_checksum_restarts_the_image(
        self, client: Client, reference: str, archive: Path, script: Script, status: int
    ) -> None:
        # 404 if another image of this push renewed the token between JSON and checksum (decisions.md 5)
        script.when("PUT", f".*{IDS[1]}/checksum", reply(status))
        client.push(archive, reference)
        assert_is_pushed(script)
        assert len(script.requests("PUT", f".*{IDS[1]}/layer")) == 2

    def test_next_push_skips_complete_images(
        self, connect: Callable[..., Client], reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", f".*{IDS[1]}/layer", hang_up, times=2)
        with pytest.raises(TransferFailed, match=f"{IDS[1]} was not sent in 2 attempts.*push again"):
            connect(attempts=2, parallel=1).push(archive, reference)
        assert is_complete(script, IDS[0])
        assert not script.requests("PUT", ".*/tags/.*")
        result = connect().push(archive, reference)
        assert_is_pushed(script)
        assert IDS[0] in result.skipped
        assert IDS[1] in result.pushed

    def test_damaged_layer_is_sent_again(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", f".*{IDS[1]}/checksum", reply(400, {"error": "Checksum mismatch"}))
        client.push(archive, reference)
        assert_is_pushed(script)
        assert len(script.requests("PUT", f".*{IDS[1]}/layer")) == 2

    def test_transient_failures_are_retried(
        self, client: Client, reference: str, archive: Path, script: Script, pauses: list[float]
    ) -> None:
        script.when("PUT", f".*{IDS[1]}/layer", reply(503))
        script.when("PUT", ".*/tags/v1", reply(500), times=2)
        client.push(archive, reference)
        assert_is_pushed(script)
        assert pauses == [0.5, 0.5, 1.0]

    def test_damaged_archive_ends_the_push_before_completion(
        self, client: Client, reference: str, archive: Path, tmp_path: Path, script: Script
    ) -> None:
        data = archive.read_bytes()
        with tarfile.open(archive) as tar:
            at = tar.getmember(f"{IDS[1]}/layer.tar").offset_data + 600
        (tmp_path / "damaged.tar").write_bytes(data[:at] + b"damage" + data[at + 6 :])
        with pytest.raises(BadArchive, match="has the diff id"):
            client.push(tmp_path / "damaged.tar", reference)
        assert not is_complete(script, IDS[1])
        assert not script.requests("PUT", ".*/tags/.*")


class TestExistingImages:
    @pytest.mark.parametrize("status", [409, 400])
    def test_CLI_006_image_already_exists_on_the_json_skips_the_image(
        self, client: Client, reference: str, archive: Path, script: Script, status: int
    ) -> None:
        client.push(archive, reference)
        script.seen.clear()
        script.when("GET", f".*{IDS[0]}/json", reply(404))
        script.when("PUT", f".*{IDS[0]}/json", reply(status, EXISTS))
        assert client.push(archive, reference).skipped == tuple(IDS)
        assert not script.requests("PUT", f".*{IDS[0]}/layer")

    def test_image_that_exists_but_is_hidden_fails_the_push(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", f".*{IDS[0]}/json", reply(409, EXISTS))
        with pytest.raises(NotFoundInRegistry, match=f"cannot compare image {IDS[0]}"):
            client.push(archive, reference)
        assert not script.requests("PUT", ".*/tags/.*")

    def test_other_error_text_on_the_json_fails_the_push(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        text = "Image exists with other contents"
        script.when("PUT", f".*{IDS[0]}/json", reply(409, {"error": text}))
        with pytest.raises(ProtocolError, match=f"image {IDS[0]}.*409 Conflict: {text}"):
            client.push(archive, reference)

    def test_image_already_exists_on_the_checksum_means_done(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        def completed(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            list(script.registry(environ, lambda *_: lambda _: None))
            return reply(409, EXISTS, reads=False)(script, environ, start_response)

        script.when("PUT", f".*{IDS[2]}/checksum", completed)
        assert client.push(archive, reference).image_id == IDS[2]
        assert len(script.requests("PUT", f".*{IDS[2]}/layer")) == 1

    def test_other_error_text_on_the_checksum_fails_the_push(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        text = "Cannot set this image checksum"
        script.when("PUT", f".*{IDS[2]}/checksum", reply(409, {"error": text}))
        with pytest.raises(ProtocolError, match=text):
            client.push(archive, reference)

    def test_image_completed_by_another_client_is_looked_up_again(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        """A 409 on the layer does not mean done (clients.md 3.3), so the image is looked up again."""
        other = Client(reference.partition("/")[0], api="v1", scheme="http")

        def overtaken(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            with other:
                other.push(archive, reference)
            return reply(409, EXISTS)(script, environ, start_response)

        script.when("PUT", f".*{IDS[1]}/layer", overtaken)
        client.push(archive, reference)
        assert_is_pushed(script)

    def test_layer_that_is_always_refused_fails_the_push(
        self, connect: Callable[..., Client], reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", f".*{IDS[1]}/layer", reply(409, EXISTS), times=9)
        with pytest.raises(TransferFailed, match="already exists"):
            connect(attempts=3).push(archive, reference)
        assert len(script.requests("PUT", f".*{IDS[1]}/layer")) == 3

    def test_failed_lookup_means_that_the_image_is_pushed(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        client.push(archive, reference)
        script.seen.clear()
        script.when("GET", f".*{IDS[0]}/json", reply(401), times=2)  # with a new token too
        script.when("GET", f".*{IDS[1]}/json", reply(400))
        result = client.push(archive, reference)
        assert [seen.path.split("/")[3] for seen in script.requests("PUT", ".*/json")] == IDS[:2]
        assert (result.pushed, result.sent_bytes) == ((), 0)

    def test_hidden_parent_is_waited_for_until_its_layer_is_sent(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        """Some registries with accounts hide an image until the caller has sent its layer."""

        def hidden(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if is_complete(script, IDS[0]):
                return script.registry(environ, start_response)
            text = "Image depends on a non existing parent"
            return reply(400, {"error": text})(script, environ, start_response)

        script.when("PUT", f".*{IDS[1]}/json", hidden, times=2)
        client.push(archive, reference)
        assert_is_pushed(script)


def test_both_checksum_headers_have_the_payload_checksum(
    client: Client, reference: str, archive: Path, script: Script
) -> None:
    client.push(archive, reference)
    (seen,) = script.requests("PUT", f".*{IDS[0]}/checksum")
    document = script.storage.read(f"images/{IDS[0]}/json")[0]
    layer = script.storage.read(f"images/{IDS[0]}/layer")[0]
    expected = "sha256:" + hashlib.sha256(document + b"\n" + layer).hexdigest()
    assert seen.headers["x-docker-checksum-payload"] == seen.headers["x-docker-checksum"] == expected


def test_image_list_has_every_image_and_the_tag_of_the_last(
    client: Client, reference: str, archive: Path, script: Script
) -> None:
    bodies = []

    def noting(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        return reply(401)(script, {}, start_response)

    script.when("PUT", "/v1/repositories/foo/bar/", noting)
    with pytest.raises(NotAuthorized):
        client.push(archive, reference)
    assert json.loads(bodies[0]) == [{"id": IDS[0]}, {"id": IDS[1]}, {"id": IDS[2], "Tag": "v1"}]


def test_push_stops_at_the_first_failure(
    connect: Callable[..., Client], reference: str, tmp_path: Path, script: Script
) -> None:
    ids = make_archive(tmp_path / "many.tar", 12)
    script.when("PUT", f".*{ids[0]}/layer", reply(403))
    with pytest.raises(NotAuthorized, match=ids[0]):
        connect(parallel=1).push(tmp_path / "many.tar", reference)
    assert len(script.requests("PUT", ".*/layer")) == 1
