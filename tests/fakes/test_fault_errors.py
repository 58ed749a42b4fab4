"""The errors of a fault: those of the API of the path, with their codes and challenges."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeRegistry, WSGISession

from v1registry import errors

IMAGE = "/v1/images/" + "ab" * 32
DIGEST = "sha256:" + "cd" * 32
BASIC_OR_TOKEN = 'Basic realm="auth required",Token'


@pytest.fixture(scope="module")
def registry():
    with FakeRegistry(auth="users:") as registry:
        yield registry


@pytest.fixture
def ask(registry):
    """Return a function that sends a request and gets the answer of a fault."""
    with WSGISession(registry.app) as session:

        def ask(method, path, **effects):
            with registry.fail(**effects):
                return session.request(method, path)

        yield ask


def v2(code, message):
    return {"errors": [{"code": code, "message": message, "detail": None}]}


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", f"{IMAGE}/layer", 404, {"error": "Image not found"}),
        ("PUT", f"{IMAGE}/json", 409, {"error": "Image already exists"}),
        ("GET", "/v1/repositories/a/b/tags", 404, {"error": "Repository not found"}),
        ("GET", "/v1/repositories/a/b/tags/c", 404, {"error": "Tag not found"}),
        ("GET", "/v1/repositories/a/b/images", 404, {"error": "images not found"}),
        ("PUT", "/v1/repositories/a/b/", 403, {"error": errors.Forbidden.text}),
        ("GET", "/v1/search", 503, {"error": errors.Unavailable.text}),
        ("GET", "/v1/search", 504, {"error": "Gateway Timeout"}),
        ("GET", "/v1/search", 599, {"error": "A fault of the test rejects the request"}),
        ("GET", "/v1/nothing", 404, {"error": "Not found"}),
        ("GET", "/v1/users/", 403, errors.Forbidden.text),
        ("POST", "/v1/users/", 400, "Bad request"),
        ("GET", "/api/v1.1/users/alice/", 404, {"detail": "Not found"}),
        ("GET", "/api/v1.1/users/alice/", 429, {"detail": "Too Many Requests"}),
        (
            "POST",
            "/api/v1.1/o/token/",
            400,
            {"error": "invalid_request", "error_description": "A fault of the test rejects the request"},
        ),
        ("POST", "/api/v1.1/o/token/", 503, {"detail": errors.Unavailable.text}),
        ("GET", f"/v2/a/b/blobs/{DIGEST}", 404, v2("BLOB_UNKNOWN", "Unknown blob")),
        ("PATCH", "/v2/a/b/blobs/uploads/1", 404, v2("BLOB_UPLOAD_UNKNOWN", errors.UploadUnknown.text)),
        ("GET", "/v2/a/b/manifests/1", 404, v2("MANIFEST_UNKNOWN", "Unknown manifest or tag")),
        ("GET", "/v2/a/b/tags/list", 404, v2("NAME_UNKNOWN", "Unknown repository")),
        ("GET", "/v2/a/b/tags/list", 403, v2("DENIED", "Access denied")),
        ("GET", "/v2/a/b/tags/list", 429, v2("TOOMANYREQUESTS", "Too Many Requests")),
        ("GET", "/v2/a/b/tags/list", 503, v2("UNAVAILABLE", errors.Unavailable.text)),
    ],
)
def test_status_gives_the_error_that_the_api_has_for_it(ask, method, path, status, expected):
    answer = ask(method, path, status=status)
    assert (answer.status_code, answer.json()) == (status, expected)


@pytest.mark.parametrize(
    ("method", "path", "challenge"),
    [
        ("GET", f"{IMAGE}/layer", BASIC_OR_TOKEN),
        ("GET", "/v1/users/", BASIC_OR_TOKEN),
        ("GET", "/api/v1.1/users/alice/", 'Basic realm="api", Bearer realm="api"'),
        ("POST", "/api/v1.1/o/token/", 'Basic realm="oauth"'),
        (
            "GET",
            "/v2/a/b/manifests/1",
            'Bearer realm="http://v1registry.test/v2/token",service="v1registry.test",'
            'scope="repository:a/b:pull,push"',
        ),
    ],
)
@pytest.mark.parametrize("error", [None, "Log in again"])
def test_status_401_has_the_challenge_of_the_api(ask, method, path, challenge, error):
    answer = ask(method, path, status=401, error=error)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert error is None or error in answer.text


def test_status_401_of_an_open_registry_asks_for_a_token():
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        registry.fail(status=401)
        assert session.get(f"{IMAGE}/json").headers["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize(
    ("method", "path", "error", "expected"),
    [
        ("GET", f"{IMAGE}/layer", "It burns", {"error": "It burns"}),
        ("GET", "/v1/users/", "It burns", "It burns"),
        ("GET", "/api/v1.1/users/alice/", "It burns", {"detail": "It burns"}),
        (
            "POST",
            "/api/v1.1/o/token/",
            "It burns",
            {"error": "invalid_request", "error_description": "It burns"},
        ),
        (
            "POST",
            "/api/v1.1/o/token/",
            "invalid_grant",
            {"error": "invalid_grant", "error_description": "A fault of the test rejects the request"},
        ),
        ("GET", "/v2/a/b/manifests/1", "It burns", v2("UNSUPPORTED", "It burns")),
        ("GET", "/v2/a/b/manifests/1", "NAME_INVALID", v2("NAME_INVALID", "Bad request")),
    ],
)
def test_error_is_the_text_or_the_code(ask, method, path, error, expected):
    answer = ask(method, path, status=400, error=error)
    assert (answer.status_code, answer.json()) == (400, expected)


def test_error_may_be_an_exception_of_the_registry(ask):
    answer = ask("GET", f"{IMAGE}/layer", error=errors.TooManyAttempts(7))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json() == {"error": "Too many failed logins; try again in 7 seconds"}


def test_a_page_fails_as_a_page(registry):
    with WSGISession(registry.app) as session, registry.fail(status=503):
        answer = session.get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (503, "text/html")


@pytest.mark.parametrize("status", [500, 404])
def test_a_failing_write_changes_nothing(status):
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        registry.fail("PUT", status=status, times=1)
        path = f"{IMAGE}/json"
        assert session.put(path, json={"id": "ab" * 32}).status_code == status
        assert len(registry.images) == 0
        assert session.put(path, json={"id": "ab" * 32}).status_code == 200


def test_a_status_below_400_lets_a_write_succeed():
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        registry.fail("PUT", status=204)
        answer = session.put(f"{IMAGE}/json", json={"id": "ab" * 32})
        assert (answer.status_code, answer.content) == (204, b"")
        assert "Content-Length" not in answer.headers
        assert list(registry.images) == ["ab" * 32]


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        (b"\xff\x00", b"\xff\x00", "application/json"),
        ("na\u00efve", "na\u00efve".encode(), "application/json"),
        ({"a": [1]}, b'{"a": [1]}', "application/json"),
        ([], b"[]", "application/json"),
    ],
)
@pytest.mark.parametrize("status", [None, 500])
def test_body_is_bytes_text_or_json(ask, body, sent, content_type, status):
    answer = ask("GET", "/v1/search", body=body, status=status)
    assert (answer.status_code, answer.content) == (status or 200, sent)
    assert answer.headers["Content-Type"] == content_type


def test_json_in_place_of_a_layer_has_its_type():
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        image = registry.add_image("alice/app:1")
        registry.fail("GET", "*/layer", body={"error": "maintenance"})
        answer = session.get(f"/v1/images/{image.id}/layer")
        assert (answer.json(), answer.headers["Content-Type"]) == (
            {"error": "maintenance"},
            "application/json",
        )


@pytest.mark.parametrize(
    ("status", "title"), [(None, "502 Bad Gateway"), (200, "200 OK"), (504, "504 Gateway Time")]
)
def test_html_has_the_given_status(ask, status, title):
    answer = ask("GET", "/v2/", html=True, status=status)
    assert answer.status_code == (status or 502)
    assert title in answer.text


def test_redirect_has_the_given_status(ask, registry):
    with WSGISession(registry.app) as session, registry.fail("GET", "/v2/", redirect="/v1/_ping", status=307):
        assert session.get("/v2/", allow_redirects=False).status_code == 307
        assert session.get("/v2/").json() == {}
