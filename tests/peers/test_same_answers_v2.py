"""One suite of ``/v2/`` for the fake registry and for docker-registry 2.8. A table has known differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from support.engine_client import tar_layer
from support.oci_clients import program
from support.parity import Peer, peer_of_fake
from support.peer_differences import DOCKER_REGISTRY_2_8
from support.programs import Program
from v1registry_fakes import FakeRegistry

REAL = "docker-registry 2.8"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
UNKNOWN = "sha256:" + "ab" * 32
NAME = "/v2/alice/app"


@pytest.fixture(params=["fake", "fake in process", pytest.param(REAL, marks=pytest.mark.real)])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """An empty server that speaks ``/v2/``, with deletion."""
    test = request.function.__name__.removeprefix("test_")
    if request.param.startswith("fake"):
        with FakeRegistry(v2_delete="on") as fake:
            peer = peer_of_fake(request.param, fake, test)
            yield peer
            peer.finish()
        return
    config = tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nstorage:\n  delete:\n    enabled: true\n"
        f"  filesystem:\n    rootdirectory: {tmp_path}/data\n"
        "http:\n  addr: 127.0.0.1:0\n"
    )
    command = [program("docker-registry", "docker-registry"), "serve", str(config)]
    with Program(command, folder=tmp_path) as running:
        peer = Peer(REAL, running.url, test, DOCKER_REGISTRY_2_8)
        yield peer
        peer.finish()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def codes(answer: requests.Response) -> list[object]:
    """Return the status and the codes of the errors."""
    try:
        errors = answer.json().get("errors", [])
    except ValueError:
        errors = []
    return [answer.status_code, *(error["code"] for error in errors)]


def add_blob(peer: Peer, content: bytes, name: str = NAME) -> str:
    """Upload a blob and return its digest."""
    place = begin(peer, name)
    answer = peer.ask("PUT", place, params={"digest": digest_of(content)}, data=content)
    assert answer.status_code == 201, answer.text
    return digest_of(content)


def begin(peer: Peer, name: str = NAME) -> str:
    """Begin an upload and return its URL."""
    answer = peer.ask("POST", f"{name}/blobs/uploads/")
    assert answer.status_code == 202, answer.text
    return urljoin(peer.url, answer.headers["Location"])


def add_image(peer: Peer, tag: str, text: str = "app", name: str = NAME) -> tuple[str, bytes]:
    """Push an image of one layer; return its digest and its manifest."""
    layer = tar_layer({text: text.encode()})
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": [text]}}).encode()
    add_blob(peer, layer, name), add_blob(peer, config, name)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
    }
    document = json.dumps(manifest).encode()
    answer = put_manifest(peer, tag, document, name=name)
    assert answer.status_code == 201, answer.text
    return digest_of(document), document


def put_manifest(
    peer: Peer, reference: str, document: bytes, media_type: str = MANIFEST, name: str = NAME
) -> requests.Response:
    return peer.ask(
        "PUT", f"{name}/manifests/{reference}", data=document, headers={"Content-Type": media_type}
    )


def test_base(peer: Peer) -> None:
    answer = peer.ask("GET", "/v2/")
    peer.expect("answer", [answer.status_code, answer.json()], [200, {}])
    peer.expect("version", answer.headers.get("Docker-Distribution-Api-Version"), None)
    peer.expect("type", answer.headers["Content-Type"].partition(";")[0], "application/json")
    peer.expect("without the slash", peer.ask("GET", "/v2").status_code, 200)
    peer.expect("HEAD", peer.ask("HEAD", "/v2/").status_code, 200)
    peer.expect("wrong method", peer.ask("DELETE", "/v2/").status_code, 405)
    peer.expect("unknown path", peer.ask("GET", "/v2/alice/app/unknown").status_code, 404)


def test_uploads(peer: Peer) -> None:
    content = b"0123456789"
    begun = peer.ask("POST", f"{NAME}/blobs/uploads/")
    peer.expect("begun", [begun.status_code, begun.headers.get("Range")], [202, "0-0"])
    peer.expect("id", bool(begun.headers.get("Docker-Upload-UUID")), True)
    place = urljoin(peer.url, begun.headers["Location"])
    first = peer.ask("PATCH", place, data=content[:4], headers={"Content-Range": "0-3"})
    peer.expect("chunk", [first.status_code, first.headers.get("Range")], [202, "0-3"])
    place = urljoin(peer.url, first.headers["Location"])
    state = peer.ask("GET", place)
    peer.expect("status", [state.status_code, state.headers.get("Range")], [204, "0-3"])
    wrong = peer.ask("PATCH", place, data=b"x", headers={"Content-Range": "8-8"})
    peer.expect("chunk out of order", wrong.status_code, 416)
    second = peer.ask("PATCH", place, data=content[4:], headers={"Content-Range": "4-9"})
    peer.expect("second chunk", [second.status_code, second.headers.get("Range")], [202, "0-9"])
    place = urljoin(peer.url, second.headers["Location"]) if second.ok else begin(peer)
    bad = peer.ask("PUT", place, params={"digest": UNKNOWN})
    peer.expect("wrong digest", codes(bad), [400, "DIGEST_INVALID"])
    place = begin(peer)
    done = peer.ask("PUT", place, params={"digest": digest_of(content)}, data=content)
    peer.expect(
        "done", [done.status_code, done.headers.get("Docker-Content-Digest")], [201, digest_of(content)]
    )
    peer.expect(
        "place of the blob", done.headers["Location"].endswith(f"{NAME}/blobs/{digest_of(content)}"), True
    )
    peer.expect("upload afterwards", codes(peer.ask("GET", place)), [404, "BLOB_UPLOAD_UNKNOWN"])
    at_once = peer.ask("POST", f"{NAME}/blobs/uploads/", params={"digest": digest_of(b"x")}, data=b"x")
    peer.expect("in one request", at_once.status_code, 201)
    place = begin(peer)
    peer.expect("cancelled", peer.ask("DELETE", place).status_code, 204)
    peer.expect("after that", codes(peer.ask("PATCH", place, data=b"x")), [404, "BLOB_UPLOAD_UNKNOWN"])
    place = begin(peer)
    peer.expect("no digest", codes(peer.ask("PUT", place, data=b"x")), [400, "DIGEST_INVALID"])
    place = begin(peer)
    answer = peer.ask("PUT", place, params={"digest": "md5:00"}, data=b"x")
    peer.expect("invalid digest", codes(answer), [400, "DIGEST_INVALID"])


def test_blobs(peer: Peer) -> None:
    content = b"0123456789"
    digest = add_blob(peer, content)
    answer = peer.ask("GET", f"{NAME}/blobs/{digest}")
    peer.expect("content", [answer.status_code, answer.content], [200, content])
    peer.expect("digest", answer.headers.get("Docker-Content-Digest"), digest)
    peer.expect("type", answer.headers["Content-Type"], "application/octet-stream")
    head = peer.ask("HEAD", f"{NAME}/blobs/{digest}")
    peer.expect("HEAD", [head.status_code, head.headers["Content-Length"]], [200, "10"])
    part = peer.ask("GET", f"{NAME}/blobs/{digest}", headers={"Range": "bytes=2-4"})
    peer.expect("range", [part.status_code, part.headers.get("Content-Range"), part.content],
                [206, "bytes 2-4/10", b"234"])  # fmt: skip
    same = peer.ask("GET", f"{NAME}/blobs/{digest}", headers={"If-None-Match": answer.headers["Etag"]})
    peer.expect("unchanged", same.status_code, 304)
    peer.expect("unknown", codes(peer.ask("GET", f"{NAME}/blobs/{UNKNOWN}")), [404, "BLOB_UNKNOWN"])
    peer.expect("invalid digest", codes(peer.ask("GET", f"{NAME}/blobs/sha256:00")), [400, "DIGEST_INVALID"])
    peer.expect("in other repository", peer.ask("GET", f"/v2/bob/app/blobs/{digest}").status_code, 404)
    parameters = {"mount": digest, "from": "alice/app"}
    mounted = peer.ask("POST", "/v2/bob/app/blobs/uploads/", params=parameters)
    peer.expect("mounted", [mounted.status_code, mounted.headers.get("Docker-Content-Digest")], [201, digest])
    peer.expect(
        "in the other repository then", peer.ask("GET", f"/v2/bob/app/blobs/{digest}").content, content
    )
    parameters = {"mount": UNKNOWN, "from": "alice/app"}
    missed = peer.ask("POST", "/v2/bob/app/blobs/uploads/", params=parameters)
    peer.expect("mount of an unknown blob", missed.status_code, 202)
    peer.expect("deleted", peer.ask("DELETE", f"{NAME}/blobs/{digest}").status_code, 202)
    peer.expect("after that", codes(peer.ask("GET", f"{NAME}/blobs/{digest}")), [404, "BLOB_UNKNOWN"])
    peer.expect("deleted again", codes(peer.ask("DELETE", f"{NAME}/blobs/{digest}")), [404, "BLOB_UNKNOWN"])


def test_manifests(peer: Peer) -> None:
    digest, document = add_image(peer, "1.0")
    accept = {"Accept": MANIFEST}
    for question, reference in (("by tag", "1.0"), ("by digest", digest)):
        answer = peer.ask("GET", f"{NAME}/manifests/{reference}", headers=accept)
        facts = [answer.status_code, answer.content, answer.headers["Content-Type"]]
        peer.expect(question, facts, [200, document, MANIFEST])
        peer.expect(f"digest {question}", answer.headers.get("Docker-Content-Digest"), digest)
    head = peer.ask("HEAD", f"{NAME}/manifests/1.0", headers=accept)
    peer.expect("HEAD", [head.status_code, head.headers["Content-Length"]], [200, str(len(document))])
    same = peer.ask("GET", f"{NAME}/manifests/1.0", headers={**accept, "If-None-Match": f'"{digest}"'})
    peer.expect("unchanged", same.status_code, 304)
    answer = peer.ask("GET", f"{NAME}/manifests/1.0", headers={"Accept": "application/json"})
    peer.expect("type that is not asked for", answer.status_code, 200)
    again = put_manifest(peer, "1.0", document)
    peer.expect("again", [again.status_code, again.headers.get("Docker-Content-Digest")], [201, digest])
    index = json.dumps({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": len(document),
                       "platform": {"architecture": "amd64", "os": "linux"}}],
    }).encode()  # fmt: skip
    peer.expect("index", put_manifest(peer, "all", index, INDEX).status_code, 201)
    peer.expect("by digest of another", codes(put_manifest(peer, UNKNOWN, document)), [400, "DIGEST_INVALID"])
    peer.expect("unknown tag", codes(peer.ask("GET", f"{NAME}/manifests/none")), [404, "MANIFEST_UNKNOWN"])
    answer = peer.ask("GET", f"{NAME}/manifests/{UNKNOWN}")
    peer.expect("unknown digest", codes(answer), [404, "MANIFEST_UNKNOWN"])
    answer = peer.ask("GET", "/v2/alice/none/manifests/1.0")
    peer.expect("unknown repository", codes(answer), [404, "NAME_UNKNOWN"])
    peer.expect("no JSON", codes(put_manifest(peer, "bad", b"{")), [400, "MANIFEST_INVALID"])
    answer = put_manifest(peer, "bad", b'{"schemaVersion":2}', "text/plain")
    peer.expect("type of no manifest", codes(answer), [400, "MANIFEST_INVALID"])
    other = json.loads(document)
    other["layers"][0]["digest"] = UNKNOWN
    answer = put_manifest(peer, "bad", json.dumps(other).encode())
    peer.expect("unknown layer", codes(answer), [400, "MANIFEST_BLOB_UNKNOWN"])
    peer.expect("invalid tag", codes(put_manifest(peer, "-bad", document)), [400, "TAG_INVALID"])


def test_tags_and_catalog(peer: Peer) -> None:
    for tag in ("b", "a", "c"):
        add_image(peer, tag)
    add_image(peer, "1", "other", "/v2/zoe/app")
    answer = peer.ask("GET", f"{NAME}/tags/list")
    peer.expect("tags", [answer.status_code, sorted(answer.json()["tags"])], [200, ["a", "b", "c"]])
    page = peer.ask("GET", f"{NAME}/tags/list?n=2")
    peer.expect("page", len(page.json()["tags"]), 2)
    following = page.links.get("next", {}).get("url", "")
    peer.expect("link", bool(following), True)
    page = peer.ask("GET", f"{NAME}/tags/list?n=2&last=b")
    peer.expect("last page", [len(page.json()["tags"]), "Link" in page.headers], [1, False])
    peer.expect("invalid n", peer.ask("GET", f"{NAME}/tags/list?n=x").status_code, 200)
    peer.expect(
        "unknown repository", codes(peer.ask("GET", "/v2/alice/none/tags/list")), [404, "NAME_UNKNOWN"]
    )
    catalog = peer.ask("GET", "/v2/_catalog")
    peer.expect("catalog", catalog.json(), {"repositories": ["alice/app", "zoe/app"]})
    page = peer.ask("GET", "/v2/_catalog?n=1")
    peer.expect("page of the catalog", page.json(), {"repositories": ["alice/app"]})
    peer.expect("link of the catalog", "next" in page.links, True)
    page = peer.ask("GET", "/v2/_catalog?n=1&last=alice/app")
    peer.expect("next page of the catalog", page.json(), {"repositories": ["zoe/app"]})


def test_deletion(peer: Peer) -> None:
    digest, document = add_image(peer, "1.0")
    assert put_manifest(peer, "2.0", document).status_code == 201
    peer.expect("tag", peer.ask("DELETE", f"{NAME}/manifests/2.0").status_code, 202)
    peer.expect("tags after that", sorted(peer.ask("GET", f"{NAME}/tags/list").json()["tags"]), ["1.0"])
    peer.expect("digest", peer.ask("DELETE", f"{NAME}/manifests/{digest}").status_code, 202)
    answer = peer.ask("GET", f"{NAME}/manifests/{digest}")
    peer.expect("manifest after that", codes(answer), [404, "MANIFEST_UNKNOWN"])
    peer.expect("tag of it", peer.ask("GET", f"{NAME}/manifests/1.0").status_code, 404)
    answer = peer.ask("DELETE", f"{NAME}/manifests/{digest}")
    peer.expect("again", codes(answer), [404, "MANIFEST_UNKNOWN"])


def test_referrers(peer: Peer) -> None:
    digest, document = add_image(peer, "1.0")
    empty = add_blob(peer, b"{}")
    descriptor = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}
    artifact = json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "text/plain",
        "config": descriptor,
        "layers": [descriptor],
        "subject": {"mediaType": MANIFEST, "digest": digest, "size": len(document)},
    }).encode()  # fmt: skip
    put = put_manifest(peer, digest_of(artifact), artifact)
    peer.expect("artifact", [put.status_code, put.headers.get("OCI-Subject")], [201, digest])
    answer = peer.ask("GET", f"{NAME}/referrers/{digest}")
    peer.expect("status", answer.status_code, 200)
    if answer.status_code == 200:
        found = [entry["digest"] for entry in answer.json()["manifests"]]
        peer.expect("referrers", found, [digest_of(artifact)])


def test_names(peer: Peer) -> None:
    for name in ("app", "a/b/c/d", "with-dash/x_y", "0/1"):
        peer.expect(name, peer.ask("POST", f"/v2/{name}/blobs/uploads/").status_code, 202)
    for name in ("Upper/case", "-dash/x", "a//b", "x" * 256):
        answer = peer.ask("POST", f"/v2/{name}/blobs/uploads/")
        peer.expect(f"invalid {name[:10]}", answer.status_code, 400)
