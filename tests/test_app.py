"""The application as a whole: mounting, several in a process, imports, forks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.engine_client import make_image
from support.faulty_storage import FaultyStorage
from support.wsgi_client import Client, call
from webtest import TestApp

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.settings import Options
from v1registry.storage.base import StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from typing_extensions import Unpack

IMAGE = make_image(b"layer")


def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application behind the registry. It answers method, script name and path."""
    body = json.dumps([environ["REQUEST_METHOD"], environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


# -- in front of another application


@pytest.mark.parametrize(
    "path", ["/", "/elsewhere", "/v1x", "/v10/_ping", "/v3/", "/_pingx", "/_ping/x", "/api/v1", "/api/v1.1",
     "/v", "/caf\xc3\xa9"]
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PROPFIND"])
def test_other_paths_go_to_the_application_behind(method: str, path: str) -> None:
    app = Registry(storage=MemoryStorage()).in_front_of(site)
    answer = call(app, method, path)
    assert answer.status == 200
    assert answer.header("X-Docker-Registry-Version") is None
    if method != "HEAD":
        assert json.loads(answer.body) == [method, "", path]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/_ping", 200), ("/_ping", 200), ("/_ping/", 200), ("/_status", 200), ("/v1/users/", 200), ("/v2/",
     200),
     ("/v2", 200), ("/v2/x/tags/list", 404), ("/v1/nothing", 404), ("/v1", 404), ("/v1/", 404),
      ("/api/v1.1/x", 404)],
)  # fmt: skip
def test_paths_of_apis_are_answered_by_the_registry(path: str, status: int) -> None:
    answer = call(Registry(storage=MemoryStorage()).in_front_of(site), "GET", path)
    assert (answer.status, answer.header("X-Docker-Registry-Version") is not None) == (status, True)


@pytest.mark.parametrize(
    ("setting", "path", "goes_through"),
    [("pass", "/v2/", True), ("pass", "/v2", True), ("pass", "/v2/x/tags/list", True), ("pass", "/v2x", True),
     ("absent", "/v2/", False), ("absent", "/v2/x", False), ("ping", "/v2/x", False)],
)  # fmt: skip
def test_v2_can_be_left_to_the_application_behind(setting: str, path: str, goes_through: bool) -> None:
    app = Registry(storage=MemoryStorage(), v2=setting).in_front_of(site)
    assert (call(app, "GET", path).status == 200) is goes_through


def test_an_upload_that_goes_through_is_not_read() -> None:
    class Unreadable:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("the registry read a body that is not its own")

    app = Registry(storage=MemoryStorage()).in_front_of(site)
    environ = {"wsgi.input": Unreadable(), "CONTENT_LENGTH": "10"}
    assert call(app, "POST", "/elsewhere", **environ).status == 200


def test_middleware_shares_the_storage_of_its_registry() -> None:
    registry = Registry(storage=MemoryStorage())
    Client(registry.in_front_of(site)).push(IMAGE)
    assert call(registry, "GET", f"/v1/images/{IMAGE.image_id}/json").body == IMAGE.json
    assert call(registry, "GET", "/").body == b'"docker-registry server"'


def test_registries_can_be_in_front_of_each_other() -> None:
    inner = Registry(storage=MemoryStorage(), message="inner", v2="absent")
    app = Registry(storage=MemoryStorage(), v2="pass").in_front_of(inner)
    assert call(app, "GET", "/").body == b'"inner"'
    assert call(app, "GET", "/v2/").status == 404


# -- below a prefix


def mounted(prefix: str, app: Any) -> Any:
    """A dispatcher as frameworks have it: ``app`` gets requests below ``prefix``, with SCRIPT_NAME moved."""

    def dispatch(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == prefix or path.startswith(prefix + "/"):
            environ["SCRIPT_NAME"] += prefix
            environ["PATH_INFO"] = path[len(prefix) :]
            return app(environ, start_response)
        return site(environ, start_response)

    return dispatch


def test_below_a_prefix_everything_works_as_at_the_root() -> None:
    app = mounted("/registry", Registry(storage=MemoryStorage()))
    client = TestApp(app, lint=True)
    path = f"/registry/v1/images/{IMAGE.image_id}"
    client.put(f"{path}/json", IMAGE.json)
    client.put(f"{path}/layer", IMAGE.layer)
    client.put(f"{path}/checksum", headers={"X-Docker-Checksum-Payload": IMAGE.payload_checksum})
    assert client.get(f"{path}/layer").body == IMAGE.layer
    assert (
        client.put("/registry/v1/repositories/foo/bar/", b"[]").headers["X-Docker-Endpoints"]
        == "localhost:80"
    )
    assert client.get("/registry/").json == client.get("/registry").json == "docker-registry server"
    assert client.get("/v1/_ping").body.startswith(b'["GET"')


def test_an_empty_path_is_the_root() -> None:
    assert call(Registry(storage=MemoryStorage()), "GET", "").body == b'"docker-registry server"'


def test_an_environ_of_a_dict_subclass_is_accepted() -> None:
    class Environ(dict[str, Any]):
        pass

    registry = Registry(storage=MemoryStorage())

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return registry(Environ(environ), start_response)

    assert call(app, "GET", "/v1/_ping").status == 200


# -- several in one process


def test_registries_in_one_process_share_nothing(tmp_path: Path) -> None:
    first, second = Registry(storage=MemoryStorage()), Registry(storage=MemoryStorage(), message="second")
    third = Registry(storage=FileStorage(tmp_path, durable=False))
    Client(first).push(IMAGE)
    Client(first).tag("foo/bar", "latest", IMAGE)
    for other in (second, third):
        assert call(other, "GET", f"/v1/images/{IMAGE.image_id}/json").status == 404
        assert call(other, "GET", "/v1/repositories/foo/bar/tags").status == 404
        assert json.loads(call(other, "GET", "/v1/search").body)["num_results"] == 0
    assert call(first, "GET", "/").body != call(second, "GET", "/").body


def test_two_registries_over_one_storage_see_the_same_images(tmp_path: Path) -> None:
    one, other = (Registry(storage=FileStorage(tmp_path, durable=False)) for _ in range(2))
    Client(one).push(IMAGE)
    for tag in ("a", "b", "a"):
        Client(one).tag("foo/bar", tag, IMAGE)
        found = json.loads(call(other, "GET", "/v1/repositories/foo/bar/tags").body)
        assert found[tag] == IMAGE.image_id
    moved = make_image(b"moved")
    Client(other).push(moved)
    Client(other).tag("foo/bar", "a", moved)
    assert json.loads(call(one, "GET", "/v1/repositories/foo/bar/tags").body)["a"] == moved.image_id


# -- failures of the server


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (StorageUnavailable("k", "the disk /secret/path is on fire"), 503,
         "The storage is not available, retry later"),
        (StorageFull("k", "no room"), 507, "The storage has no room left"),
        (OSError(28, "No space left on device: /secret/path"), 507, "The storage has no room left"),
        (RuntimeError("/secret/path"), 500, "Internal server error"),
        (MemoryError(), 500, "Internal server error"),
        (OSError(5, "Input/output error: /secret/path"), 500, "Internal server error"),
    ],
)  # fmt: skip
def test_an_unexpected_error_is_logged_and_shows_no_internals(
    caplog: pytest.LogCaptureFixture, error: Exception, status: int, text: str
) -> None:
    storage = FaultyStorage()
    storage.fail("stat", "read", error=error)
    answer = call(Registry(storage=storage), "GET", f"/v1/images/{'0' * 64}/json")
    assert (answer.status, json.loads(answer.body)) == (status, {"error": text})
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    if status == 500:
        assert record.exc_info is not None
        assert record.exc_info[1] is error
    else:
        # a traceback of a full disk has no information
        assert record.exc_info is None
        assert str(error) in record.getMessage()


def test_on_error_is_called_for_unexpected_errors_only() -> None:
    reported: list[tuple[str, Exception]] = []

    class Reporting(Registry):
        def on_error(self, environ: dict[str, Any], error: Exception) -> None:
            reported.append((environ["PATH_INFO"], error))

    error, path = RuntimeError("broken"), f"/v1/images/{'0' * 64}/json"

    storage = FaultyStorage()
    storage.fail("stat", "read", error=error)
    assert call(Reporting(storage=storage), "GET", path).status == 500
    assert call(Reporting(storage=MemoryStorage()), "GET", path).status == 404
    assert reported == [(path, error)]


def test_error_is_answered_and_logged_if_on_error_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Registry):
        def on_error(self, environ: dict[str, Any], error: Exception) -> None:
            raise LookupError("no reporter")

    storage, error = FaultyStorage(), RuntimeError("broken")
    storage.fail("stat", "read", error=error)
    assert call(Failing(storage=storage), "GET", f"/v1/images/{'0' * 64}/json").status == 500
    logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(logged[0]), logged[1]] == [LookupError, error]


def test_every_constructor_keeps_the_state_of_a_subclass() -> None:
    class Counting(Registry):
        def __init__(self, storage: Storage | str, **options: Unpack[Options]):
            super().__init__(storage, **options)
            self.errors: list[Exception] = []

        def on_error(self, environ: dict[str, Any], error: Exception) -> None:
            self.errors.append(error)

    storage, error = FaultyStorage(), RuntimeError("broken")
    storage.fail("stat", "read", error=error)
    registry = Counting.from_settings({"storage": storage, "search_limit": "5"})
    assert call(registry.in_front_of(site), "GET", f"/v1/images/{'0' * 64}/json").status == 500
    assert registry.errors == [error]
    assert registry.settings.search_limit == 5


def test_exceptions_that_end_the_process_pass_through() -> None:
    storage = FaultyStorage()
    storage.fail("stat", "read", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        call(Registry(storage=storage), "GET", f"/v1/images/{'0' * 64}/json")


def test_an_error_in_the_middle_of_a_layer_breaks_the_answer() -> None:
    class Half(MemoryStorage):
        def open(self, key: str, start: int = 0, stop: int | None = None) -> Any:
            blob = super().open(key, start, stop)

            def chunks() -> Iterator[bytes]:
                yield b"half"
                raise StorageUnavailable(key, "gone")

            if not key.startswith("images/"):
                return blob
            pieces = chunks()
            blob.__class__ = type("Broken", (type(blob),), {"read": lambda self, size=-1: next(pieces)})
            return blob

    app = Registry(storage=Half())
    Client(app).push(IMAGE)
    with pytest.raises(StorageUnavailable):
        call(app, "GET", f"/v1/images/{IMAGE.image_id}/layer")


# -- offloading


def test_layer_redirect_answers_302() -> None:
    app = Registry(storage=MemoryStorage(), layer_redirect="https://cdn.example.com/v1/")
    Client(app).push(IMAGE)
    answer = call(app, "GET", f"/v1/images/{IMAGE.image_id}/layer")
    location = f"https://cdn.example.com/v1/images/{IMAGE.image_id}/layer"
    assert (answer.status, answer.header("Location"), answer.body) == (302, location, b"")
    assert call(app, "GET", f"/v1/images/{'0' * 64}/layer").status == 404


def test_x_accel_redirect_leaves_the_layer_to_nginx() -> None:
    app = Registry(storage=MemoryStorage(), x_accel_redirect="/internal/")
    Client(app).push(IMAGE)
    answer = call(app, "GET", f"/v1/images/{IMAGE.image_id}/layer")
    location = f"/internal/images/{IMAGE.image_id}/layer"
    assert (answer.status, answer.header("X-Accel-Redirect"), answer.body) == (200, location, b"")


# -- processes


def run_python(code: str, *arguments: str) -> str:
    """Run code in a fresh interpreter that turns every warning into an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


#: Modules that must not be imported before they are used.
HEAVY = [
    "requests", "tqdm", "granian", "cheroot", "pytest", "_pytest", "jinja2", "sqlite3", "asyncio", "webtest",
     "hypothesis",
    "oauthlib", "argon2", "msgspec", "markdown_it", "nh3", "obstore", "ldap3", "prometheus_client",
     "zstandard", "paste", "urllib3", "multiprocessing",
    "importlib.metadata", "v1registry_fakes", "v1registry.client", "v1registry.cli", "wsgiref",
]  # fmt: skip


def test_making_a_registry_imports_no_heavy_module() -> None:
    loaded = run_python(
        """
        import sys
        before = set(sys.modules)
        from v1registry import FileStorage, MemoryStorage, Registry
        Registry(storage=MemoryStorage())
        Registry.from_settings({"storage": "file:///nonexistent/registry"})
        print(*sorted(set(sys.modules) - before))
        """
    ).split()
    assert {"webob", "itsdangerous"} <= set(loaded)
    assert [name for name in HEAVY if name in loaded] == []


def test_making_a_registry_opens_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    before, threads = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    registry = Registry(storage=FileStorage(folder))
    registry.in_front_of(site)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == threads
    assert not folder.exists()


def test_reading_from_an_empty_registry_writes_nothing(tmp_path: Path) -> None:
    app = Registry(storage=FileStorage(tmp_path / "data"))
    for path in (f"/v1/images/{'0' * 64}/json", "/v1/search", "/v1/repositories/foo/bar/tags", "/v1/_ping"):
        call(app, "GET", path)
    assert list(tmp_path.iterdir()) == []


def test_forked_processes_share_the_folder(tmp_path: Path) -> None:
    printed = run_python(
        """
        import os, sys
        sys.path.insert(0, sys.argv[2])
        from v1registry import FileStorage, Registry
        from support.engine_client import make_image
        from support.wsgi_client import Client, call

        app = Registry(storage=FileStorage(sys.argv[1], durable=False))
        images = [make_image(bytes([number]) * 1000) for number in range(4)]
        children = []
        for image in images:
            child = os.fork()
            if not child:
                Client(app).push(image)
                Client(app).tag("foo/bar", image.image_id[:8], image)
                os._exit(0)
            children.append(child)
        print([os.waitpid(child, 0)[1] for child in children])
        layers = [call(app, "GET", f"/v1/images/{image.image_id}/layer").body for image in images]
        print([layer == image.layer for layer, image in zip(layers, images)])
        print(call(app, "GET", "/v1/repositories/foo/bar/tags").body.count(b":"))
        """,
        str(tmp_path / "data"),
        str(Path(__file__).parent),
    )  # fmt: skip
    assert printed == "[0, 0, 0, 0]\n[True, True, True, True]\n4\n"
