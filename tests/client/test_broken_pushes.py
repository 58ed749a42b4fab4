"""Pushes with interruptions, other clients, refusals, and their authorization."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.archives import Watch, make_archive, make_chain
from support.scripted import Script, hang_up, headers, reply
from v1registry_fakes.server import LiveServer

from v1registry.client import (
    BadArchive,
    Client,
    ClientError,
    NotAuthorized,
    NotFoundInRegistry,
    ProtocolError,
    RegistryUnreachable,
    TransferFailed,
)

IDS = [image.image_id for image, _ in make_chain(3)]
EXISTS = {"error": "Image already exists"}


def is_complete(script: Script, image_id: str) -> bool:
    """Tell whether the registry has the image with the layer of the archive."""
    keys = {stat.key.rpartition("/")[2] for stat in script.storage.list(f"images/{image_id}/")}
    if "layer" not in keys or "_inprogress" in keys:
        return False
    layers = {image.image_id: layer for image, layer in make_chain(3)}
    return gzip.decompress(script.storage.read(f"images/{image_id}/layer")[0]) == layers[image_id]


def assert_is_pushed(script: Script) -> None:
    assert all(is_complete(script, image_id) for image_id in IDS)
    assert script.storage.read("repositories/foo/bar/tag_v1")[0].decode() == IDS[2]


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
        other = Client(reference.partition("/")[0], scheme="http")

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
        with Client(server.host, verify=server.ca_file, username="ada", password="secret") as client:
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
        with Client(server.host, verify=server.ca_file, username="ada", password="secret") as client:
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
        with Client(server.host) as client, pytest.raises(ProtocolError, match=reason):
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
