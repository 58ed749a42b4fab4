"""``serve`` with TLS: uploads, downloads, requests sent ahead, clients that do not speak TLS."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import trustme
from support.engine_client import Image, in_pieces, make_image, random_layer
from support.programs import Program, eventually
from support.raw_connection import RawConnection, request_bytes

LAYER = random_layer(12_000_000, "tls")


@dataclass
class Secure:
    """A registry behind TLS."""

    program: Program
    ca_file: Path  #: the certificate of the authority
    authority: trustme.CA

    @contextlib.contextmanager
    def connect(self) -> Iterator[RawConnection]:
        """Open a connection."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with (
            self.program.connect() as plain,
            RawConnection(context.wrap_socket(plain, server_hostname="localhost")) as connection,
        ):
            yield connection


def start(folder: Path) -> Secure:
    """Start a registry with a new certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    renew(authority, folder)
    files = ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
    command = ["v1registry", "serve", "--storage", (folder / "data").as_uri(), "--port", "0", *files]
    return Secure(Program(command, folder=folder), folder / "ca.pem", authority)


def renew(authority: trustme.CA, folder: Path) -> None:
    """Write a new certificate and its key."""
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """An open registry."""
    secure = start(tmp_path_factory.mktemp("tls"))
    with secure.program:
        yield secure


@pytest.fixture(scope="module")
def image(secure: Secure) -> Image:
    """An image that was pushed, its layer in chunks."""
    image = make_image(LAYER, name="tls")
    url = f"https://localhost:{secure.program.port}/v1"
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(secure.ca_file)
        base = f"{url}/images/{image.image_id}"
        sums = {"X-Docker-Checksum-Payload": image.payload_checksum}
        for answer in (
            session.put(f"{url}/repositories/tls/image/", json=[{"id": image.image_id}]),
            session.put(f"{base}/json", data=image.json),
            session.put(f"{base}/layer", data=in_pieces(image.layer)),
            session.put(f"{base}/checksum", headers=sums),
        ):
            assert answer.status_code == 200, answer.text
    return image


def test_layer_is_received_by_a_client_that_pauses(secure: Secure, image: Image) -> None:
    with secure.connect() as connection, secure.connect() as other:
        connection.send("GET", f"/v1/images/{image.image_id}/layer")
        # the server has more to send than the system keeps, while others are answered
        other.send("GET", "/v1/_ping")
        assert other.read_answer("GET").status == 200
        assert connection.read_answer("GET").body == LAYER
        connection.send("GET", "/v1/_ping")
        assert connection.read_answer("GET").status == 200, "the connection stays usable"


def test_requests_sent_ahead_are_answered_in_order(secure: Secure, image: Image) -> None:
    paths = ["/v1/_ping", f"/v1/images/{image.image_id}/json", f"/v1/images/{image.image_id}/ancestry"] * 10
    with secure.connect() as connection:
        connection.socket.sendall(b"".join(request_bytes("GET", path) for path in paths))
        answers = [connection.read_answer("GET") for _ in paths]
    assert {answer.status for answer in answers} == {200}
    assert [answer.body for answer in answers[1::3]] == [image.json] * 10


@pytest.mark.parametrize("size", [1, 16_384, 60_000, 65_536, 65_537, 200_000])
def test_bodies_of_every_size_arrive(secure: Secure, size: int) -> None:
    body = b"[" + b" " * (size - 1) + b"]"
    with secure.connect() as connection:
        connection.send("PUT", "/v1/repositories/tls/sizes/", {"Content-Length": str(len(body))}, body)
        assert connection.read_answer("PUT").status == 200
        connection.send("GET", "/v1/_ping", {"Connection": "close"})
        assert connection.read_answer("GET").status == 200
        assert connection.rest() == b"", "TLS is ended properly"


def test_plain_http_is_told_that_https_is_spoken(secure: Secure) -> None:
    with socket.create_connection(("127.0.0.1", secure.program.port), 30) as client:
        client.sendall(request_bytes("GET", "/v1/_ping"))
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"This port speaks https" in answer


def test_garbage_in_place_of_a_handshake_stops_nothing(secure: Secure) -> None:
    with socket.create_connection(("127.0.0.1", secure.program.port), 30) as client:
        client.sendall(b"\x16\x03\x01\x02\x00" + b"\xff" * 512)
        with contextlib.suppress(ConnectionError):
            while client.recv(65536):
                pass
    with secure.connect() as connection:
        connection.send("GET", "/v1/_ping")
        assert connection.read_answer("GET").status == 200


def test_sighup_reads_the_certificate_again(tmp_path: Path) -> None:
    def certificate(secure: Secure) -> bytes | None:
        with secure.connect() as connection:
            connection.send("GET", "/v1/_ping")
            assert connection.read_answer("GET").status == 200
            assert isinstance(connection.socket, ssl.SSLSocket)
            return connection.socket.getpeercert(binary_form=True)

    secure = start(tmp_path)
    with secure.program:
        before = certificate(secure)
        renew(secure.authority, tmp_path)
        os.kill(min(secure.program.processes()), signal.SIGHUP)
        eventually(lambda: certificate(secure) != before, "the new certificate is served")
