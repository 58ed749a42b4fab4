"""``v1registry serve`` as the config file says: address, workers, TLS, access log."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

import trustme
from support.engine_client import EngineClient, make_image
from support.programs import Program, eventually


def ini_of(tmp_path: Path, *lines: str) -> str:
    text = "\n".join(["[v1registry]", f"storage = file://{tmp_path}/data", *lines, ""])
    (tmp_path / "registry.ini").write_text(text)
    return str(tmp_path / "registry.ini")


def test_address_workers_and_access_log_are_read_from_the_file(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    listening = ("host = 127.0.0.1", "port = 0", "workers = 2")
    config = ini_of(tmp_path, *listening, "access_log = json", f"access_log_file = {log}")

    with Program(["v1registry", "serve", "--config", config], folder=tmp_path) as serving:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        for name in ("1", "2"):
            connection.request("GET", f"/v1/repositories/a/b/tags/{name}?secret=hunter2")
            connection.getresponse().read()
            eventually(lambda: log.read_text().endswith("\n"), "the line is written")
            # as logrotate does
            log.rename(tmp_path / f"access.log.{name}")
            log.touch()
        connection.close()
        assert "with 2 worker(s)" in serving.log

    for name in ("1", "2"):
        line = json.loads((tmp_path / f"access.log.{name}").read_text())
        assert line["path"] == f"/v1/repositories/a/b/tags/{name}"
        assert (line["method"], line["status"], line["address"]) == ("GET", 404, "127.0.0.1")


def test_the_command_line_wins_and_tls_is_read_from_the_file(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    config = ini_of(tmp_path, "port = 1", f"tls_cert = {tmp_path}/cert.pem", f"tls_key = {tmp_path}/key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)

    with Program(["v1registry", "serve", "--config", config, "--port", "0"], folder=tmp_path) as serving:
        connection = http.client.HTTPSConnection("127.0.0.1", serving.port, context=context, timeout=60)
        connection.request("GET", "/v1/_ping")
        assert connection.getresponse().status == 200
        connection.close()


def test_the_access_log_goes_to_standard_output(tmp_path: Path) -> None:
    config = ini_of(tmp_path, "port = 0", "access_log = combined")

    with Program(["v1registry", "serve", "--config", config], folder=tmp_path) as serving:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        connection.request("GET", "/v1/_ping")
        connection.getresponse().read()
        connection.close()
        eventually(lambda: '"GET /v1/_ping HTTP/1.1" 200 2 ' in serving.log, "the line is written")


def test_a_download_that_is_broken_off_is_logged(tmp_path: Path) -> None:
    config = ini_of(tmp_path, "port = 0", "access_log = json")
    image = make_image(b"x" * 30_000_000)

    with Program(["v1registry", "serve", "--config", config], folder=tmp_path) as serving:
        EngineClient(serving.host).push("me/app", [image])
        with serving.connect() as connection:
            connection.sendall(f"GET /v1/images/{image.image_id}/layer HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connection.recv(1000)
        eventually(
            lambda: '"GET", "path": "/v1/images/' in serving.log.split("/v1/repositories")[-1], "written"
        )
        lines = [json.loads(line) for line in serving.log.splitlines() if line.startswith("{")]

    (line,) = [
        line for line in lines if (line["method"], line["status"]) == ("GET", 200) and "layer" in line["path"]
    ]
    assert 0 < line["bytes"] < 30_000_000
    assert line["is_complete"] is False


def test_deletions_are_logged_without_an_option(tmp_path: Path) -> None:
    config = ini_of(tmp_path, "port = 0")

    with Program(["v1registry", "serve", "--config", config], folder=tmp_path) as serving:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
        for method, body in (("PUT", "[]"), ("DELETE", None)):
            connection.request(method, "/v1/repositories/a/b/", body)
            connection.getresponse().read()
        connection.close()
        eventually(lambda: "deleted repository 'a/b'" in serving.log, "the line is written")
        assert "address=127.0.0.1" in serving.log
        assert "GET /v1/_ping" not in serving.log
