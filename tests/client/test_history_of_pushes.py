"""The history of an image after a push and a pull."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import make_layer, make_manifest_archive, members
from support.engine_client import EngineClient, Image
from support.scripted import Script, reply
from v1registry_fakes.server import LiveServer

from v1registry.client import Client, DifferentContent

LAYERS = [make_layer("base"), make_layer("app")]
HISTORY = [
    {"created": "2020-01-01T00:00:00Z", "created_by": "ADD base / # buildkit", "comment": "buildkit"},
    {"created": "2020-01-01T00:00:01Z", "created_by": "ENV A=b", "empty_layer": True},
    {"created": "2020-01-01T00:00:02Z", "created_by": "/bin/sh -c make", "author": "Mira"},
]


@pytest.fixture
def engine(server: LiveServer) -> EngineClient:
    """Another client of the registry."""
    return EngineClient(server.host)


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """An archive of today's engines with a history."""
    path = tmp_path / "today.tar"
    make_manifest_archive(path, LAYERS, history=HISTORY)
    return path


def images_of_an_engine(path: Path) -> list[Image]:
    """Return the images of an archive as an engine pushes them."""
    documents = make_manifest_archive(path.with_name("other.tar"), LAYERS, history=HISTORY)
    return [
        Image(document.image_id, document.json, gzip.compress(layer, 1))
        for document, layer in zip(documents, LAYERS, strict=True)
    ]


def test_pulled_archive_has_the_history(client: Client, reference: str, today: Path, tmp_path: Path) -> None:
    client.push(today, reference)
    client.pull(reference, tmp_path / "pulled.tar")

    found = members(tmp_path / "pulled.tar")
    (entry,) = json.loads(found["manifest.json"])
    assert json.loads(found[entry["Config"]])["history"] == [HISTORY[0], HISTORY[2]]


def test_pulled_archive_is_pushed_unchanged(
    client: Client, reference: str, today: Path, tmp_path: Path, script: Script
) -> None:
    ids = client.push(today, reference).pushed
    client.pull(reference, tmp_path / "pulled.tar")
    script.seen.clear()

    assert client.push(tmp_path / "pulled.tar", reference).skipped == ids
    assert not script.requests("GET", ".*/layer")


def test_images_that_an_engine_has_pushed_without_history_are_skipped(
    client: Client, engine: EngineClient, reference: str, today: Path, tmp_path: Path
) -> None:
    images = images_of_an_engine(today)
    engine.push("foo/base", images)

    assert client.push(today, reference).skipped == tuple(image.image_id for image in images)

    client.pull(reference, tmp_path / "pulled.tar")
    assert client.push(tmp_path / "pulled.tar", reference).pushed == ()


def test_other_build_of_equal_layers_is_skipped(
    client: Client, reference: str, today: Path, tmp_path: Path, script: Script
) -> None:
    """The lower image has the same id in both builds, with another time."""
    client.push(today, reference)
    later = [{**HISTORY[0], "created": "2021-01-01T00:00:00Z"}, *HISTORY[1:]]
    make_manifest_archive(tmp_path / "later.tar", LAYERS, history=later)
    script.seen.clear()

    result = client.push(tmp_path / "later.tar", f"{reference}-later")

    assert (len(result.skipped), len(result.pushed)) == (1, 1)
    assert not script.requests("GET", ".*/layer")


@pytest.mark.parametrize("described", [False, True])
def test_different_layer_below_a_described_image_fails_the_push(
    described: bool, connect: Callable[..., Client], engine: EngineClient, reference: str, today: Path
) -> None:
    """A description in the JSON does not spare the comparison of the layer."""
    base = images_of_an_engine(today)[0]
    document = json.loads(base.json) | ({"created": "2020-01-01T00:00:00Z"} if described else {})
    engine.push(
        "mallory/base",
        [Image(base.image_id, json.dumps(document).encode(), gzip.compress(make_layer("evil")))],
    )

    with pytest.raises(DifferentContent, match="the layer has the diff id"):
        connect().push(today, reference)


def test_invalid_json_in_the_registry_fails_the_push(
    client: Client, reference: str, today: Path, script: Script
) -> None:
    script.when("GET", ".*/json", reply(200, b"[]"))
    with pytest.raises(DifferentContent, match="the JSON is invalid: it is not a JSON object"):
        client.push(today, reference)
