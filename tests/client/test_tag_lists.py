"""Lists of tags: the object of registries, and the list of the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.archives import layer_sums
from support.scripted import Script, reply

from v1registry.client import Client, NotFoundInRegistry, ProtocolError

TAG, TAGS = "/v1/repositories/foo/bar/tags/[^/]+", "/v1/repositories/foo/bar/tags"
IMAGES = "/v1/repositories/foo/bar/images"


@pytest.fixture
def image_id(client: Client, reference: str, archive: Path) -> str:
    """The id of the pushed image."""
    return client.push(archive, reference).image_id


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"1.0": "a" * 64, "latest": "b" * 64}, r"it has 1\.0, latest$"),
        ([{"layer": "aaaaaaaa", "name": "1.0"}, {"layer": "b", "name": "latest"}], r"it has 1\.0, latest$"),
        ({}, "it has no tags$"),
        ([], "it has no tags$"),
        ({str(number): "a" for number in range(25)}, "it has 0, 1, 10, .*, 3, 4 …$"),
    ],
)
def test_missing_tag_is_reported_with_the_names_of_both_forms(
    document: object,
    names: str,
    client: Client,
    reference: str,
    image_id: str,
    script: Script,
    tmp_path: Path,
) -> None:
    script.when("GET", TAGS, reply(200, document))
    with pytest.raises(NotFoundInRegistry, match=f"has no tag v2; {names}"):
        client.pull(f"{reference[:-1]}2", tmp_path / "pulled.tar")


@pytest.mark.parametrize("digits", [8, 12, 64])
@pytest.mark.parametrize("is_object", [True, False])
def test_tag_is_found_in_the_list_of_a_registry_without_single_tags(
    is_object: bool,
    digits: int,
    client: Client,
    reference: str,
    image_id: str,
    script: Script,
    archive: Path,
    tmp_path: Path,
) -> None:
    start = image_id[:digits]
    tags: object = {"v1": start} if is_object else [{"layer": start, "name": "v1"}]
    script.when("GET", TAG, reply(404, {"error": "Not found"}))
    script.when("GET", TAGS, reply(200, tags))

    assert client.pull(reference, tmp_path / "pulled.tar").image_id == image_id
    assert layer_sums(tmp_path / "pulled.tar") == layer_sums(archive)


@pytest.mark.parametrize("entries", [[], {}, [1, {"id": "x"}], [{"id": "12345678" + "0" * 56}] * 2])
def test_short_id_that_names_no_image_is_refused(
    entries: object, client: Client, reference: str, image_id: str, script: Script, tmp_path: Path
) -> None:
    script.when("GET", IMAGES, reply(200, entries))
    script.when("GET", TAG, reply(404))
    script.when("GET", TAGS, reply(200, [{"layer": image_id[:8], "name": "v1"}]))
    with pytest.raises(ProtocolError, match="with which 0 ids in the image list begin, not one"):
        client.pull(reference, tmp_path / "pulled.tar")


@pytest.mark.parametrize("start", ["", "12345678"])
def test_short_id_of_several_images_is_refused(
    start: str, client: Client, reference: str, image_id: str, script: Script, tmp_path: Path
) -> None:
    script.when("GET", IMAGES, reply(200, [{"id": "12345678" + digit * 56} for digit in "ab"]))
    script.when("GET", TAG, reply(404))
    script.when("GET", TAGS, reply(200, {"v1": start}))
    with pytest.raises(ProtocolError, match="with which 2 ids in the image list begin, not one"):
        client.pull(reference, tmp_path / "pulled.tar")


@pytest.mark.parametrize(
    "document",
    [1, "x", [1], [{}], [{"name": "v1"}], [{"name": 1, "layer": "a"}], {"v1": None}, {"v1": ["a"]}],
)
def test_answer_of_another_form_is_refused(
    document: object, client: Client, reference: str, image_id: str, script: Script, tmp_path: Path
) -> None:
    script.when("GET", TAG, reply(404))
    script.when("GET", TAGS, reply(200, document))
    with pytest.raises(
        ProtocolError, match="must answer tags as an object, or as a list of layers and names"
    ):
        client.pull(reference, tmp_path / "pulled.tar")


def test_list_that_is_refused_leaves_the_tag_missing(
    client: Client, reference: str, image_id: str, script: Script, tmp_path: Path
) -> None:
    script.when("GET", TAG, reply(404))
    script.when("GET", TAGS, reply(403))
    with pytest.raises(NotFoundInRegistry, match=r"has no tag v1$"):
        client.pull(reference, tmp_path / "pulled.tar")
