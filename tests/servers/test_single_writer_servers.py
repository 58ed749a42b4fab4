"""A storage that allows one process refuses to be served by several, as far as the WSGI server tells."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import requests
from obstore.store import MemoryStore
from support.programs import Program, eventually
from support.wsgi_client import call
from support.wsgi_servers import GRANIAN, GUNICORN, UWSGI, WAITRESS, ServerKind, need

from v1registry import FileStorage, Registry
from v1registry.cli.main import main
from v1registry.storage.objects import ObjectStorage

_APPLICATION = """
from obstore.store import MemoryStore

from v1registry import Registry
from v1registry.storage.objects import ObjectStorage

application = Registry(ObjectStorage(MemoryStore(), single_writer=True))

if __name__ == "__main__":
    import sys

    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", 0, application, processes=int(sys.argv[1]))
"""

_GUNICORN = ("gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", "app")
_UWSGI = ("uwsgi", "--http-socket", "127.0.0.1:0", "--die-on-term", "--need-app", "--module", "app")
_GRANIAN = ("granian", "--interface", "wsgi", "--port", "0", "app:application")

#: Name -> the server, how it is started, and the status of a request to it.
_SERVERS: dict[str, tuple[ServerKind | None, tuple[str, ...], int]] = {
    "gunicorn-one": (GUNICORN, (*_GUNICORN, "--workers", "1"), 200),
    "gunicorn-two": (GUNICORN, (*_GUNICORN, "--workers", "2"), 503),
    "uwsgi-one": (UWSGI, (*_UWSGI, "--master", "--processes", "1", "--threads", "4"), 200),
    "uwsgi-two": (UWSGI, (*_UWSGI, "--master", "--processes", "2"), 503),
    "waitress": (WAITRESS, ("waitress-serve", "--listen", "127.0.0.1:0", "app:application"), 200),
    "werkzeug-one": (None, (sys.executable, "app.py", "1"), 200),
    "werkzeug-two": (None, (sys.executable, "app.py", "2"), 503),
    # it says that it has one process, however many it has
    "granian-two": (GRANIAN, (*_GRANIAN, "--workers", "2"), 200),
}


@pytest.mark.parametrize("name", _SERVERS)
def test_wsgi_server_that_says_it_has_several_processes_is_refused(tmp_path: Path, name: str):
    kind, command, status = _SERVERS[name]
    if kind is not None:
        need(kind)
    (tmp_path / "app.py").write_text(_APPLICATION)
    with Program(command, folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as program:
        answer = requests.get(f"{program.url}/v1/_ping", timeout=60)
        assert answer.status_code == status
        if status == 503:
            assert "workers = 1" in answer.json()["error"]
            eventually(lambda: "workers = 1" in program.log, "the reason is logged")


@pytest.fixture
def single_writer() -> Registry:
    return Registry(ObjectStorage(MemoryStore(), single_writer=True))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/_ping"), ("PUT", "/v1/images/x/json"), ("GET", "/v2/")]
)
def test_all_requests_in_several_processes_are_refused(
    single_writer: Registry, caplog: pytest.LogCaptureFixture, method: str, path: str
):
    answer = call(single_writer, method, path, **{"wsgi.multiprocess": True})
    assert answer.status == 503
    assert answer.header("Retry-After")
    assert b"processes = 1" in answer.body
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "processes = 1" in record.getMessage()
    assert record.exc_info is None


def test_request_in_one_process_is_answered(single_writer: Registry):
    assert call(single_writer, "GET", "/v1/_ping", **{"wsgi.multiprocess": False}).status == 200


@pytest.mark.parametrize("kind", ["objects", "folder"])
def test_other_storages_are_served_by_several_processes(tmp_path: Path, kind: str):
    storage = ObjectStorage(MemoryStore()) if kind == "objects" else FileStorage(tmp_path)
    assert call(Registry(storage), "GET", "/v1/_ping", **{"wsgi.multiprocess": True}).status == 200


def test_serve_refuses_several_workers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    url = "s3://bucket?endpoint=http://127.0.0.1:1&single_writer=true"
    assert main(["serve", "--storage", url, "--workers", "2", "--port", "0"]) == 2
    printed = capsys.readouterr().err
    assert "workers = 2" in printed
    assert "use one worker" in printed
