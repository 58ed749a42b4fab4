"""docker-registry 0.9.1 writes the folder of a server with an index of the search: it finds the changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engine_client import EngineClient, make_chain, tar_layer
from support.programs import Program
from support.wsgi_client import Client

from v1registry import FileStorage, Registry
from v1registry.search.sqlite import SqliteSearch

pytestmark = pytest.mark.real

CHAIN = make_chain([tar_layer({"file": b"one"})], name="search in one folder")

#: How long a search may take to find what docker-registry did, in seconds. Twice of what is promised.
_SOON_S = 10.0


def found(app: Registry) -> list[str]:
    """Return what a search for everything finds."""
    return [result["name"] for result in Client(app).get("/v1/search?n=100").json["results"]]


def wait_for(app: Registry, names: list[str]) -> None:
    """Search until it finds the names, and no others."""
    deadline = time.monotonic() + _SOON_S
    while (last := found(app)) != names:
        assert time.monotonic() < deadline, last
        time.sleep(0.1)


def test_repositories_of_docker_registry_are_found_while_both_run(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    old = EngineClient(start(data).host)
    app = Registry(storage=FileStorage(data))
    old.push("team/first", CHAIN)
    assert found(app) == ["team/first"]
    index = app._services.search
    assert isinstance(index, SqliteSearch)
    index.upkeep.wait(60)
    assert index._is_ready()
    old.push("team/second", CHAIN)
    old.push("other/third", CHAIN)
    wait_for(app, ["other/third", "team/first", "team/second"])
    old.expect({200}, "DELETE", "/v1/repositories/team/first/")
    # a page shows nothing that is gone, whatever the index has
    assert found(app) == ["other/third", "team/second"]
    assert Client(app).put("/v1/repositories/team/ours/", "[]").status_int == 200
    assert found(app) == ["other/third", "team/ours", "team/second"]
