"""Pulls with redirects and invalid answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support.scripted import Script, cut, hang_up, headers, reply
from support.tagged import LAYER, Tagged
from v1registry_fakes.server import LiveServer

from v1registry.client import (
    Client,
    ClientError,
    NotAuthorized,
    NotFoundInRegistry,
    ProtocolError,
    RegistryUnreachable,
)


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

    @pytest.mark.parametrize("target", ["http://127.0.0.1:99999/", "http://[::", "http://a:b/"])
    def test_target_that_is_not_a_url_is_reported(
        self, client: Client, tagged: Tagged, script: Script, target: str
    ) -> None:
        script.when("GET", ".*/ancestry", reply(302, Location=target), times=100)
        with pytest.raises(ProtocolError, match="not a URL"):
            client.pull(tagged.reference, tagged.output)

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
