"""Delays and broken connections: the end of waits, answers without a body, TLS, and the log."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import threading
import time

import httpx
import pytest
import requests
from v1registry_fakes import ConnectionCut, FakeRegistry, WSGISession
from webtest import TestApp

#: In seconds. No test waits so long.
LONG_S = 30


def wait_until(condition):
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def live():
    with FakeRegistry() as registry:
        registry.image_id = registry.add_image("alice/app:1", layer=b"0123456789" * 20_000).id
        yield registry


# -- waits


@pytest.mark.parametrize("end", ["undo", "reset", "close"])
def test_a_delay_ends_with_its_fault(end):
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        fault = registry.fail(delay_s=600)
        statuses = []
        thread = threading.Thread(target=lambda: statuses.append(session.get("/v1/_ping").status_code))
        thread.start()
        wait_until(lambda: fault.count)
        assert statuses == []
        fault.undo() if end == "undo" else getattr(registry, end)()
        thread.join(LONG_S)
        assert statuses == [200]


def test_delays_of_several_faults_add_up(registry):
    with WSGISession(registry.app) as session:
        registry.fail(delay_s=0.02)
        registry.fail(delay_s=0.02)
        began_s = time.monotonic()
        assert session.get("/v1/_ping").status_code == 200
        assert time.monotonic() - began_s >= 0.04


def test_a_slow_body_takes_its_time(live):
    with live.fail("GET", "*/layer", bytes_per_second=10_000_000) as fault:
        began_s = time.monotonic()
        answer = requests.get(f"{live.url}/v1/images/{live.image_id}/layer", timeout=LONG_S)
        assert time.monotonic() - began_s >= 0.02
        assert (len(answer.content), fault.count) == (200_000, 1)


@pytest.mark.parametrize("effects", [{"delay_s": 600}, {"bytes_per_second": 1}], ids=["delay", "slow"])
def test_a_time_out_of_the_client_frees_the_thread_of_the_port(live, effects):
    with live.fail("GET", "*/layer", **effects) as fault:
        for _ in range(8):  # more than the port has threads
            with (
                pytest.raises(requests.exceptions.RequestException),
                requests.get(f"{live.url}/v1/images/{live.image_id}/layer", timeout=0.02) as answer,
            ):
                answer.raise_for_status()
        wait_until(lambda: fault.count == 8)
        assert requests.get(f"{live.url}/v1/_ping", timeout=LONG_S).status_code == 200


# -- broken connections


def test_the_bytes_before_the_cut_arrive(live):
    connection = http.client.HTTPConnection(live.host, timeout=LONG_S)
    live.fail("GET", "*/layer", cut_after_bytes=150_000)
    connection.request("GET", f"/v1/images/{live.image_id}/layer")
    with connection.getresponse() as answer, pytest.raises(http.client.IncompleteRead) as failure:
        answer.read()
    connection.close()
    assert failure.value.partial == (b"0123456789" * 15_000)
    assert failure.value.expected == 50_000


def test_a_broken_download_is_resumed(live):
    url = f"{live.url}/v1/images/{live.image_id}/layer"
    live.fail("GET", "*/layer", cut_after_bytes=70_001, times=1)
    got = b""
    with requests.Session() as session, session.get(url, stream=True, timeout=LONG_S) as answer:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            for piece in answer.iter_content(1000):
                got += piece
        rest = session.get(url, headers={"Range": f"bytes={len(got)}-"}, timeout=LONG_S)
    assert rest.status_code == 206
    assert got + rest.content == live.images[live.image_id].layer


def test_a_body_without_length_is_cut_without_its_last_chunk(live):
    live.fail("GET", "*/layer", headers={"Content-Length": None}, cut_after_bytes=10)
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.RemoteProtocolError) as failure:
        client.get(f"{live.url}/v1/images/{live.image_id}/layer")
    assert "incomplete chunked read" in str(failure.value)


def test_a_longer_limit_than_the_body_cuts_nothing(live):
    fault = live.fail("GET", "/v1/_ping", cut_after_bytes=2)
    assert requests.get(f"{live.url}/v1/_ping", timeout=LONG_S).content == b"{}"
    assert fault.count == 1


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/v1/_ping"), ("PUT", "/v1/repositories/a/b/images")])
@pytest.mark.parametrize("is_live", [False, True], ids=["in process", "live"])
def test_an_answer_without_a_body_is_cut_before_its_headers(registry, method, path, is_live):
    registry.add_repository("a/b")
    registry.fail(cut_after_bytes=0)
    base = registry.url if is_live else ""
    with (
        requests.Session() if is_live else WSGISession(registry.app) as session,
        pytest.raises(requests.ConnectionError),
    ):
        session.request(method, base + path, data=b"[]", timeout=LONG_S)
    assert registry.requests[0].status is None


def test_an_upload_meets_a_closed_connection(registry):
    registry.fail("PUT", refuse_connection=True)
    pieces = iter([b"x" * 100_000] * 20)
    with pytest.raises(requests.ConnectionError):
        requests.put(f"{registry.url}/v1/images/{'ab' * 32}/layer", data=pieces, timeout=LONG_S)


def test_the_connection_of_a_refused_upload_can_be_used_again(registry):
    registry.fail("PUT", html=True)
    with requests.Session() as session:
        for _ in range(2):
            url = f"{registry.url}/v1/images/{'ab' * 32}/layer"
            assert session.put(url, data=iter([b"x" * 1000] * 5), timeout=LONG_S).status_code == 502
        assert session.get(f"{registry.url}/v1/_ping", timeout=LONG_S).status_code == 200


@pytest.mark.parametrize(
    "effects", [{"cut_after_bytes": 10}, {"refuse_connection": True}], ids=["cut", "refused"]
)
def test_connections_with_tls_break_too(effects):
    with FakeRegistry(tls=True) as registry:
        image = registry.add_image("alice/app:1")
        registry.fail("GET", "*/layer", **effects)
        context = ssl.create_default_context(cafile=registry.ca_file)
        connection = http.client.HTTPSConnection(registry.host, timeout=LONG_S, context=context)
        connection.request("GET", f"/v1/images/{image.id}/layer")
        with pytest.raises((http.client.IncompleteRead, OSError)) as failure:
            connection.getresponse().read()
        assert not isinstance(failure.value, TimeoutError)
        connection.close()


def test_a_cut_connection_leaves_the_port_and_others_alone(live):
    live.fail("GET", "*/layer", cut_after_bytes=10)
    with requests.Session() as session:
        assert session.get(f"{live.url}/v1/_ping", timeout=LONG_S).status_code == 200
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(f"{live.url}/v1/images/{live.image_id}/layer", timeout=LONG_S)
        assert session.get(f"{live.url}/v1/_ping", timeout=LONG_S).status_code == 200


@pytest.mark.parametrize(
    "effects",
    [{"cut_after_bytes": 0}, {"cut_after_bytes": 10}, {"refuse_connection": True}, {"status": 500}],
)
def test_faults_write_nothing_into_the_log(live, caplog, effects):
    caplog.set_level(logging.INFO, logger="v1registry_fakes")
    caplog.set_level(logging.WARNING)
    live.fail("GET", "*/layer", **effects)
    sock = socket.create_connection(live.host.rsplit(":", 1), timeout=LONG_S)
    with sock:
        sock.sendall(f"GET /v1/images/{live.image_id}/layer HTTP/1.0\r\n\r\n".encode())
        while sock.recv(65536):
            pass
    live.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_cut_of_a_client_without_sockets_is_a_connection_error(registry):
    registry.fail(cut_after_bytes=1)
    with pytest.raises(ConnectionCut) as failure:
        TestApp(registry.app).get("/v1/_ping")
    assert isinstance(failure.value, ConnectionResetError)
    assert str(failure.value) == "[Errno 104] a fault cuts the connection: any request: cut_after_bytes=1"
    registry.check()
