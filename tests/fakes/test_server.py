"""The live port: real sockets, with and without TLS, for several registries."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import requests
from v1registry_fakes import FakeRegistry, LiveServer

IMAGE_ID = "cd" * 32


def answering(text):
    def application(environ, start_response):
        body = text.encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return application


def live_threads():
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


def push(session, url, pieces):
    """Push an image with a chunked layer, as engines do."""
    path = f"{url}/v1/images/{IMAGE_ID}"
    session.put(f"{path}/json", json={"id": IMAGE_ID}).raise_for_status()
    session.put(f"{path}/layer", data=iter(pieces)).raise_for_status()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_chunked_layer_is_pushed_and_pulled_over_the_live_port(tls):
    with FakeRegistry(tls=tls) as registry, requests.Session() as session:
        session.trust_env = False  # or the machine's REQUESTS_CA_BUNDLE goes before session.verify
        session.verify = registry.ca_file if tls else True
        assert urlsplit(registry.url).scheme == ("https" if tls else "http")
        push(session, registry.url, [b"one", b"two" * 100_000])
        image = registry.images[IMAGE_ID]
        assert image.layer == b"one" + b"two" * 100_000
        path = f"{registry.url}/v1/images/{IMAGE_ID}"
        sums = {"X-Docker-Checksum-Payload": image.checksum}
        assert session.put(f"{path}/checksum", headers=sums).status_code == 200
        with session.get(f"{path}/layer", stream=True) as response:
            assert b"".join(response.iter_content(10_000)) == image.layer


def test_the_endpoint_of_clients_is_the_live_port():
    with FakeRegistry() as registry:
        registry.add_image("alice/app")
        response = requests.get(f"{registry.url}/v1/repositories/alice/app/images", timeout=10)
        assert response.headers["X-Docker-Endpoints"] == registry.host
        assert registry.url == f"http://{registry.host}"
        assert repr(registry).startswith(f"<FakeRegistry at {registry.url}: ")


def test_several_registries_are_live_at_once():
    with FakeRegistry() as one, FakeRegistry() as other, FakeRegistry(tls=True) as third:
        one.add_image("alice/one")
        third.add_image("alice/three")
        found = [
            requests.get(f"{registry.url}/v1/search", verify=verify, timeout=10).json()["results"]
            for registry, verify in [(one, True), (other, True), (third, third.ca_file)]
        ]
        assert [[hit["name"] for hit in hits] for hits in found] == [["alice/one"], [], ["alice/three"]]


def test_a_reset_keeps_the_port_and_its_connections():
    with FakeRegistry() as registry, requests.Session() as session:
        registry.add_image("alice/app")
        url = registry.url
        assert session.get(f"{url}/v1/search").json()["num_results"] == 1
        registry.reset()
        assert session.get(f"{url}/v1/search").json()["num_results"] == 0
        assert registry.url == url


def test_nothing_listens_before_the_first_use():
    before = live_threads()
    server = LiveServer(answering("x"))
    assert not server.is_running
    assert live_threads() == before
    assert server.url.startswith("http://127.0.0.1:")
    assert server.is_running
    server.stop()
    assert not server.is_running
    assert live_threads() == before


def test_it_listens_on_loopback_only():
    with LiveServer(answering("x")) as server:
        assert server.host.startswith("127.0.0.1:")
        assert 0 < int(server.host.partition(":")[2]) < 65536


def test_applications_follow_each_other_on_one_port():
    with LiveServer() as server, requests.Session() as session:
        idle = session.get(server.url)
        assert (idle.status_code, "No registry is served here" in idle.text) == (503, True)
        server.mount(answering("one"))
        assert session.get(server.url).text == "one"
        with pytest.raises(RuntimeError, match="one application at a time"):
            server.mount(answering("two"))
        server.unmount()
        server.mount(answering("two"))
        assert session.get(server.url).text == "two"


def test_a_registry_can_be_served_by_a_given_server():
    with LiveServer() as server:
        url = server.url
        for name in ["alice/one", "alice/two"]:
            with FakeRegistry(server=server) as registry:
                registry.add_image(name)
                assert registry.url == url
                hits = requests.get(f"{url}/v1/search", timeout=10).json()["results"]
                assert [hit["name"] for hit in hits] == [name]
        assert requests.get(url, timeout=10).status_code == 503


def test_a_stopped_server_starts_again():
    server = LiveServer(answering("x"))
    for _ in range(2):
        assert requests.get(server.url, timeout=10).text == "x"
        server.stop()
    server.stop()


def test_threads_that_use_the_url_at_once_get_one_server():
    with LiveServer(answering("x")) as server:
        urls = []
        threads = [threading.Thread(target=lambda: urls.append(server.url)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(urls)) == 1


def test_a_port_that_cannot_be_opened_is_an_error(monkeypatch):
    def refuse(*arguments):
        raise OSError("no more ports")

    before = live_threads()
    monkeypatch.setattr("cheroot.server.HTTPServer.bind", refuse)
    server = LiveServer(answering("x"), tls=True)
    with pytest.raises(OSError, match="no more ports"):
        _ = server.url
    assert not server.is_running
    assert live_threads() == before


def test_stop_cuts_an_upload():
    has_begun, saw = threading.Event(), []

    def application(environ, start_response):
        saw.append(environ["wsgi.input"].read(1))
        has_begun.set()
        try:
            saw.append(environ["wsgi.input"].read(10))
        except OSError as error:
            saw.append(type(error).__name__)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    server = LiveServer(application)
    port = int(server.host.partition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n1")
        assert has_begun.wait(10)
        server.stop()
        assert len(saw) == 2
        assert connection.recv(1000)[:12] in (b"", b"HTTP/1.1 200")


def test_stop_does_not_wait_for_idle_connections():
    before = live_threads()
    with FakeRegistry() as registry, requests.Session() as session:
        session.get(f"{registry.url}/v1/_ping")
        silent = socket.create_connection(("127.0.0.1", int(registry.host.partition(":")[2])))
    assert live_threads() == before
    silent.close()


def test_broken_connections_cause_no_warnings():
    program = (
        "import gc, socket\n"
        "from v1registry_fakes import LiveServer\n"
        "def application(environ, start_response):\n"
        "    environ['wsgi.input'].read()\n"
        "    start_response('200 OK', [('Content-Length', '9')])\n"
        "    return [b'nobody is']\n"
        "with LiveServer(application) as server:\n"
        "    for number in range(20):\n"
        "        with socket.create_connection(('127.0.0.1', server.start().port)) as connection:\n"
        "            head = b'PUT / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 5\\r\\n\\r\\n'\n"
        "            connection.sendall(head + b'ab')\n"
        "gc.collect()\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "ignore:'cgi'", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_ends_without_stop():
    program = (
        "from v1registry_fakes import FakeRegistry\n"
        "import urllib.request\n"
        "registry = FakeRegistry()\n"
        "print(urllib.request.urlopen(registry.url + '/v1/_ping').status)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


def test_a_failure_of_the_application_is_logged_and_not_printed(capsys, caplog):
    def application(environ, start_response):
        raise ZeroDivisionError("by chance")

    with LiveServer(application) as server, caplog.at_level(logging.ERROR):
        assert requests.get(server.url, timeout=10).status_code == 500
    assert "by chance" in caplog.text
    assert capsys.readouterr().err == ""


def test_a_failure_of_the_registry_over_the_live_port_fails_the_check(monkeypatch):
    with FakeRegistry() as registry:
        with monkeypatch.context() as patched:
            patched.setattr(registry.storage, "list_folders", lambda *arguments, **options: 1 / 0)
            assert requests.get(f"{registry.url}/v1/search", timeout=10).status_code == 500
        with pytest.raises(AssertionError, match="GET /v1/search 500\n    ZeroDivisionError"):
            registry.check()


def test_encoded_slashes_and_expectations_reach_the_registry():
    with FakeRegistry() as registry:
        connection = http.client.HTTPConnection(registry.host, timeout=10)
        connection.request(
            "PUT", f"/v1/images/{IMAGE_ID}/json", f'{{"id": "{IMAGE_ID}"}}', {"Expect": "100-continue"}
        )
        assert connection.getresponse().read() == b"true"
        connection.request("GET", "/v1/images/a%2Fb/json")
        assert connection.getresponse().status == 404
        connection.close()
        assert registry.requests[0].status == 200


# -- TLS


def test_the_certificate_has_all_names_of_loopback():
    with FakeRegistry(tls=True) as registry:
        context = ssl.create_default_context(cafile=registry.ca_file)
        port = int(registry.host.partition(":")[2])
        for name in ["127.0.0.1", "localhost", "::1"]:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=name) as secure,
            ):
                assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_a_client_without_the_certificate_fails():
    with FakeRegistry(tls=True) as registry:
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{registry.url}/v1/_ping", timeout=10)
        assert registry.requests == []
        assert (
            requests.get(f"{registry.url}/v1/_ping", verify=registry.ca_file, timeout=10).status_code == 200
        )


def test_stop_removes_the_certificate():
    with FakeRegistry(tls=True) as registry:
        path = registry.ca_file
        with open(path) as file:
            assert "BEGIN CERTIFICATE" in file.read()
    with pytest.raises(FileNotFoundError):
        open(path)  # noqa: SIM115


def test_plain_http_on_a_tls_port_does_no_harm():
    with FakeRegistry(tls=True) as registry:
        port = int(registry.host.partition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(ConnectionResetError):
                connection.recv(1000)
        assert (
            requests.get(f"{registry.url}/v1/_ping", verify=registry.ca_file, timeout=10).status_code == 200
        )


def test_a_port_without_tls_has_no_certificate_to_trust():
    with FakeRegistry() as registry, pytest.raises(ValueError, match="make it with tls=True"):
        _ = registry.ca_file


@pytest.mark.parametrize(
    ("module", "tls", "text"),
    [
        ("cheroot.wsgi", False, r"a live port needs cheroot: pip install 'v1registry\[fakes\]'"),
        ("trustme", True, r"a live port with TLS needs trustme: pip install 'v1registry\[fakes\]'"),
    ],
)
def test_a_missing_library_names_the_extra(monkeypatch, module, tls, text):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "v1registry_fakes.listener", raising=False)
    with FakeRegistry(tls=tls) as registry:
        registry.add_image("alice/app")
        with pytest.raises(ImportError, match=text):
            _ = registry.url
