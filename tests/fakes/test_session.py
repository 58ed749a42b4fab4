"""The requests.Session that calls a WSGI application in this process: requests and answers."""

from __future__ import annotations

import gc
import importlib
import io
import sys
import weakref

import pytest
import requests
from v1registry_fakes import FakeRegistry, WSGIAdapter, WSGISession

IMAGE_ID = "ab" * 32


class Application:
    """A WSGI application that records requests. A test sets its answer."""

    def __init__(self):
        self.status = "200 OK"
        self.headers = []
        self.chunks = [b"body"]
        self.environ = None
        self.body = None
        self.was_closed = 0
        self.given = 0

    def __call__(self, environ, start_response):
        self.environ = environ
        self.body = environ["wsgi.input"].read()
        self.start_response = start_response
        start_response(self.status, self.headers)
        return self

    def __iter__(self):
        for chunk in self.chunks:
            self.given += 1
            yield chunk

    def close(self):
        self.was_closed += 1


@pytest.fixture
def application():
    return Application()


@pytest.fixture
def session(application):
    with WSGISession(application) as session:
        yield session


# -- what is sent


def test_the_environ_is_that_of_a_server(session, application):
    session.get(
        "https://registry.example.com:5000/a%20b/%c3%a9?q=x%20y&n=1", headers={"X-Docker-Token": "true"}
    )
    environ = application.environ
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/Ã©",
        "QUERY_STRING": "q=x%20y&n=1",
        "SERVER_NAME": "registry.example.com",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "registry.example.com:5000",
        "HTTP_X_DOCKER_TOKEN": "true",
        "wsgi.url_scheme": "https",
        "wsgi.version": (1, 0),
    }
    assert {key: environ[key] for key in expected} == expected
    assert "CONTENT_LENGTH" not in environ
    assert "wsgi.input_terminated" not in environ
    assert application.body == b""


@pytest.mark.parametrize(("url", "port"), [("http://a.example/", "80"), ("https://a.example/", "443")])
def test_a_url_without_a_port_has_that_of_its_scheme(session, application, url, port):
    session.get(url)
    assert application.environ["SERVER_PORT"] == port


def test_a_path_is_below_the_base_url(application):
    with WSGISession(application, base_url="https://registry.example.com") as session:
        assert session.get("/v1/_ping").url == "https://registry.example.com/v1/_ping"
        assert session.put("v1/x").url == "https://registry.example.com/v1/x"


def test_headers_given_as_bytes_and_a_host_header_arrive(session, application):
    session.get("/", headers={"X-Bytes": b"caf\xe9", "Host": "other.example"})
    assert application.environ["HTTP_X_BYTES"] == "café"
    assert application.environ["HTTP_HOST"] == "other.example"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"bytes", b"bytes"),
        ("text é", "text é".encode()),
        (io.BytesIO(b"a file"), b"a file"),
        ({"key": "value"}, b"key=value"),
    ],
    ids=["bytes", "text", "file", "form"],
)
def test_a_body_of_known_length_has_it(session, application, body, sent):
    session.put("/", data=body)
    assert application.body == sent
    assert application.environ["CONTENT_LENGTH"] == str(len(sent))
    assert "wsgi.input_terminated" not in application.environ
    assert "HTTP_TRANSFER_ENCODING" not in application.environ


def test_a_json_body_has_its_type(session, application):
    session.put("/", json="é")
    assert application.body == b'"\\u00e9"'
    assert application.environ["CONTENT_TYPE"] == "application/json"


def test_a_request_without_a_body_says_so(session, application):
    session.put("/")
    assert application.environ["CONTENT_LENGTH"] == "0"


def _no_length():
    class Pipe(io.BytesIO):
        def seek(self, *arguments):
            raise io.UnsupportedOperation

        def tell(self):
            raise io.UnsupportedOperation

        def getvalue(self):
            raise AssertionError("a pipe has no value as a whole")

    return Pipe(b"one two")


@pytest.mark.parametrize(
    "body",
    [lambda: (piece for piece in [b"one", b"", b" two"]), lambda: iter([b"one ", "two"]), _no_length],
    ids=["generator", "iterator with text", "pipe"],
)
def test_a_body_without_a_length_is_chunked(session, application, body):
    session.put("/", data=body())
    assert application.body == b"one two"
    assert "CONTENT_LENGTH" not in application.environ
    assert application.environ["wsgi.input_terminated"] is True
    assert application.environ["HTTP_TRANSFER_ENCODING"] == "chunked"


def test_a_body_is_read_while_it_is_made():
    events = []

    def pieces():
        for number in range(3):
            events.append(f"made {number}")
            yield b"x" * (1 << 16)

    def application(environ, start_response):
        for number in range(3):
            assert len(environ["wsgi.input"].read(1 << 16)) == 1 << 16
            events.append(f"read {number}")
        start_response("200 OK", [])
        return []

    with WSGISession(application) as session:
        session.put("/", data=pieces())
    assert events == ["made 0", "read 0", "made 1", "read 1", "made 2", "read 2"]


@pytest.mark.parametrize("method", ["readline", "readlines", "__iter__"])
def test_the_input_has_all_methods_of_wsgi(method):
    def application(environ, start_response):
        read = getattr(environ["wsgi.input"], method)()
        start_response("200 OK", [])
        return [read] if isinstance(read, bytes) else list(read)

    with WSGISession(application) as session:
        expected = "one\n" if method == "readline" else "one\ntwo\n"
        assert session.put("/", data=iter([b"on", b"e\ntwo\n"])).text == expected


def test_an_exception_of_a_body_is_raised_and_nothing_stored():
    def pieces():
        yield b"half"
        raise LookupError("the other half is gone")

    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        session.put(f"/v1/images/{IMAGE_ID}/json", json={"id": IMAGE_ID})
        with pytest.raises(LookupError, match="the other half is gone"):
            session.put(f"/v1/images/{IMAGE_ID}/layer", data=pieces())
        with pytest.raises(LookupError, match="no layer"):
            _ = registry.images[IMAGE_ID].layer
        assert registry.requests[-1].status == 400


# -- what comes back


def test_an_answer_has_status_reason_headers_and_body(session, application):
    application.status = "418 Short and stout"
    application.headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "4")]
    response = session.get("/")
    assert (response.status_code, response.reason) == (418, "Short and stout")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "body"
    assert application.was_closed == 1


def test_repeated_headers_are_kept(session, application):
    application.headers = [("X-Sum", "one"), ("X-Sum", "two"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    response = session.get("/")
    assert response.headers["X-Sum"] == "one, two"
    assert response.raw.headers.getlist("X-Sum") == ["one", "two"]
    assert dict(response.cookies) == {"a": "1", "b": "2"}
    session.get("/")
    assert application.environ["HTTP_COOKIE"] == "a=1; b=2"


def test_an_answer_is_streamed_and_closed_with_the_response(session, application):
    application.chunks = [b"1" * 70_000, b"2" * 70_000, b"3" * 70_000]
    with session.get("/", stream=True) as response:
        assert application.given == 0
        chunks = response.iter_content(1000)
        assert next(chunks) == b"1" * 1000
        assert application.given < 3
        assert application.was_closed == 0
    assert application.was_closed == 1


def test_an_answer_that_is_read_to_its_end_is_closed_once(session, application):
    with session.get("/", stream=True) as response:
        assert b"".join(response.iter_content(3)) == b"body"
        assert application.was_closed == 1
    assert application.was_closed == 1


def test_an_unread_answer_is_closed_when_dropped(session, application):
    response = weakref.ref(session.get("/", stream=True))
    gc.collect()
    assert response() is None
    assert application.was_closed == 1


def test_head_has_headers_and_no_body(session, application):
    application.headers = [("Content-Length", "4")]
    response = session.head("/")
    assert (response.headers["Content-Length"], response.content) == ("4", b"")
    assert application.was_closed == 1


def test_an_answer_shorter_than_its_length_is_an_error(session, application):
    application.headers = [("Content-Length", "400")]
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="4 bytes read, 396 more expected"):
        session.get("/")


def test_redirects_are_followed_to_any_host():
    def application(environ, start_response):
        if environ["HTTP_HOST"] == "second.example":
            start_response("200 OK", [])
            return [environ["PATH_INFO"].encode()]
        start_response("302 Found", [("Location", "https://second.example/there")])
        return [b"look there"]

    with WSGISession(application) as session:
        response = session.get("http://first.example/here")
        assert (response.url, response.text) == ("https://second.example/there", "/there")
        assert [each.text for each in response.history] == ["look there"]
        assert session.get("http://first.example/", allow_redirects=False).status_code == 302


def test_an_application_may_be_a_generator_and_write():
    def application(environ, start_response):
        write = start_response("200 OK", [])
        write(b"written ")
        yield b""
        yield b"yielded"

    with WSGISession(application) as session:
        assert session.get("/").text == "written yielded"


def test_an_application_may_replace_its_answer_by_an_error():
    def application(environ, start_response):
        start_response("200 OK", [("X-First", "1")])
        try:
            raise LookupError
        except LookupError as error:
            start_response("500 Broken", [], (LookupError, error, None))
        return [b"sorry"]

    with WSGISession(application) as session:
        response = session.get("/")
    assert (response.status_code, response.text, "X-First" in response.headers) == (500, "sorry", False)


def test_exceptions_of_the_application_are_raised():
    def application(environ, start_response):
        raise ZeroDivisionError

    def silent(environ, start_response):
        return []

    with WSGISession(application) as session, pytest.raises(ZeroDivisionError):
        session.get("/")
    with WSGISession(silent) as session, pytest.raises(RuntimeError, match="without calling start_response"):
        session.get("/")


def test_proxies_of_the_environment_are_ignored(session, application, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    assert session.get("http://registry.example.com/").text == "body"


def test_the_adapter_can_be_mounted_for_some_urls_only(application):
    with requests.Session() as session:
        session.mount("http://registry.example.com", WSGIAdapter(application))
        assert session.get("http://registry.example.com/").text == "body"
        with pytest.raises(requests.exceptions.InvalidURL):
            session.get("http://")


def test_a_missing_requests_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    monkeypatch.delitem(sys.modules, "v1registry_fakes.session")
    with pytest.raises(ImportError, match=r"needs requests: pip install 'v1registry\[fakes\]'"):
        importlib.import_module("v1registry_fakes.session")


# -- with the registry


def test_a_chunked_layer_is_pushed_and_pulled(v1registry, v1registry_session):
    session, path = v1registry_session, f"/v1/images/{IMAGE_ID}"
    session.put(f"{path}/json", json={"id": IMAGE_ID}).raise_for_status()
    pieces = (bytes([number]) * 100_000 for number in range(5))
    session.put(f"{path}/layer", data=pieces).raise_for_status()
    image = v1registry.images[IMAGE_ID]
    session.put(f"{path}/checksum", headers={"X-Docker-Checksum-Payload": image.checksum}).raise_for_status()
    assert image.is_complete

    with session.get(f"{path}/layer", stream=True) as response:
        received = b"".join(response.iter_content(7_000))
    assert received == image.layer == b"".join(bytes([number]) * 100_000 for number in range(5))
    assert v1registry.requests.matching("PUT", "*/layer")[0].headers["Transfer-Encoding"] == "chunked"
    ranged = session.get(f"{path}/layer", headers={"Range": "bytes=99998-100001"})
    assert (ranged.status_code, ranged.content) == (206, b"\x00\x00\x01\x01")
    assert session.head(f"{path}/layer").headers["Content-Length"] == "500000"


def test_the_session_reaches_the_registry_by_its_url(v1registry, v1registry_session):
    response = v1registry_session.get(f"{v1registry.url}/v1/_ping")
    assert response.status_code == 200
    assert v1registry.requests[0].headers["Host"] == v1registry.host
