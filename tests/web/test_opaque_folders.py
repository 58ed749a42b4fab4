"""Layers of several tools: names that begin differently, and opaque folders, in the API and on the pages."""

from __future__ import annotations

import pytest
from support.engine_client import Image, make_chain, tar_layer
from support.reader import Reader, links_in, rows_of
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry

BELOW = {"./etc/a": b"1", "./etc/b": b"2", "./old/x": b"1", "./old/y/z": b"1"}
ABOVE = {"etc/a": b"changed", "etc/.wh.b": b"", "old/.wh..wh..opq": b"", "old/new": b"1"}


@pytest.fixture
def chain() -> list[Image]:
    return make_chain([tar_layer(BELOW), tar_layer(ABOVE), tar_layer({"old/x": b"back", "top": b""})])


@pytest.fixture
def client(chain: list[Image]) -> Client:
    client = Client(Registry(storage=MemoryStorage()))
    client.push(*chain)
    return client


def test_REG_031_opaque_folder_deletes_and_names_are_compared(client: Client, chain: list[Image]) -> None:
    found = client.get(f"/v1/images/{chain[1].image_id}/diff").json
    assert {kind: sorted(names) for kind, names in found.items()} == {
        "deleted": ["/old/x", "/old/y/z", "etc/b"],
        "changed": ["etc/a"],
        "created": ["old/new"],
    }
    assert found["deleted"]["/old/x"][1] is True


def test_REG_031_file_that_came_back_is_created(client: Client, chain: list[Image]) -> None:
    found = client.get(f"/v1/images/{chain[2].image_id}/diff").json
    assert sorted(found["created"]) == ["old/x", "top"]
    assert not found["changed"]


def test_REG_030_opaque_mark_is_no_file(client: Client, chain: list[Image]) -> None:
    names = [row[0] for row in client.get(f"/v1/images/{chain[1].image_id}/files").json]
    assert names == ["etc/a", "etc/b", "old/new"]


def test_REG_031_list_of_an_old_server_is_compared_with_opaque_folders(
    client: Client, chain: list[Image]
) -> None:
    storage, folder = client.app.storage, f"images/{chain[1].image_id}"
    client.get(f"/v1/images/{chain[1].image_id}/files")
    storage.delete(f"{folder}/_opaque")
    assert "/old/x" in client.get(f"/v1/images/{chain[1].image_id}/diff").json["deleted"]


def test_page_of_changes_shows_what_an_opaque_folder_deletes(client: Client, chain: list[Image]) -> None:
    reader = Reader(client.app)
    page = reader.page(f"/images/{chain[1].image_id}/changes?kind=removed")
    assert [cells[0] for cells in rows_of(page)] == ["/old/x", "/old/y/z", "etc/b"]
    changed = reader.page(f"/images/{chain[1].image_id}/changes?kind=changed")
    assert [cells[0] for cells in rows_of(changed)] == ["etc/a"]
    assert links_in(page)
