"""Which image of an archive with several is pushed."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import make_layer
from v1registry_fakes.server import LiveServer

from v1registry.client import BadArchive, Client

Make = Callable[..., list[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "several.tar"


@pytest.fixture
def make(path: Path) -> Make:
    """A function that writes an archive with one image for each list of names, and returns their ids."""

    def make(*names: list[str] | None) -> list[str]:
        ids, entries = [], []
        with tarfile.open(path, "w") as archive:

            def add(name: str, data: bytes) -> None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))

            for number, tags in enumerate(names):
                layer = make_layer(f"layer-{number}")
                diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
                config = json.dumps({"rootfs": {"diff_ids": [diff_id]}}).encode()
                add(f"{number}.tar", layer)
                add(f"{number}.json", config)
                entries.append({"Config": f"{number}.json", "RepoTags": tags, "Layers": [f"{number}.tar"]})
                ids.append(hashlib.sha256(config).hexdigest())
            add("manifest.json", json.dumps(entries).encode())
        return ids

    return make


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("base:2", 0),
        ("library/base:2", 0),
        ("docker.io/library/base:2", 0),
        ("docker.io/base:2", 0),
        ("app:1.0", 1),
        ("localhost/app:1.0", 1),
        ("registry.example:5000/team/app:1.0", 2),
        ("team/tool", 3),
        ("docker.io/team/tool:latest", 3),
    ],
)
def test_usual_spellings_of_a_name_match(
    name: str, number: int, make: Make, path: Path, client: Client, reference: str
) -> None:
    ids = make(
        ["docker.io/library/base:2"],
        ["localhost/app:1.0"],
        ["registry.example:5000/team/app:1.0"],
        ["team/tool:latest"],
    )
    assert client.push(path, reference, image=name).image_id == ids[number]


@pytest.mark.parametrize(
    "name", ["base", "app:2", "team/app:1.0", "example/base:2", "localhost:5000/app:1.0", "", "zz"]
)
def test_other_names_do_not_match(name: str, make: Make, path: Path, client: Client, reference: str) -> None:
    make(["docker.io/library/base:2"], ["localhost/app:1.0"])
    with pytest.raises(
        BadArchive, match=f"no image '{name}'.*meant: docker.io/library/base:2, localhost/app:1.0"
    ):
        client.push(path, reference, image=name)


def test_same_spelling_takes_precedence(make: Make, path: Path, client: Client, reference: str) -> None:
    ids = make(["localhost/app:1.0"], ["app:1.0"])
    assert client.push(path, reference, image="app:1.0").image_id == ids[1]
    assert client.push(path, reference, image="localhost/app:1.0").image_id == ids[0]


def test_reference_chooses_the_image_in_another_spelling(
    make: Make, path: Path, client: Client, server: LiveServer
) -> None:
    ids = make(["docker.io/library/base:2"], ["localhost/app:1.0"])
    assert client.push(path, f"{server.host}/base:2").image_id == ids[0]
    assert client.push(path, f"{server.host}/app:1.0").image_id == ids[1]


@pytest.mark.parametrize(
    "names",
    [(["app:1"], ["app:1"]), (["app:1", "app:2"], ["app:1"]), (["localhost/app:1"], ["app:1"]), (None, None)],
)
def test_each_image_can_be_chosen_by_what_is_offered(
    names: tuple[list[str] | None, ...], make: Make, path: Path, client: Client, server: LiveServer
) -> None:
    ids = make(*names)
    with pytest.raises(BadArchive) as caught:
        client.push(path, f"{server.host}/other/name:9")

    offered = str(caught.value).partition("meant: ")[2].split(", ")
    found = [client.push(path, f"{server.host}/foo/bar:1", image=text).image_id for text in offered]
    assert found == ids


@pytest.mark.parametrize("form", ["{}", "sha256:{}"])
@pytest.mark.parametrize("digits", [6, 12, 64])
def test_start_of_the_id_of_todays_engines_matches(
    form: str, digits: int, make: Make, path: Path, client: Client, reference: str
) -> None:
    ids = make(["app:1"], ["app:1"])
    assert client.push(path, reference, image=form.format(ids[1][:digits])).image_id == ids[1]


def test_long_list_is_cut(make: Make, path: Path, client: Client, server: LiveServer) -> None:
    make(*([f"app:{number}"] for number in range(25)))
    with pytest.raises(BadArchive, match=re.escape("app:18, app:19 …")):
        client.push(path, f"{server.host}/other/name:9")
