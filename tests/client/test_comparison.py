"""Pushes compare the images that they skip with those of the archive (decisions.md 18)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive_builder import Archive
from support.archives import Watch, make_chain, make_layer, make_manifest_archive
from support.engine_client import EngineClient, Image
from support.scripted import Script, cut, hang_up, reply
from v1registry_fakes.server import LiveServer

from v1registry.archives.convert import V1Document
from v1registry.client import Client, DifferentContent, NotAuthorized, RegistryUnreachable

LAYERS = [make_layer("base"), make_layer("app")]
EVIL = gzip.compress(make_layer("evil"))


@pytest.fixture
def engine(server: LiveServer) -> EngineClient:
    """Another client of the registry. It compresses layers differently than ours."""
    return EngineClient(server.host)


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """The path of an archive of today's engines, with the images of ``documents``."""
    return tmp_path / "today.tar"


@pytest.fixture
def documents(today: Path) -> list[V1Document]:
    return make_manifest_archive(today, LAYERS)


def images_of(documents: list[V1Document], *layers: bytes) -> list[Image]:
    """Return images as an engine pushes them."""
    return [
        Image(document.image_id, document.json, layer)
        for document, layer in zip(documents, layers, strict=False)
    ]


def test_different_json_fails_the_push(
    client: Client, engine: EngineClient, reference: str, archive: Path, script: Script
) -> None:
    (image, layer), *_ = make_chain(1)
    other = Image(image.image_id, image.json.replace(b"linux", b"plan9"), gzip.compress(layer))
    engine.push("mallory/base", [other])
    script.seen.clear()

    with pytest.raises(DifferentContent, match=f"image {image.image_id}.* the JSON is different"):
        client.push(archive, reference)

    assert not script.requests("PUT", "/v1/images/.*|.*/tags/.*")


@pytest.mark.parametrize("number", [0, 1])
def test_different_layer_under_a_predictable_id_fails_the_push(
    number: int,
    client: Client,
    engine: EngineClient,
    reference: str,
    today: Path,
    documents: list[V1Document],
    script: Script,
) -> None:
    layers = [gzip.compress(layer) for layer in LAYERS]
    layers[number] = EVIL
    engine.push("mallory/base", images_of(documents, *layers))
    script.seen.clear()

    problem = f"image {documents[number].image_id}.*not {documents[number].diff_id}.*tag was not set"
    with pytest.raises(DifferentContent, match=problem):
        client.push(today, reference)

    assert not script.requests("PUT", "/v1/images/.*|.*/tags/.*")


def test_damaged_layer_under_a_predictable_id_fails_the_push(
    client: Client, engine: EngineClient, reference: str, today: Path, documents: list[V1Document]
) -> None:
    engine.push("mallory/base", images_of(documents, EVIL[:-4]))

    with pytest.raises(DifferentContent, match="the layer cannot be read: the layer ends"):
        client.push(today, reference)


def test_equal_layer_of_an_engine_is_downloaded_and_skipped(
    connect: Callable[..., Client],
    engine: EngineClient,
    reference: str,
    today: Path,
    documents: list[V1Document],
    script: Script,
) -> None:
    watch = Watch()
    stored = gzip.compress(LAYERS[0], 1)
    engine.push("mallory/base", images_of(documents, stored))

    result = connect(progress=watch).push(today, reference)

    assert result.skipped == (documents[0].image_id,)
    assert result.pushed == (documents[1].image_id,)
    assert len(script.requests("GET", ".*/layer")) == 1
    label = f"compare {documents[0].image_id[:12]}"
    assert [(t.done_bytes, t.finishes) for t in watch.tasks if t.label == label] == [(len(stored), 1)]


def test_equal_layer_of_this_client_is_not_downloaded(
    client: Client, reference: str, today: Path, documents: list[V1Document], script: Script
) -> None:
    client.push(today, reference)

    assert client.push(today, reference).skipped == tuple(document.image_id for document in documents)
    assert not script.requests("GET", ".*/layer")


def test_layer_under_a_random_id_is_not_compared(
    client: Client, engine: EngineClient, reference: str, archive: Path, script: Script
) -> None:
    (image, _), *_ = make_chain(1)
    engine.push("mallory/base", [Image(image.image_id, image.json, EVIL)])

    assert client.push(archive, reference).skipped == (image.image_id,)
    assert not script.requests("GET", ".*/layer")


@pytest.mark.parametrize("layer", [LAYERS[0], make_layer("evil")], ids=["equal", "different"])
def test_bare_json_of_an_old_archive_is_compared_by_its_own_layer(
    layer: bytes, client: Client, engine: EngineClient, reference: str, tmp_path: Path, script: Script
) -> None:
    """An archive of docker 1.9 names no diff ids."""
    documents = make_manifest_archive(tmp_path / "today.tar", LAYERS)
    old = tmp_path / "old.tar"
    folder = documents[0].image_id
    members = Archive().file(f"{folder}/json", documents[0].json).file(f"{folder}/layer.tar", LAYERS[0])
    old.write_bytes(members.bytes())
    engine.push("mallory/base", images_of(documents, gzip.compress(layer, 1)))

    if layer == LAYERS[0]:
        assert client.push(old, reference).skipped == (documents[0].image_id,)
    else:
        with pytest.raises(DifferentContent, match=f"not {documents[0].diff_id}"):
            client.push(old, reference)
    assert len(script.requests("GET", ".*/layer")) == 1


@pytest.mark.parametrize("spoil", [hang_up, cut(50), reply(503)])
def test_interrupted_comparison_is_repeated(
    spoil: object,
    client: Client,
    engine: EngineClient,
    reference: str,
    today: Path,
    documents: list[V1Document],
    script: Script,
    pauses: list[float],
) -> None:
    engine.push("mallory/base", images_of(documents, gzip.compress(LAYERS[0], 1)))
    script.when("GET", ".*/layer", spoil)  # type: ignore[arg-type]

    assert client.push(today, reference).skipped == (documents[0].image_id,)
    assert len(script.requests("GET", ".*/layer")) == 2
    assert pauses == [0.5]


@pytest.mark.parametrize(
    ("status", "kind", "requests"), [(503, RegistryUnreachable, 3), (403, NotAuthorized, 1)]
)
def test_comparison_that_cannot_be_done_fails_the_push(
    status: int,
    kind: type[Exception],
    requests: int,
    connect: Callable[..., Client],
    engine: EngineClient,
    reference: str,
    today: Path,
    documents: list[V1Document],
    script: Script,
) -> None:
    engine.push("mallory/base", images_of(documents, gzip.compress(LAYERS[0], 1)))
    script.when("GET", ".*/layer", reply(status), times=9)

    with pytest.raises(kind, match="cannot compare the layer"):
        connect(attempts=3).push(today, reference)

    assert len(script.requests("GET", ".*/layer")) == requests
    assert not script.requests("PUT", ".*/tags/v1")


def test_layer_beyond_the_limit_is_not_compared(
    connect: Callable[..., Client],
    engine: EngineClient,
    reference: str,
    today: Path,
    documents: list[V1Document],
) -> None:
    engine.push("mallory/base", images_of(documents, gzip.compress(bytes(1 << 20))))

    with pytest.raises(DifferentContent, match="expands to more"):
        connect(layer_limit_bytes=100_000).push(today, reference)
