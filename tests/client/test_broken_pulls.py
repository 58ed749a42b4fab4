"""Pulls that break off, in every way, and go on."""

from __future__ import annotations

import fcntl
import gzip
import json
import signal
import threading
from collections.abc import Callable, Iterable
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


@pytest.fixture
def ids(client: Client, server: LiveServer, script: Script, tmp_path: Path) -> list[str]:
    """A repository foo/bar:v1 of three images with layers of 300 kB; nothing is seen of the push."""
    ids = make_archive(tmp_path / "image.tar", size_bytes=300_000)
    client.push(tmp_path / "image.tar", f"{server.host}/foo/bar:v1")
    script.seen.clear()
    return ids


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "pulled.tar"


@pytest.fixture
def reference(server: LiveServer) -> str:
    return f"{server.host}/foo/bar:v1"


@pytest.fixture
def size_of(script: Script) -> Callable[[str], int]:
    return lambda image_id: script.storage.stat(f"images/{image_id}/layer").size


def parts(output: Path) -> Path:
    return output.with_name(output.name + ".v1registry-parts")


def assert_is_whole(output: Path, tmp_path: Path) -> None:
    assert layer_sums(output) == layer_sums(tmp_path / "image.tar")
    assert not parts(output).exists()


class TestInOneRun:
    def test_a_cut_layer_goes_on_with_the_range_that_is_missing(
        self,
        connect: Callable[..., Client],
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        size_of: Callable[[str], int],
        pauses: list[float],
    ) -> None:
        script.when("GET", f".*{ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{ids[1]}/layer", cut(50_000))
        watch = Watch()
        result = connect(progress=watch).pull(reference, output)
        assert_is_whole(output, tmp_path)
        first, second, third = script.requests("GET", f".*{ids[1]}/layer")
        assert "range" not in first.headers
        assert second.headers["range"] == f"bytes=100000-{size_of(ids[1]) - 1}"
        assert third.headers["range"] == f"bytes=150000-{size_of(ids[1]) - 1}"
        assert second.headers["if-range"].startswith('"')
        assert result.fetched_bytes == sum(map(size_of, ids))
        assert len(pauses) == 2
        assert all(task.done_bytes == task.total_bytes for task in watch.tasks)

    def test_pauses_grow_while_nothing_arrives_and_end_in_a_failure_that_can_go_on(
        self,
        connect: Callable[..., Client],
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        pauses: list[float],
    ) -> None:
        client = connect(parallel=1, attempts=4)
        script.when("GET", f".*{ids[0]}/layer", cut(1000))
        script.when("GET", f".*{ids[0]}/layer", hang_up, times=3)
        with pytest.raises(
            TransferFailed, match=r"was interrupted after 1000 of .* pull again to continue"
        ) as caught:
            client.pull(reference, output)
        assert str(parts(output)) in str(caught.value)
        assert pauses == sorted(set(pauses))
        assert len(pauses) == 3
        assert not output.exists()
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert script.requests("GET", f".*{ids[0]}/layer")[-1].headers["range"].startswith("bytes=1000-")

    def test_as_long_as_something_arrives_it_goes_on(
        self,
        connect: Callable[..., Client],
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
    ) -> None:
        script.when("GET", f".*{ids[0]}/layer", cut(1000), times=20)
        connect(attempts=2).pull(reference, output)
        assert_is_whole(output, tmp_path)

    def test_a_server_without_ranges_sends_all_again(
        self, client: Client, ids: list[str], reference: str, output: Path, tmp_path: Path, script: Script
    ) -> None:
        def whole(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ.pop("HTTP_RANGE", None)
            return script.registry(environ, start_response)

        script.when("GET", f".*{ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{ids[1]}/layer", whole)
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)

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
    def test_an_odd_answer_to_a_range_is_not_the_end(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        spoil: Any,
    ) -> None:
        script.when("GET", f".*{ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{ids[1]}/layer", spoil)
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)

    def test_the_ranges_of_docker_registry_0_9_1_are_understood(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        size_of: Callable[[str], int],
    ) -> None:
        """It leaves out the unit; its answers to open ranges are wrong, so none is sent (registry.md 4.2)."""
        size = size_of(ids[1])
        script.when("GET", f".*{ids[1]}/layer", cut(100_000))
        script.when("GET", f".*{ids[1]}/layer", headers("ETag", Content_Range=f"100000-{size - 1}/{size}"))
        result = client.pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert result.fetched_bytes == sum(map(size_of, ids))

    def test_a_layer_whose_size_is_unknown_goes_on_with_an_open_range(
        self, client: Client, ids: list[str], reference: str, output: Path, tmp_path: Path, script: Script
    ) -> None:
        script.when("GET", "/v1/images/.*/json", headers("X-Docker-Size"), times=3)
        script.when("GET", f".*{ids[1]}/layer", cut(100_000))
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert script.requests("GET", f".*{ids[1]}/layer")[1].headers["range"] == "bytes=100000-"

    @pytest.mark.parametrize("size", ["7", "99999999", "x"])
    def test_a_wrong_size_does_no_harm(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        size: str,
    ) -> None:
        script.when("GET", "/v1/images/.*/json", headers(X_Docker_Size=size), times=3)
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)

    def test_a_layer_that_comes_twice_with_a_wrong_sum_is_refused(
        self, client: Client, ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        script.when("GET", f".*{ids[1]}/json", headers(X_Docker_Checksum_Payload="sha256:" + "0" * 64))
        script.when("GET", f".*{ids[1]}/json", headers("X-Docker-Payload-Checksum"))
        script.when("GET", f".*{ids[1]}/layer", reply(200, b"damaged"), times=2)
        with pytest.raises(TransferFailed, match="does not announce"):
            client.pull(reference, output)
        assert not output.exists()

    def test_without_a_sum_only_the_length_counts(
        self, client: Client, ids: list[str], reference: str, output: Path, tmp_path: Path, script: Script
    ) -> None:
        gone = headers("X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum")
        script.when("GET", "/v1/images/.*/json", gone, times=3)
        script.when("GET", f".*{ids[1]}/layer", cut(10))
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)

    def test_a_failure_of_one_layer_ends_the_others(
        self, client: Client, ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        script.when("GET", f".*{ids[2]}/layer", reply(404, {"error": "Image not found"}))
        with pytest.raises(NotFoundInRegistry, match=f"{ids[2]}.*Image not found"):
            client.pull(reference, output)

    def test_a_layer_beyond_the_limit_is_refused_before_it_is_fetched(
        self, connect: Callable[..., Client], ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        with pytest.raises(TransferFailed, match="larger than the limit of 1000 bytes"):
            connect(layer_limit_bytes=1000).pull(reference, output)
        assert not script.requests("GET", LAYER)

    def test_a_layer_that_goes_on_beyond_the_limit_is_refused(
        self, connect: Callable[..., Client], ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        def endless(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            return (b"x" * 1000 for _ in range(10_000))

        script.when("GET", "/v1/images/.*/json", headers("X-Docker-Size"), times=3)
        script.when("GET", LAYER, endless, times=3)
        with pytest.raises(TransferFailed, match="larger than the limit of 400000 bytes"):
            connect(layer_limit_bytes=400_000).pull(reference, output)

    def test_a_layer_that_cannot_be_expanded_is_told_with_its_image(
        self, client: Client, server: LiveServer, output: Path, script: Script, ids: list[str]
    ) -> None:
        broken = gzip.compress(b"x" * 1000)[:-5]
        gone = headers("X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum", "X-Docker-Size")
        script.when("GET", f".*{ids[1]}/json", gone)
        script.when("GET", f".*{ids[1]}/layer", reply(200, broken))
        with pytest.raises(ProtocolError, match=f"image {ids[1]} is damaged"):
            client.pull(f"{server.host}/foo/bar:v1", output)


class TestOverRuns:
    def test_an_interrupted_pull_leaves_its_parts_and_the_next_one_goes_on(
        self,
        connect: Callable[..., Client],
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        size_of: Callable[[str], int],
    ) -> None:
        script.when("GET", f".*{ids[2]}/layer", cut(100_000))
        with pytest.raises(TransferFailed):
            connect(attempts=1, parallel=1).pull(reference, output)
        assert (parts(output) / f"{ids[2]}.part").stat().st_size == 100_000
        script.seen.clear()

        result = connect().pull(reference, output)

        assert_is_whole(output, tmp_path)
        assert result.kept_bytes == size_of(ids[0]) + size_of(ids[1]) + 100_000
        assert result.fetched_bytes == size_of(ids[2]) - 100_000
        (only,) = script.requests("GET", LAYER)
        assert only.headers["range"] == f"bytes=100000-{size_of(ids[2]) - 1}"

    def test_an_interrupt_ends_all_threads_and_what_came_is_kept(
        self, client: Client, ids: list[str], reference: str, output: Path, tmp_path: Path, script: Script
    ) -> None:
        def interrupting(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            whole = b"".join(script.registry(environ, start_response))
            yield whole[:200_000]
            main_thread = threading.main_thread().ident
            assert main_thread is not None
            signal.pthread_kill(main_thread, signal.SIGINT)
            is_over.wait(20)

        is_over = threading.Event()
        script.when("GET", f".*{ids[1]}/layer", interrupting)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.pull(reference, output)
        finally:
            is_over.set()
        assert not output.exists()
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)

    def test_a_layer_that_is_another_one_now_is_fetched_anew(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        size_of: Callable[[str], int],
    ) -> None:
        parts(output).mkdir()
        (parts(output) / f"{ids[0]}.part").write_bytes(b"of another one")
        (parts(output) / f"{ids[0]}.etag").write_text('"another"')
        result = client.pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert (result.kept_bytes, result.fetched_bytes) == (0, sum(map(size_of, ids)))
        assert script.requests("GET", f".*{ids[0]}/layer")[0].headers["if-range"] == '"another"'

    @pytest.mark.parametrize("suffix", ["part", "layer"])
    @pytest.mark.parametrize("size", ["shorter", "equal", "longer"])
    def test_damaged_parts_are_found_by_their_sum(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        size_of: Callable[[str], int],
        suffix: str,
        size: str,
    ) -> None:
        count = size_of(ids[0]) + {"shorter": -7, "equal": 0, "longer": 7}[size]
        parts(output).mkdir()
        (parts(output) / f"{ids[0]}.{suffix}").write_bytes(b"x" * count)
        result = client.pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert result.kept_bytes == 0

    def test_two_pulls_to_one_output_do_not_mix(
        self, client: Client, ids: list[str], reference: str, output: Path
    ) -> None:
        parts(output).mkdir()
        with (parts(output) / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(ClientError, match="another pull"):
                client.pull(reference, output)


class TestRedirects:
    def test_CLI_022_a_layer_may_lie_on_another_host_which_sees_no_authorization(
        self,
        connect: Callable[..., Client],
        serve: Callable[..., LiveServer],
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
    ) -> None:
        elsewhere = Script()
        elsewhere.when("GET", ".*", cut(0))
        data = script.storage.read(f"images/{ids[1]}/layer")[0]
        elsewhere.when("GET", ".*", reply(200, data))
        host = serve(elsewhere).host.replace("127.0.0.1", "localhost")
        script.when("GET", f".*{ids[1]}/layer", reply(302, Location=f"http://{host}/bucket/x"), times=2)
        connect(username="ada", password="secret").pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert elsewhere.seen
        assert all("authorization" not in seen.headers for seen in elsewhere.seen)
        assert all("authorization" in seen.headers for seen in script.requests("GET", LAYER))

    def test_a_redirect_on_the_same_host_keeps_the_authorization(
        self,
        connect: Callable[..., Client],
        server: LiveServer,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
    ) -> None:
        data = script.storage.read(f"images/{ids[1]}/layer")[0]
        script.when("GET", f".*{ids[1]}/layer", reply(302, Location=f"{server.url}/elsewhere"))
        script.when("GET", "/elsewhere", reply(200, data))
        connect(username="ada", password="secret").pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert "authorization" in script.requests("GET", "/elsewhere")[0].headers

    def test_redirects_in_a_circle_are_told(
        self, client: Client, ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        script.when("GET", ".*/ancestry", reply(302, Location="ancestry"), times=100)
        with pytest.raises(ProtocolError, match="circle"):
            client.pull(reference, output)


class TestAnswersThatAreNone:
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
    def test_documents_that_do_not_fit_are_refused(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        script: Script,
        path: str,
        body: bytes,
        reason: str,
    ) -> None:
        script.when("GET", f".*/{path}", reply(200, body))
        with pytest.raises(ProtocolError, match=reason):
            client.pull(reference, output)
        assert not output.exists()

    def test_an_ancestry_that_differs_from_the_parents_is_refused(
        self, client: Client, ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        script.when("GET", ".*/ancestry", reply(200, [ids[2], ids[0]]))
        with pytest.raises(ProtocolError, match="a different parent"):
            client.pull(reference, output)

    def test_an_answer_without_end_is_not_read_into_memory(
        self, client: Client, ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        def endless(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])
            return (b" " * 1_000_000 for _ in range(1000))

        script.when("GET", ".*/ancestry", endless)
        with pytest.raises(ProtocolError, match="limit of 16777216 bytes"):
            client.pull(reference, output)

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
    def test_refusals_are_told_in_words(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        script: Script,
        status: int,
        kind: type[ClientError],
        reason: str,
    ) -> None:
        script.when("GET", ".*/ancestry", reply(status, {"error": "Requires authorization"}), times=9)
        with pytest.raises(kind, match=reason):
            client.pull(reference, output)

    def test_small_calls_are_repeated_while_the_registry_is_in_trouble(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        pauses: list[float],
    ) -> None:
        script.when("GET", ".*/ancestry", hang_up)
        script.when("GET", ".*/ancestry", reply(503))
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)
        assert pauses == [0.5, 1.0]

    def test_control_characters_of_a_message_are_not_shown(
        self, client: Client, ids: list[str], reference: str, output: Path, script: Script
    ) -> None:
        script.when("GET", ".*/ancestry", reply(418, {"error": "a\x1b[31m\nb\x00" + "x" * 1000}))
        with pytest.raises(ProtocolError) as caught:
            client.pull(reference, output)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600

    @pytest.mark.parametrize("spoil", [headers("X-Docker-Endpoints"), headers("X-Docker-Token")])
    def test_missing_tokens_and_endpoints_are_no_obstacle(
        self,
        client: Client,
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
        spoil: Any,
    ) -> None:
        script.when("GET", ".*/images", spoil)
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)

    def test_an_endpoint_that_is_dead_is_passed_over(
        self,
        client: Client,
        server: LiveServer,
        serve: Callable[..., LiveServer],
        ids: list[str],
        reference: str,
        output: Path,
        tmp_path: Path,
        script: Script,
    ) -> None:
        dead = serve(Script())
        host = dead.host
        dead.stop()
        script.when("GET", ".*/images", headers(X_Docker_Endpoints=f"{host}, {server.host}"))
        client.pull(reference, output)
        assert_is_whole(output, tmp_path)
