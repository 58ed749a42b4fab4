"""The authorization of pushes: credentials, tokens and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pushed_chain import IDS, assert_is_pushed, is_complete
from support.scripted import Script, headers, reply
from v1registry_fakes.server import LiveServer

from v1registry.client import Client, ClientError, NotAuthorized, ProtocolError, RegistryUnreachable


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "spoil", "kind", "reason"),
        [
            ("PUT", ".*/foo/bar/", reply(401), NotAuthorized, "cannot push .* without .*credentials"),
            ("PUT", ".*/foo/bar/", reply(403, {"error": "no"}), NotAuthorized, "403 Forbidden: no"),
            ("PUT", ".*/foo/bar/", reply(404), ProtocolError, "is .* a v1 registry"),
            ("PUT", ".*/foo/bar/", reply(405), ProtocolError, "405 Method Not Allowed"),
            ("PUT", ".*/foo/bar/", reply(204), ProtocolError, "204"),
            ("PUT", ".*/foo/bar/", reply(500), RegistryUnreachable, "try again later"),
            ("PUT", ".*/json", reply(201), ProtocolError, "201"),
            ("PUT", ".*/layer", reply(204), ProtocolError, "push the layer"),
            ("PUT", ".*/checksum", reply(201), ProtocolError, "complete image"),
            ("PUT", ".*/tags/v1", reply(403), NotAuthorized, "set the tag"),
            ("PUT", ".*/tags/v1", reply(204), ProtocolError, "set the tag"),
            ("PUT", ".*/images", reply(200), ProtocolError, "end the push"),
        ],
    )
    def test_statuses_that_engines_reject_fail_the_push(
        self,
        client: Client,
        reference: str,
        archive: Path,
        script: Script,
        method: str,
        path: str,
        spoil: Any,
        kind: type[ClientError],
        reason: str,
    ) -> None:
        script.when(method, path, spoil, times=9)
        with pytest.raises(kind, match=reason):
            client.push(archive, reference)

    @pytest.mark.parametrize("status", ["200 OK", "201 Created"])
    def test_200_and_201_are_accepted_for_list_and_tag(
        self, client: Client, reference: str, archive: Path, script: Script, status: str
    ) -> None:
        script.when("PUT", "/v1/repositories/foo/bar/", headers(status=status))
        script.when("PUT", ".*/tags/v1", headers(status=status))
        client.push(archive, reference)

    def test_only_the_image_list_follows_redirects_of_put(
        self, client: Client, server: LiveServer, reference: str, archive: Path, script: Script
    ) -> None:
        target = f"{server.url}/v1/repositories/foo/bar/"
        script.when("PUT", "/v1/repositories/foo/bar/", reply(307, Location=target))
        client.push(archive, reference)
        assert_is_pushed(script)
        script.when("PUT", ".*/tags/v1", reply(307, Location=target))
        with pytest.raises(ProtocolError, match="307"):
            client.push(archive, reference)


class TestAuthorization:
    BASIC = "Basic YWRhOnNlY3JldA=="

    @pytest.fixture
    def ada(self, connect: Callable[..., Client]) -> Client:
        return connect(username="ada", password="secret")

    def test_index_gets_basic_and_images_get_the_token(
        self, ada: Client, reference: str, archive: Path, script: Script
    ) -> None:
        token = 'signature=ABC,repository="foo/bar",access=write'
        script.when("PUT", "/v1/repositories/foo/bar/", headers(X_Docker_Token=token))
        ada.push(archive, reference)
        (first,) = script.requests("PUT", "/v1/repositories/foo/bar/")
        assert first.headers["authorization"] == self.BASIC
        assert first.headers["x-docker-token"] == "true"
        image_calls = [seen for seen in script.seen if "/images/" in seen.path or "/tags/" in seen.path]
        assert {seen.headers["authorization"] for seen in image_calls} == {f"Token {token}"}
        (last,) = script.requests("PUT", "/v1/repositories/foo/bar/images")
        assert last.headers["authorization"] == self.BASIC
        assert last.headers["x-docker-endpoints"].startswith("http://127.0.0.1:")
        (ping,) = script.requests("GET", "/v1/_ping")
        assert "authorization" not in ping.headers

    def test_scheme_in_the_token_is_not_repeated(
        self, ada: Client, reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", "/v1/repositories/foo/bar/", headers(X_Docker_Token="Token signature=ABC"))
        ada.push(archive, reference)
        assert script.requests("PUT", ".*/layer")[0].headers["authorization"] == "Token signature=ABC"

    def test_images_get_basic_without_a_token(
        self, ada: Client, reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", "/v1/repositories/foo/bar/", headers("X-Docker-Token"))
        ada.push(archive, reference)
        assert script.requests("PUT", ".*/layer")[0].headers["authorization"] == self.BASIC

    def test_last_call_gets_the_token_without_credentials(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        client.push(archive, reference)
        (first,) = script.requests("PUT", "/v1/repositories/foo/bar/")
        assert "authorization" not in first.headers
        (last,) = script.requests("PUT", "/v1/repositories/foo/bar/images")
        assert last.headers["authorization"].startswith("Token signature=")

    @pytest.mark.parametrize("is_standalone", ["True", "False"])
    def test_standalone_registry_gets_basic_on_every_https_call(
        self, serve: Callable[..., LiveServer], script: Script, archive: Path, is_standalone: str
    ) -> None:
        server = serve(script, tls=True)
        script.when("GET", "/v1/_ping", headers(X_Docker_Registry_Standalone=is_standalone))
        with Client(
            server.host, api="v1", verify=server.ca_file, username="ada", password="secret"
        ) as client:
            client.push(archive, f"{server.host}/foo/bar:v1")
        layer = script.requests("PUT", ".*/layer")[0].headers["authorization"]
        assert layer.startswith("Basic" if is_standalone == "True" else "Token")

    def test_basic_is_never_sent_to_another_host(
        self,
        ada: Client,
        serve: Callable[..., LiveServer],
        reference: str,
        archive: Path,
        script: Script,
    ) -> None:
        elsewhere = Script()
        host = serve(elsewhere).host
        script.when("PUT", "/v1/repositories/foo/bar/", headers("X-Docker-Token", X_Docker_Endpoints=host))
        ada.push(archive, reference)
        assert all("authorization" not in seen.headers for seen in elsewhere.seen)
        assert all(is_complete(elsewhere, image_id) for image_id in IDS)
        assert not script.requests("PUT", "/v1/images/.*")

    def test_basic_over_https_is_sent_only_to_the_named_host(
        self, serve: Callable[..., LiveServer], script: Script, archive: Path
    ) -> None:
        server = serve(script, tls=True)
        # The same server under a second name, so that its requests show what was sent there.
        other = server.host.replace("127.0.0.1", "localhost")
        script.when("PUT", "/v1/repositories/foo/bar/", headers(X_Docker_Endpoints=other))
        with Client(
            server.host, api="v1", verify=server.ca_file, username="ada", password="secret"
        ) as client:
            client.push(archive, f"{server.host}/foo/bar:v1")
        at_other = [seen for seen in script.seen if seen.headers["host"] == other]
        assert len(at_other) > 9
        assert all(seen.headers["authorization"].startswith("Token ") for seen in at_other)

    def test_every_endpoint_gets_the_images(
        self,
        client: Client,
        server: LiveServer,
        serve: Callable[..., LiveServer],
        reference: str,
        archive: Path,
        script: Script,
    ) -> None:
        elsewhere = Script()
        both = f"{server.host}, {serve(elsewhere).host}"
        script.when("PUT", "/v1/repositories/foo/bar/", headers(X_Docker_Endpoints=both))
        client.push(archive, reference)
        assert_is_pushed(script)
        assert_is_pushed(elsewhere)

    @pytest.mark.parametrize(
        ("endpoint", "reason"),
        [("registry.example", "plain http"), ("a/b", r"not HOST\[:PORT\]"), ("x y", r"not HOST\[:PORT\]")],
    )
    def test_unsafe_endpoints_are_refused(
        self,
        serve: Callable[..., LiveServer],
        archive: Path,
        script: Script,
        endpoint: str,
        reason: str,
    ) -> None:
        server = serve(script)
        script.when("PUT", "/v1/repositories/foo/bar/", headers(X_Docker_Endpoints=endpoint))
        with Client(server.host, api="v1") as client, pytest.raises(ProtocolError, match=reason):
            client.push(archive, f"{server.host}/foo/bar:v1")

    def test_expired_token_is_renewed(
        self, ada: Client, reference: str, archive: Path, script: Script
    ) -> None:
        for number in (1, 2):
            script.when("PUT", "/v1/repositories/foo/bar/", headers(X_Docker_Token=f"signature={number}"))
        script.when("PUT", f".*{IDS[2]}/layer", reply(401))
        ada.push(archive, reference)
        assert_is_pushed(script)
        # a new token begins a new push of the image (decisions.md 5), so its JSON is sent again
        sent = [seen.headers["authorization"] for seen in script.requests("PUT", f".*{IDS[2]}/layer")]
        assert sent == ["Token signature=1", "Token signature=2", "Token signature=2"]

    def test_rejected_token_is_renewed_only_once(
        self, ada: Client, reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", ".*/tags/v1", reply(401), times=9)
        with pytest.raises(NotAuthorized, match="set the tag"):
            ada.push(archive, reference)
        assert len(script.requests("PUT", "/v1/repositories/foo/bar/")) == 2

    def test_netrc_of_the_user_is_ignored(
        self,
        client: Client,
        server: LiveServer,
        reference: str,
        archive: Path,
        script: Script,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password x\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        client.push(archive, reference)
        assert not [seen for seen in script.seen if seen.headers.get("authorization", "").startswith("Basic")]

    def test_proxies_are_not_used_for_this_machine(
        self,
        client: Client,
        serve: Callable[..., LiveServer],
        reference: str,
        archive: Path,
        script: Script,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        proxy = Script()
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, serve(proxy).url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        client.push(archive, reference)
        assert_is_pushed(script)
        assert proxy.seen == []

    def test_cookies_are_sent_back(
        self, client: Client, reference: str, archive: Path, script: Script
    ) -> None:
        script.when("PUT", "/v1/repositories/foo/bar/", headers(Set_Cookie="session=abc; Path=/"))
        client.push(archive, reference)
        assert script.requests("PUT", ".*/tags/v1")[0].headers["cookie"] == "session=abc"
