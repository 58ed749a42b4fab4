"""One suite of v1 for the fake registry and for docker-registry 0.9.1. Known differences are in one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from support.engine_client import Image, make_chain, make_image, tar_layer
from support.parity import Peer, peer_of_fake
from support.peer_differences import DOCKER_REGISTRY_0_9
from support.programs import Program
from support.push_requests import (
    PAYLOAD_HEADER,
    PushRequest,
    announcement,
    checksum_of,
    end_of,
    image_requests,
    json_of,
    layer_of,
    tag_of,
)
from v1registry_fakes import FakeRegistry

ROOT, CHILD = make_chain((tar_layer({name: name.encode()}) for name in ("root", "child")), name="same")
OTHER = make_image(tar_layer({"other": b"other"}), name="other")
MISSING = "ab" * 32
TAGS = "/v1/repositories/alice/app/tags"


@pytest.fixture(
    params=["fake", "fake in process", pytest.param("docker-registry 0.9.1", marks=pytest.mark.real)]
)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """An empty server that speaks v1."""
    test = request.function.__name__.removeprefix("test_")
    if request.param.startswith("fake"):
        with FakeRegistry() as fake:
            peer = peer_of_fake(request.param, fake, test)
            yield peer
            peer.finish()
        return
    start: Callable[[Path], Program] = request.getfixturevalue("start")
    peer = Peer(request.param, start(tmp_path / "data").url, test, DOCKER_REGISTRY_0_9)
    yield peer
    peer.finish()


def send(peer: Peer, step: PushRequest) -> requests.Response:
    return peer.ask(step.method, step.path, data=step.body, headers=dict(step.headers))


def push(peer: Peer, *images: Image) -> None:
    """Push images to alice/app, and the tag latest of the last one."""
    steps = [announcement("alice/app", [image.image_id for image in images])]
    for image in images:
        steps += image_requests(image)
    for step in [*steps, tag_of("alice/app", "latest", images[-1].image_id)]:
        answer = send(peer, step)
        assert answer.status_code in (200, 201, 204), (step, answer.text)


def seen(answer: requests.Response, *headers: str) -> list[object]:
    """Return the status, the JSON or the text of the body, and some headers."""
    try:
        body = answer.json()
    except ValueError:
        body = answer.text
    return [answer.status_code, body, *(answer.headers.get(name) for name in headers)]


def test_ping(peer: Peer) -> None:
    answer = peer.ask("GET", "/v1/_ping")
    peer.expect("answer", seen(answer, "Content-Type"), [200, {}, "application/json"])
    peer.expect("standalone", answer.headers.get("X-Docker-Registry-Standalone"), "True")
    peer.expect("root", peer.ask("GET", "/").text, '"docker-registry server"')
    peer.expect("status", peer.ask("GET", "/v1/_status").status_code, 200)
    peer.expect("unknown path", peer.ask("GET", "/v1/unknown").status_code, 404)
    peer.expect("wrong method", peer.ask("DELETE", "/v1/_ping").status_code, 405)


def test_push(peer: Peer) -> None:
    begun = send(peer, announcement("alice/app", [ROOT.image_id]))
    peer.expect("announcement", begun.status_code, 200)
    peer.expect("endpoint", begun.headers.get("X-Docker-Endpoints"), peer.url.removeprefix("http://"))
    for name, step in zip(("json", "layer", "checksum"), image_requests(ROOT), strict=True):
        peer.expect(name, seen(send(peer, step)), [200, True])
    peer.expect("tag", seen(send(peer, tag_of("alice/app", "latest", ROOT.image_id))), [200, True])
    ended = send(peer, end_of("alice/app", ROOT))
    peer.expect("end", seen(ended), [204, ""])


def test_pull(peer: Peer) -> None:
    push(peer, ROOT, CHILD)
    image = f"/v1/images/{CHILD.image_id}"
    document = peer.ask("GET", f"{image}/json")
    peer.expect("json", [document.status_code, document.content], [200, CHILD.json])
    peer.expect("size", document.headers.get("X-Docker-Size"), str(len(CHILD.layer)))
    peer.expect("checksum", document.headers.get(PAYLOAD_HEADER), CHILD.payload_checksum)
    peer.expect(
        "ancestry", seen(peer.ask("GET", f"{image}/ancestry")), [200, [CHILD.image_id, ROOT.image_id]]
    )
    layer = peer.ask("GET", f"{image}/layer")
    peer.expect("layer", [layer.status_code, layer.content], [200, CHILD.layer])
    peer.expect("type of the layer", layer.headers["Content-Type"], "application/octet-stream")
    files = peer.ask("GET", f"{image}/files").json()
    peer.expect("files", [entry[0] for entry in files], ["child"])
    listed = peer.ask("GET", "/v1/repositories/alice/app/images").json()
    peer.expect("images", sorted(entry["id"] for entry in listed), sorted([ROOT.image_id, CHILD.image_id]))
    head = peer.ask("HEAD", f"{image}/layer")
    peer.expect("HEAD of a layer", head.status_code, 200)
    peer.expect("length of HEAD", head.headers.get("Content-Length"), str(len(CHILD.layer)))


def test_ranges(peer: Peer) -> None:
    push(peer, ROOT)
    size = len(ROOT.layer)

    def part(value: str) -> list[object]:
        try:
            answer = peer.ask("GET", f"/v1/images/{ROOT.image_id}/layer", headers={"Range": value})
        except requests.exceptions.ChunkedEncodingError:
            return ["shorter than announced"]
        return [answer.status_code, answer.headers.get("Content-Range"), len(answer.content)]

    peer.expect("middle", part("bytes=10-19"), [206, f"bytes 10-19/{size}", 10])
    peer.expect("from an offset", part("bytes=10-"), [206, f"bytes 10-{size - 1}/{size}", size - 10])
    peer.expect("last bytes", part("bytes=-5"), [206, f"bytes {size - 5}-{size - 1}/{size}", 5])
    peer.expect("past the end", part(f"bytes={size}-")[:2], [416, f"bytes */{size}"])
    peer.expect("one byte", part("bytes=0-0")[:2], [206, f"bytes 0-0/{size}"])
    peer.expect("whole", part("lines=1-2")[2], size)


def test_missing(peer: Peer) -> None:
    push(peer, ROOT)
    for part in ("json", "layer", "ancestry"):
        answer = peer.ask("GET", f"/v1/images/{MISSING}/{part}")
        peer.expect(part, seen(answer), [404, {"error": "Image not found"}])
    peer.expect("tag", seen(peer.ask("GET", f"{TAGS}/none")), [404, {"error": "Tag not found"}])
    answer = peer.ask("GET", "/v1/repositories/alice/none/tags")
    peer.expect("tags of a repository", seen(answer), [404, {"error": "Repository not found"}])
    answer = peer.ask("GET", "/v1/repositories/alice/none/images")
    peer.expect("images of a repository", seen(answer), [404, {"error": "images not found"}])
    answer = peer.ask("DELETE", f"{TAGS}/none")
    peer.expect("tag to delete", seen(answer), [404, {"error": "Tag not found: none"}])


def test_refused_pushes(peer: Peer) -> None:
    push(peer, ROOT)
    path = f"/v1/images/{OTHER.image_id}"
    peer.expect("layer before JSON", seen(send(peer, layer_of(OTHER))), [404, {"error": "Image not found"}])
    answer = peer.ask("PUT", f"{path}/json", data=b"{")
    peer.expect("JSON that is none", seen(answer), [400, {"error": "Invalid JSON"}])
    answer = peer.ask("PUT", f"{path}/json", data=json.dumps({"id": MISSING}))
    peer.expect("JSON of a different id", seen(answer), [400, {"error": "JSON data contains invalid id"}])
    orphan = make_image(OTHER.layer, MISSING)
    answer = send(peer, json_of(orphan))
    peer.expect("unknown parent", seen(answer), [400, {"error": "Image depends on a non existing parent"}])
    peer.expect("JSON again", seen(send(peer, json_of(ROOT))), [409, {"error": "Image already exists"}])
    peer.expect("layer again", seen(send(peer, layer_of(ROOT))), [200, True])
    answer = peer.ask("PUT", f"/v1/images/{ROOT.image_id}/layer", data=OTHER.layer)
    peer.expect("different layer", seen(answer), [409, {"error": "Image already exists"}])
    peer.expect("checksum again", seen(send(peer, checksum_of(ROOT))), [200, True])
    assert send(peer, json_of(OTHER)).status_code == 200
    peer.expect(
        "read before the end",
        seen(peer.ask("GET", f"{path}/json")),
        [400, {"error": "Image is being uploaded, retry later"}],
    )
    assert send(peer, layer_of(OTHER)).status_code == 200
    wrong = peer.ask("PUT", f"{path}/checksum", headers={PAYLOAD_HEADER: f"sha256:{MISSING}"})
    peer.expect("wrong checksum", wrong.status_code, 400)
    missing = peer.ask("PUT", f"{path}/checksum")
    peer.expect("no checksum", missing.status_code, 412)
    peer.expect("right checksum afterwards", seen(send(peer, checksum_of(OTHER))), [200, True])


def test_tags(peer: Peer) -> None:
    push(peer, ROOT, CHILD)
    for tag, image in (("1.0", ROOT), ("edge_2-3", CHILD)):
        peer.expect(f"set {tag}", seen(send(peer, tag_of("alice/app", tag, image.image_id))), [200, True])
    expected = {"1.0": ROOT.image_id, "edge_2-3": CHILD.image_id, "latest": CHILD.image_id}
    peer.expect("list", seen(peer.ask("GET", TAGS)), [200, expected])
    peer.expect("one", seen(peer.ask("GET", f"{TAGS}/1.0")), [200, ROOT.image_id])
    answer = send(peer, tag_of("alice/app", "2.0", MISSING))
    peer.expect("unknown image", seen(answer), [404, {"error": "Image not found"}])
    answer = peer.ask("PUT", f"{TAGS}/2.0", data=b"{")
    peer.expect("body that is no JSON", answer.status_code, 400)
    peer.expect("moved", seen(send(peer, tag_of("alice/app", "1.0", CHILD.image_id))), [200, True])
    peer.expect("after the move", seen(peer.ask("GET", f"{TAGS}/1.0")), [200, CHILD.image_id])
    peer.expect("deleted", seen(peer.ask("DELETE", f"{TAGS}/1.0")), [200, True])
    peer.expect("after the deletion", peer.ask("GET", f"{TAGS}/1.0").status_code, 404)
    engine = "docker/1.9.1 go/go1.4.3 git-commit/a34a1d5 kernel/3.16.0-4-amd64 os/linux arch/amd64"
    step = tag_of("alice/app", "latest", CHILD.image_id)
    peer.ask("PUT", step.path, data=step.body, headers={"User-Agent": engine})
    facts = peer.ask("GET", f"{TAGS}/latest/json").json()
    del facts["last_update"]
    expected = {
        "arch": "amd64",
        "docker_go_version": "go1.4.3",
        "docker_version": "1.9.1",
        "kernel": "3.16.0-4-amd64",
        "os": "linux",
    }
    peer.expect("facts of the push", facts, expected)
    peer.expect("repository deleted", peer.ask("DELETE", "/v1/repositories/alice/app/").status_code, 200)
    peer.expect("tags after that", peer.ask("GET", TAGS).status_code, 404)
    peer.expect("image after that", peer.ask("GET", f"/v1/images/{ROOT.image_id}/json").status_code, 200)


def test_index(peer: Peer) -> None:
    push(peer, ROOT)
    peer.expect("log-in", seen(peer.ask("GET", "/v1/users/", auth=("alice", "secret"))), [200, "OK"])
    answer = peer.ask(
        "POST", "/v1/users/", json={"username": "alice", "password": "secret", "email": "a@b.cd"}
    )
    peer.expect("registration", seen(answer), [201, "User Created"])
    found = peer.ask("GET", "/v1/search?q=app")
    peer.expect("search", found.status_code, 200)
    if found.status_code == 200:
        names = [hit["name"] for hit in found.json()["results"]]
        peer.expect("hits", [found.json()["num_results"], names], [1, ["alice/app"]])
    path = "/v1/repositories/alice/app/properties"
    peer.expect("properties", seen(peer.ask("GET", path)), [200, {"access": "public"}])
    peer.expect("made private", seen(peer.ask("PUT", path, json={"access": "private"})), [200, True])
    peer.expect("properties afterwards", seen(peer.ask("GET", path)), [200, {"access": "private"}])


def test_names(peer: Peer) -> None:
    push(peer, ROOT)
    for name in ("library/app", "app", "deep/er/app", "upper/Case"):
        answer = send(peer, announcement(name, []))
        peer.expect(f"announce {name}", answer.status_code, 200)
        answer = send(peer, tag_of(name, "latest", ROOT.image_id))
        peer.expect(f"tag in {name}", answer.status_code, 200)
        peer.expect(f"read from {name}", peer.ask("GET", f"/v1/repositories/{name}/tags").status_code, 200)
    peer.expect("namespace in capitals", send(peer, announcement("Upper/case", [])).status_code, 400)
    answer = send(peer, announcement("alice/a b", []))
    peer.expect("space", answer.status_code, 400)
    for number, tag in enumerate(("with space", "-dash", "x" * 129, "sl%2Fash")):
        answer = send(peer, tag_of("alice/app", tag, ROOT.image_id))
        peer.expect(f"tag {number}", answer.status_code, 400)
    answer = peer.ask("GET", "/v1/images/not-an-id/json")
    peer.expect("id of wrong form", answer.status_code, 404)
