"""Pulls with interruptions, redirects and invalid answers."""

from __future__ import annotations

import fcntl
import gzip
import json
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.archives import Watch, layer_sums, make_archive
from support.scripted import Script, cut, hang_up, headers, reply
from v1registry_fakes.server import LiveServer

from v1registry.client import (
    Client,
    ClientError,
    NotAuthorized,
    NotFoundInRegistry,
    ProtocolError,
    RegistryUnreachable,
    TransferFailed,
)

LAYER = "/v1/images/.*/layer"


@dataclass
class Tagged:
    """The tag foo/bar:v1 with three images whose layers have 300 kB, and the output of a pull."""

    script: Script
    ids: list[str]  #: root first
    reference: str
    pushed: Path  #: the archive that was pushed
    output: Path

    @property
    def parts(self) -> Path:
        return self.output.with_name(self.output.name + ".v1registry-parts")

    def size_of(self, image_id: str) -> int:
        """Return the size of a stored layer in bytes."""
        return self.script.storage.stat(f"images/{image_id}/layer").size

    def assert_is_whole(self) -> None:
        assert layer_sums(self.output) == layer_sums(self.pushed)
        assert not self.parts.exists()


@pytest.fixture
def tagged(client: Client, server: LiveServer, script: Script, tmp_path: Path) -> Tagged:
    """The pushed tag; the script has not seen the push."""
    pushed, reference = tmp_path / "image.tar", f"{server.host}/foo/bar:v1"
    ids = make_archive(pushed, size_bytes=300_000)
    client.push(pushed, reference)
    script.seen.clear()
    return Tagged(script, ids, reference, pushed, tmp_path / "pulled.tar")


class TestInterruptions:
    def test_interrupted_layer_continues_with_the_missing_range(
        self, connect: Callable[..., Client], tagged: Tagged, script: Script, pauses: list[float]
    ) -> None:
        script.when("GET", f".*{tagged.ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{tagged.ids[1]}/layer", cut(50_000))
        watch = Watch()
        result = connect(progress=watch).pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        first, second, third = script.requests("GET", f".*{tagged.ids[1]}/layer")
        assert "range" not in first.headers
        assert second.headers["range"] == f"bytes=100000-{tagged.size_of(tagged.ids[1]) - 1}"
        assert third.headers["range"] == f"bytes=150000-{tagged.size_of(tagged.ids[1]) - 1}"
        assert second.headers["if-range"].startswith('"')
        assert result.fetched_bytes == sum(map(tagged.size_of, tagged.ids))
        assert len(pauses) == 2
        assert all(task.done_bytes == task.total_bytes for task in watch.tasks)

    def test_pauses_grow_until_a_failure_that_can_continue(
        self, connect: Callable[..., Client], tagged: Tagged, script: Script, pauses: list[float]
    ) -> None:
        client = connect(parallel=1, attempts=4)
        script.when("GET", f".*{tagged.ids[0]}/layer", cut(1000))
        script.when("GET", f".*{tagged.ids[0]}/layer", hang_up, times=3)
        with pytest.raises(
            TransferFailed, match=r"was interrupted after 1000 of .* pull again to continue"
        ) as caught:
            client.pull(tagged.reference, tagged.output)
        assert str(tagged.parts) in str(caught.value)
        assert pauses == sorted(set(pauses))
        assert len(pauses) == 3
        assert not tagged.output.exists()
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert (
            script.requests("GET", f".*{tagged.ids[0]}/layer")[-1].headers["range"].startswith("bytes=1000-")
        )

    def test_download_continues_while_bytes_arrive(
        self, connect: Callable[..., Client], tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", f".*{tagged.ids[0]}/layer", cut(1000), times=20)
        connect(attempts=2).pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    def test_server_without_ranges_sends_all_again(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        def whole(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ.pop("HTTP_RANGE", None)
            return script.registry(environ, start_response)

        script.when("GET", f".*{tagged.ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{tagged.ids[1]}/layer", whole)
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    @pytest.mark.parametrize(
        "spoil",
        [
            reply(416),
            reply(206, b"x" * 10, Content_Range="bytes 7-16/300000"),
            reply(206, b"x" * 10),
            reply(503),
            reply(200, b"damaged"),
        ],
        ids=["416", "another range", "no range", "503", "other bytes"],
    )
    def test_odd_answer_to_a_range_is_retried(
        self, client: Client, tagged: Tagged, script: Script, spoil: Any
    ) -> None:
        script.when("GET", f".*{tagged.ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{tagged.ids[1]}/layer", spoil)
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    def test_ranges_of_docker_registry_0_9_1_are_understood(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        """It omits the unit. Its answers to open ranges are wrong, so none is sent (registry.md 4.2)."""
        size = tagged.size_of(tagged.ids[1])
        script.when("GET", f".*{tagged.ids[1]}/layer", cut(100_000))
        script.when(
            "GET", f".*{tagged.ids[1]}/layer", headers("ETag", Content_Range=f"100000-{size - 1}/{size}")
        )
        result = client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert result.fetched_bytes == sum(map(tagged.size_of, tagged.ids))

    def test_layer_of_unknown_size_continues_with_an_open_range(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", "/v1/images/.*/json", headers("X-Docker-Size"), times=3)
        script.when("GET", f".*{tagged.ids[1]}/layer", cut(100_000))
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert script.requests("GET", f".*{tagged.ids[1]}/layer")[1].headers["range"] == "bytes=100000-"

    @pytest.mark.parametrize("size", ["7", "99999999", "x"])
    def test_wrong_size_is_ignored(self, client: Client, tagged: Tagged, script: Script, size: str) -> None:
        script.when("GET", "/v1/images/.*/json", headers(X_Docker_Size=size), times=3)
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    def test_layer_with_a_wrong_checksum_twice_is_refused(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", f".*{tagged.ids[1]}/json", headers(X_Docker_Checksum_Payload="sha256:" + "0" * 64))
        script.when("GET", f".*{tagged.ids[1]}/json", headers("X-Docker-Payload-Checksum"))
        script.when("GET", f".*{tagged.ids[1]}/layer", reply(200, b"damaged"), times=2)
        with pytest.raises(TransferFailed, match="does not announce"):
            client.pull(tagged.reference, tagged.output)
        assert not tagged.output.exists()

    def test_only_the_length_counts_without_a_checksum(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        gone = headers("X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum")
        script.when("GET", "/v1/images/.*/json", gone, times=3)
        script.when("GET", f".*{tagged.ids[1]}/layer", cut(10))
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    def test_failure_of_one_layer_ends_the_others(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", f".*{tagged.ids[2]}/layer", reply(404, {"error": "Image not found"}))
        with pytest.raises(NotFoundInRegistry, match=f"{tagged.ids[2]}.*Image not found"):
            client.pull(tagged.reference, tagged.output)

    def test_layer_beyond_the_limit_is_not_fetched(
        self, connect: Callable[..., Client], tagged: Tagged, script: Script
    ) -> None:
        with pytest.raises(TransferFailed, match="larger than the limit of 1000 bytes"):
            connect(layer_limit_bytes=1000).pull(tagged.reference, tagged.output)
        assert not script.requests("GET", LAYER)

    def test_layer_that_grows_beyond_the_limit_is_refused(
        self, connect: Callable[..., Client], tagged: Tagged, script: Script
    ) -> None:
        def endless(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            return (b"x" * 1000 for _ in range(10_000))

        script.when("GET", "/v1/images/.*/json", headers("X-Docker-Size"), times=3)
        script.when("GET", LAYER, endless, times=3)
        with pytest.raises(TransferFailed, match="larger than the limit of 400000 bytes"):
            connect(layer_limit_bytes=400_000).pull(tagged.reference, tagged.output)

    def test_damaged_layer_is_reported_with_its_image(
        self, client: Client, tagged: Tagged, server: LiveServer, script: Script
    ) -> None:
        broken = gzip.compress(b"x" * 1000)[:-5]
        gone = headers("X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum", "X-Docker-Size")
        script.when("GET", f".*{tagged.ids[1]}/json", gone)
        script.when("GET", f".*{tagged.ids[1]}/layer", reply(200, broken))
        with pytest.raises(ProtocolError, match=f"image {tagged.ids[1]} is damaged"):
            client.pull(f"{server.host}/foo/bar:v1", tagged.output)


class TestLaterPulls:
    def test_next_pull_continues_from_the_parts(
        self, connect: Callable[..., Client], tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", f".*{tagged.ids[2]}/layer", cut(100_000))
        with pytest.raises(TransferFailed):
            connect(attempts=1, parallel=1).pull(tagged.reference, tagged.output)
        assert (tagged.parts / f"{tagged.ids[2]}.part").stat().st_size == 100_000
        script.seen.clear()

        result = connect().pull(tagged.reference, tagged.output)

        tagged.assert_is_whole()
        assert result.kept_bytes == tagged.size_of(tagged.ids[0]) + tagged.size_of(tagged.ids[1]) + 100_000
        assert result.fetched_bytes == tagged.size_of(tagged.ids[2]) - 100_000
        (only,) = script.requests("GET", LAYER)
        assert only.headers["range"] == f"bytes=100000-{tagged.size_of(tagged.ids[2]) - 1}"

    def test_interrupt_ends_all_threads_and_keeps_the_parts(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        def interrupting(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            whole = b"".join(script.registry(environ, start_response))
            yield whole[:200_000]
            main_thread = threading.main_thread().ident
            assert main_thread is not None
            signal.pthread_kill(main_thread, signal.SIGINT)
            is_over.wait(20)

        is_over = threading.Event()
        script.when("GET", f".*{tagged.ids[1]}/layer", interrupting)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.pull(tagged.reference, tagged.output)
        finally:
            is_over.set()
        assert not tagged.output.exists()
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    def test_changed_layer_is_fetched_again(self, client: Client, tagged: Tagged, script: Script) -> None:
        tagged.parts.mkdir()
        (tagged.parts / f"{tagged.ids[0]}.part").write_bytes(b"of another one")
        (tagged.parts / f"{tagged.ids[0]}.etag").write_text('"another"')
        result = client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert (result.kept_bytes, result.fetched_bytes) == (0, sum(map(tagged.size_of, tagged.ids)))
        assert script.requests("GET", f".*{tagged.ids[0]}/layer")[0].headers["if-range"] == '"another"'

    @pytest.mark.parametrize("suffix", ["part", "layer"])
    @pytest.mark.parametrize("size", ["shorter", "equal", "longer"])
    def test_damaged_parts_are_found_by_their_checksum(
        self, client: Client, tagged: Tagged, suffix: str, size: str
    ) -> None:
        count = tagged.size_of(tagged.ids[0]) + {"shorter": -7, "equal": 0, "longer": 7}[size]
        tagged.parts.mkdir()
        (tagged.parts / f"{tagged.ids[0]}.{suffix}").write_bytes(b"x" * count)
        result = client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert result.kept_bytes == 0

    def test_second_pull_to_one_output_is_refused(self, client: Client, tagged: Tagged) -> None:
        tagged.parts.mkdir()
        with (tagged.parts / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(ClientError, match="another pull"):
                client.pull(tagged.reference, tagged.output)


class TestRedirects:
    def test_CLI_022_redirect_to_another_host_has_no_authorization(
        self, connect: Callable[..., Client], tagged: Tagged, serve: Callable[..., LiveServer], script: Script
    ) -> None:
        elsewhere = Script()
        elsewhere.when("GET", ".*", cut(0))
        data = script.storage.read(f"images/{tagged.ids[1]}/layer")[0]
        elsewhere.when("GET", ".*", reply(200, data))
        host = serve(elsewhere).host.replace("127.0.0.1", "localhost")
        script.when(
            "GET", f".*{tagged.ids[1]}/layer", reply(302, Location=f"http://{host}/bucket/x"), times=2
        )
        connect(username="ada", password="secret").pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert elsewhere.seen
        assert all("authorization" not in seen.headers for seen in elsewhere.seen)
        assert all("authorization" in seen.headers for seen in script.requests("GET", LAYER))

    def test_redirect_on_the_same_host_keeps_the_authorization(
        self, connect: Callable[..., Client], tagged: Tagged, server: LiveServer, script: Script
    ) -> None:
        data = script.storage.read(f"images/{tagged.ids[1]}/layer")[0]
        script.when("GET", f".*{tagged.ids[1]}/layer", reply(302, Location=f"{server.url}/elsewhere"))
        script.when("GET", "/elsewhere", reply(200, data))
        connect(username="ada", password="secret").pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert "authorization" in script.requests("GET", "/elsewhere")[0].headers

    def test_circular_redirects_are_reported(self, client: Client, tagged: Tagged, script: Script) -> None:
        script.when("GET", ".*/ancestry", reply(302, Location="ancestry"), times=100)
        with pytest.raises(ProtocolError, match="circle"):
            client.pull(tagged.reference, tagged.output)


class TestInvalidAnswers:
    @pytest.mark.parametrize(
        ("path", "body", "reason"),
        [
            ("tags/v1", b"<html>", "not JSON"),
            ("tags/v1", b'"../../etc/passwd"', "must answer an image id"),
            ("tags/v1", b'{"v1": 1}', "must answer an image id"),
            ("ancestry", b"[]", "list of different image ids"),
            ("ancestry", b'["../../etc/passwd"]', "list of different image ids"),
            ("ancestry", b"{}", "list of different image ids"),
            ("ancestry", json.dumps(["a" * 64]).encode(), "begins with"),
            ("json", b"[]", "not a JSON object"),
            ("json", b'{"id": "x"}', "a different id"),
            ("json", b"\xff", "not UTF-8"),
        ],
    )
    def test_invalid_documents_are_refused(
        self, client: Client, tagged: Tagged, script: Script, path: str, body: bytes, reason: str
    ) -> None:
        script.when("GET", f".*/{path}", reply(200, body))
        with pytest.raises(ProtocolError, match=reason):
            client.pull(tagged.reference, tagged.output)
        assert not tagged.output.exists()

    def test_ancestry_that_differs_from_the_parents_is_refused(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", ".*/ancestry", reply(200, [tagged.ids[2], tagged.ids[0]]))
        with pytest.raises(ProtocolError, match="a different parent"):
            client.pull(tagged.reference, tagged.output)

    def test_endless_answer_is_not_read_into_memory(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        def endless(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            return (b" " * 1_000_000 for _ in range(1000))

        script.when("GET", ".*/ancestry", endless)
        with pytest.raises(ProtocolError, match="limit of 16777216 bytes"):
            client.pull(tagged.reference, tagged.output)

    @pytest.mark.parametrize(
        ("status", "kind", "reason"),
        [
            (401, NotAuthorized, "without .*credentials.*Requires authorization"),
            (403, NotAuthorized, "do not allow it"),
            (404, NotFoundInRegistry, "does not have it"),
            (418, ProtocolError, "cannot pull"),
            (500, RegistryUnreachable, "try again later"),
        ],
    )
    def test_status_decides_the_exception(
        self,
        client: Client,
        tagged: Tagged,
        script: Script,
        status: int,
        kind: type[ClientError],
        reason: str,
    ) -> None:
        script.when("GET", ".*/ancestry", reply(status, {"error": "Requires authorization"}), times=9)
        with pytest.raises(kind, match=reason):
            client.pull(tagged.reference, tagged.output)

    def test_small_calls_are_repeated_after_transient_failures(
        self, client: Client, tagged: Tagged, script: Script, pauses: list[float]
    ) -> None:
        script.when("GET", ".*/ancestry", hang_up)
        script.when("GET", ".*/ancestry", reply(503))
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
        assert pauses == [0.5, 1.0]

    def test_control_characters_of_a_message_are_removed(
        self, client: Client, tagged: Tagged, script: Script
    ) -> None:
        script.when("GET", ".*/ancestry", reply(418, {"error": "a\x1b[31m\nb\x00" + "x" * 1000}))
        with pytest.raises(ProtocolError) as caught:
            client.pull(tagged.reference, tagged.output)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600

    @pytest.mark.parametrize("spoil", [headers("X-Docker-Endpoints"), headers("X-Docker-Token")])
    def test_missing_tokens_and_endpoints_are_accepted(
        self, client: Client, tagged: Tagged, script: Script, spoil: Any
    ) -> None:
        script.when("GET", ".*/images", spoil)
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()

    def test_dead_endpoint_is_skipped(
        self,
        client: Client,
        tagged: Tagged,
        server: LiveServer,
        serve: Callable[..., LiveServer],
        script: Script,
    ) -> None:
        dead = serve(Script())
        host = dead.host
        dead.stop()
        script.when("GET", ".*/images", headers(X_Docker_Endpoints=f"{host}, {server.host}"))
        client.pull(tagged.reference, tagged.output)
        tagged.assert_is_whole()
