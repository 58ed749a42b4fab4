"""The client never speaks plain http after https, with or without credentials."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from support.archives import make_archive
from support.scripted import Script, reply
from support.tls_server import TlsServer
from v1registry_fakes.server import LiveServer

from v1registry.client import Client, ClientError, ProtocolError, RegistryUnreachable

Serve = Callable[..., LiveServer]


@pytest.fixture
def plain() -> Script:
    """A registry over plain http, to which the registry over https redirects."""
    return Script()


@pytest.fixture
def plain_url(plain: Script, serve: Serve) -> str:
    return serve(plain).url


@pytest.fixture
def secure(script: Script, serve: Serve) -> LiveServer:
    """The registry of the test over https."""
    return serve(script, tls=True)


@pytest.fixture
def client(secure: LiveServer) -> Iterator[Client]:
    with Client(
        secure.host, api="v1", verify=secure.ca_file, username="mira", password="secret", sleep=lambda _: None
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/repositories/foo/bar/"),
        ("GET", "/v1/images/.*/json"),
        ("PUT", "/v1/images/.*/json"),
        ("PUT", "/v1/images/.*/layer"),
        ("PUT", "/v1/images/.*/checksum"),
        ("PUT", "/v1/repositories/foo/bar/tags/v1"),
        ("PUT", "/v1/repositories/foo/bar/images"),
    ],
)
def test_push_does_not_follow_a_redirect_to_plain_http(
    method: str,
    path: str,
    client: Client,
    secure: LiveServer,
    script: Script,
    plain: Script,
    plain_url: str,
    archive: Path,
) -> None:
    script.when(method, path, reply(307, Location=f"{plain_url}/v1/x"), times=9)

    with pytest.raises(ProtocolError, match="plain http is never used after https"):
        client.push(archive, f"{secure.host}/foo/bar:v1")

    assert plain.seen == []


@pytest.mark.parametrize(
    "path", ["_ping", "repositories/foo/bar/images", ".*/tags/v1", ".*/ancestry", ".*/json", ".*/layer"]
)
def test_pull_does_not_follow_a_redirect_to_plain_http(
    path: str,
    client: Client,
    secure: LiveServer,
    script: Script,
    plain: Script,
    plain_url: str,
    archive: Path,
    tmp_path: Path,
) -> None:
    reference = f"{secure.host}/foo/bar:v1"
    with Client(secure.host, api="v1", verify=secure.ca_file) as other:
        other.push(archive, reference)
    script.when("GET", f"/v1/{path}", reply(302, Location=f"{plain_url}/v1/x"), times=9)

    with pytest.raises(ProtocolError, match="plain http is never used after https"):
        client.pull(reference, tmp_path / "pulled.tar")

    assert plain.seen == []


def test_redirect_to_https_is_followed_without_credentials(
    client: Client, secure: LiveServer, script: Script, serve: Serve, archive: Path
) -> None:
    other = Script()
    target = serve(other, tls=True)
    script.when("PUT", "/v1/repositories/foo/bar/", reply(307, Location=f"{target.url}/v1/x"))
    other.when("PUT", "/v1/x", reply(200, "", X_Docker_Endpoints=secure.host))
    client = Client(secure.host, api="v1", insecure=True, username="mira", password="secret")

    with client, pytest.warns(match="Unverified HTTPS request"):
        client.push(archive, f"{secure.host}/foo/bar:v1")

    (seen,) = other.seen
    assert "authorization" not in seen.headers


def test_redirect_to_another_protocol_is_refused(client: Client, secure: LiveServer, script: Script) -> None:
    script.when("GET", "/v1/_ping", reply(302, Location="ftp://localhost/v1/_ping"))

    with pytest.raises(ProtocolError, match="not a URL of http or https"):
        client.ping()


class DyingServer:
    """A server that completes TLS handshakes, and closes the connection in place of an answer."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext):
        self.host = f"localhost:{listener.getsockname()[1]}"
        self.plain_bytes = b""
        self._listener = listener
        self._context = context

    def run(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(1, socket.MSG_PEEK) != b"\x16":
                    self.plain_bytes += connection.recv(4096)
                    continue
                # a client that only looks for TLS resets the connection after the handshake
                with (
                    suppress(ConnectionError),
                    self._context.wrap_socket(connection, server_side=True) as stream,
                ):
                    stream.recv(4096)


@contextmanager
def dying_server(authority: trustme.CA) -> Iterator[DyingServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = DyingServer(listener, context)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_connection_that_breaks_after_the_handshake_is_not_repeated_in_plain_http(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (
        dying_server(authority) as server,
        Client(
            server.host, api="v1", verify=tmp_path / "ca.pem", username="mira", password="secret"
        ) as client,
        pytest.raises(RegistryUnreachable, match="cannot reach localhost"),
    ):
        client.ping()

    assert server.plain_bytes == b""


def test_plain_http_at_a_port_of_tls_is_explained(secure: LiveServer, script: Script) -> None:
    with (
        Client(f"http://{secure.host}", api="v1") as client,
        pytest.raises(RegistryUnreachable, match=f"but TLS: write https://{secure.host}/"),
    ):
        client.ping()

    assert script.seen == []


def test_400_of_a_plain_server_is_a_ping(server: LiveServer, script: Script) -> None:
    script.when("GET", "/v1/_ping", reply(400))
    with Client(f"http://{server.host}", api="v1") as client:
        assert client.ping().status == 400


def test_remedies_name_the_options(secure: LiveServer, tmp_path: Path) -> None:
    make_archive(tmp_path / "image.tar")
    with Client(secure.host, api="v1") as client, pytest.raises(ClientError, match=r"--ca-cert.*--insecure"):
        client.push(tmp_path / "image.tar", f"{secure.host}/foo/bar:v1")


def test_http_address_that_leads_to_https_is_used_over_https_from_then_on(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (
        TlsServer(authority) as server,
        Client(
            f"http://{server.host}", api="v1", verify=tmp_path / "ca.pem", username="mira", password="secret"
        ) as client,
    ):
        assert client.ping().url == f"https://{server.host}/v1/"
        with pytest.raises(ProtocolError):
            client.pull(f"{server.host}/foo/bar", tmp_path / "pulled.tar")

    assert server.plain == ["GET /v1/_ping"]


def test_http_address_that_leads_to_https_elsewhere_is_not_used(secure: LiveServer, tmp_path: Path) -> None:
    script = Script()
    script.when("GET", "/v1/_ping", reply(302, Location=f"{secure.url}/v1/_ping"))
    with (
        LiveServer(script) as plain,
        Client(
            f"http://{plain.host}", api="v1", verify=secure.ca_file, username="mira", password="secret"
        ) as client,
        pytest.raises(RegistryUnreachable, match=f"write https://{secure.host}/"),
    ):
        client.pull(f"{plain.host}/foo/bar", tmp_path / "pulled.tar")

    assert [str(seen) for seen in script.seen] == ["GET /v1/_ping"]
