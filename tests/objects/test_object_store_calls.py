"""How many calls of an object store a request costs: on an open server, and with accounts.

Each process first looks whether the store has conditional writes, and which users and images there are. So a
push and a pull are made before the counted ones.
"""

from __future__ import annotations

import gzip
import json
import random
from typing import Final

import pytest
from support.counted_objects import REPOSITORY, ObjectsWorld, count_calls
from support.credentials import basic
from support.engine_client import make_image, tar_layer
from support.push_requests import json_of, tag_of
from support.v2_client import CONFIG_TYPES, LAYER_TYPE, descriptor_of, digest_of, dumped, tar_of

from v1registry.distribution.manifests import OCI_MANIFEST

FIRST, IMAGE = (make_image(tar_layer({name: name.encode()}), name=name) for name in ("first", "second"))
LARGE = make_image(random.Random(1).randbytes(300_000), name="large")

#: What the requests of a push cost at most: on an open server, with accounts.
MOST_OF_PUSHES: Final = {"json": (4, 8), "layer": (2, 3), "checksum": (6, 7), "tag": (6, 9)}

#: The same for what a pull gets.
MOST_OF_PULLS: Final = {
    f"/v1/images/{IMAGE.image_id}/json": (3, 5),
    f"/v1/images/{IMAGE.image_id}/ancestry": (3, 5),
    f"/v1/images/{IMAGE.image_id}/layer": (3, 5),
    f"/v1/images/{LARGE.image_id}/layer": (3, 5),
    f"/v1/repositories/{REPOSITORY}/tags/latest": (2, 4),
    f"/v1/repositories/{REPOSITORY}/tags": (3, 5),
    f"/v1/repositories/{REPOSITORY}/images": (2, 4),
}


@pytest.fixture(params=[False, True], ids=["open", "accounts"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectsWorld:
    """Return a registry to which a push was made."""
    made = ObjectsWorld(count_calls(monkeypatch), has_accounts=request.param)
    made.push(FIRST)
    return made


def most_of(world: ObjectsWorld, bounds: tuple[int, int]) -> int:
    return bounds[world.app.has_accounts]


def test_push_costs_few_calls(world: ObjectsWorld) -> None:
    calls = world.push(IMAGE, "second")
    for name, bounds in MOST_OF_PUSHES.items():
        assert len(calls[name]) <= most_of(world, bounds), (name, calls[name])


@pytest.mark.parametrize(
    ("size", "has_length", "bounds"),
    [(300_000, False, (3, 4)), (300_000, True, (3, 4)), (9 << 20, True, (3, 5)), (9 << 20, False, (4, 5))],
    ids=["chunked", "with a length", "parts with a length", "parts"],
)
def test_push_of_a_large_layer_costs_few_calls_more(
    world: ObjectsWorld, size: int, has_length: bool, bounds: tuple[int, int]
) -> None:
    image = make_image(bytes(size), name=f"layer of {size} bytes")
    world.announce(image)
    world.send(json_of(image))
    path, body = f"/v1/images/{image.image_id}/layer", [image.layer]
    with world.counted.counting() as calls:
        size_bytes = size if has_length else None
        answer = world.client.put_pieces(path, body, world.headers, size_bytes=size_bytes)
    assert answer.status_int == 200
    assert sum(call.startswith("open_writer data/") for call in calls) == 1
    assert len(calls) <= most_of(world, bounds), calls


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("path", MOST_OF_PULLS)
def test_pull_costs_few_calls(world: ObjectsWorld, path: str, is_first: bool) -> None:
    world.push(IMAGE)
    world.push(LARGE)
    if not is_first:
        world.get(path)
    calls = world.get(path)
    assert 0 < len(calls) <= most_of(world, MOST_OF_PULLS[path]), calls


def test_list_of_1000_tags_costs_few_calls(world: ObjectsWorld) -> None:
    world.storage.write_many(
        {
            f"repositories/{REPOSITORY}/tag_{number:04}": FIRST.image_id.encode("ascii")
            for number in range(1000)
        }
    )
    path = f"/v1/repositories/{REPOSITORY}/tags"
    assert len(json.loads(world.client.get(path, world.headers).body)) == 1001
    assert 0 < len(world.get(path)) <= most_of(world, (3, 5))


def test_calls_do_not_depend_on_the_number_of_tags(world: ObjectsWorld) -> None:
    world.send(tag_of(REPOSITORY, "before", FIRST.image_id))
    few = world.send(tag_of(REPOSITORY, "new", FIRST.image_id))
    world.storage.write_many(
        {f"repositories/{REPOSITORY}/tag_{number}": FIRST.image_id.encode("ascii") for number in range(500)}
    )
    many = world.send(tag_of(REPOSITORY, "newer", FIRST.image_id))
    assert len(many) == len(few)


def test_absent_image_costs_few_calls(world: ObjectsWorld) -> None:
    for _ in range(2):
        with world.counted.counting() as calls:
            assert world.client.get(f"/v1/images/{IMAGE.image_id}/json", world.headers).status_int == 404
    assert len(calls) <= most_of(world, (3, 6)), calls


def test_no_request_walks_through_expired_uploads_again(world: ObjectsWorld) -> None:
    calls = world.push(IMAGE)
    lists = [call for name in calls for call in calls[name] if call.startswith(("list ", "level "))]
    assert not lists


# -- the distribution API

#: What requests below /v2/ cost at most.
MOST_OF_V2: Final = {
    "manifest by tag": (1, 2),
    "manifest by digest": (1, 2),
    "manifest of an image of v1": (4, 5),
    "blob": (1, 3),
    "large blob": (3, 5),
    "upload begins": (4, 5),
    "upload goes on": (5, 6),
    "upload goes on with more": (6, 7),
    "upload goes on with a length": (6, 7),
    "upload goes on with parts": (9, 10),
    "upload ends": (9, 10),
    "put manifest": (30, 37),
}


def test_distribution_api_costs_few_calls(world: ObjectsWorld) -> None:
    client, counted, costs = world.v2, world.counted, dict[str, list[str]]()
    client.put_manifest(REPOSITORY, "before", client.image(REPOSITORY, "before"))
    blob = b"blob" * 1000
    with counted.counting() as costs["upload begins"]:
        place = client.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/").header("Location")
    with counted.counting() as costs["upload goes on"]:
        place = client.ask("PATCH", path_of(place), blob).header("Location")
    with counted.counting() as costs["upload ends"]:
        assert client.ask("PUT", f"{path_of(place)}?digest={digest_of(blob)}").status == 201
    for name, size in {"more": 300_000, "a length": 300_000, "parts": 9 << 20}.items():
        place = client.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/").header("Location")
        with counted.counting() as costs[f"upload goes on with {name}"]:
            login = basic("alice") if world.app.has_accounts else {}
            size_bytes = size if name == "a length" else None
            answer = world.client.put_pieces(
                path_of(place), [bytes(size)], login, method="PATCH", size_bytes=size_bytes
            )
        assert answer.status_int == 202
    manifest = client.image(REPOSITORY, "now")
    with counted.counting() as costs["put manifest"]:
        assert client.put_manifest(REPOSITORY, "now", manifest).status == 201
    for _ in range(2):
        for name, path in {
            "manifest by tag": f"/v2/{REPOSITORY}/manifests/now",
            "manifest by digest": f"/v2/{REPOSITORY}/manifests/{digest_of(manifest)}",
            "manifest of an image of v1": f"/v2/{REPOSITORY}/manifests/latest",
            "blob": f"/v2/{REPOSITORY}/blobs/{digest_of(blob)}",
            "large blob": f"/v2/{REPOSITORY}/blobs/{client.put_blob(REPOSITORY, bytes(300_000))}",
        }.items():
            with counted.counting() as costs[name]:
                assert client.get(path).status == 200
    for name, bounds in MOST_OF_V2.items():
        assert len(costs[name]) <= most_of(world, bounds), (name, costs[name])


def path_of(location: str | None) -> str:
    assert location is not None
    return location if location.startswith("/") else "/" + location.split("/", 3)[3]


def layered(world: ObjectsWorld, count: int) -> bytes:
    """Push the blobs of an image with some layers; return its manifest."""
    layers = [gzip.compress(tar_of(f"{number} of {count}"), mtime=0) for number in range(count)]
    diff_ids = [digest_of(gzip.decompress(layer)) for layer in layers]
    fields = {"architecture": "amd64", "os": "linux", "config": {}}
    config = dumped({**fields, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    for blob in (config, *layers):
        world.v2.put_blob(REPOSITORY, blob)
    return dumped(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor_of(config, CONFIG_TYPES[OCI_MANIFEST]),
            "layers": [descriptor_of(layer, LAYER_TYPE) for layer in layers],
        }
    )


def test_each_layer_of_a_manifest_costs_few_calls(world: ObjectsWorld) -> None:
    calls = dict[int, int]()
    for count in (1, 9, 17):
        manifest = layered(world, count)
        with world.counted.counting() as made:
            assert world.v2.put_manifest(REPOSITORY, f"layers-{count}", manifest).status == 201
        calls[count] = len(made)
    # its mark and its bytes, its facts, and the image of v1; some share the folder in which they are staged
    assert calls[17] - calls[9] <= most_of(world, (8 * 9 + 2, 8 * 10 + 2)), calls
