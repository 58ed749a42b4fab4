"""Pulls with interruptions, and later pulls into the same file."""

from __future__ import annotations

import fcntl
import gzip
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support.archives import Watch
from support.scripted import Script, cut, hang_up, headers, reply
from support.tagged import LAYER, Tagged
from v1registry_fakes.server import LiveServer

from v1registry.client import Client, ClientError, NotFoundInRegistry, ProtocolError, TransferFailed


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
        # shells start programs in the background with the signal ignored
        old = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.pull(tagged.reference, tagged.output)
        finally:
            is_over.set()
            signal.signal(signal.SIGINT, old)
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
