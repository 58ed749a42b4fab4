"""``serve`` is killed by SIGKILL at each step of PUT manifest and of conversions (distribution.md 2).

Afterwards the tag is the old or the new one as a whole in both APIs, all that is shown fits its digest, and a
retry succeeds.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.client
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import zstandard
from support.converted import Converted
from support.engine_client import EngineClient, Image, make_chain
from support.forwarding import Forwarding
from support.killed_at_step import Killer, Victim
from support.programs import Program
from support.strict_engine import StrictEngine
from support.two_views import view_of
from support.v2_client import (
    CONFIG_TYPES,
    LAYER_TYPE,
    V2Client,
    descriptor_of,
    digest_of,
    dumped,
    index_of,
    tar_of,
)

from v1registry import MemoryStorage, Registry
from v1registry.distribution.manifests import DOCKER_MANIFEST, OCI_MANIFEST

pytestmark = pytest.mark.real

TAG = "latest"

#: More than any request makes.
MOST_STEPS = 200


class Killed:
    """``serve`` with two workers over a folder, and how to kill it."""

    def __init__(self, folder: Path):
        self.data = folder / "registry"
        self.data.mkdir()
        self.killer = Killer(self.data, folder / "order")
        self._folder = folder
        self._program = self._start()

    def _start(self) -> Program:
        command = ("v1registry", "serve", "--port", "0", "--workers", "2")
        return Program(command, folder=self._folder, environment=self.killer.environment)

    @property
    def v2(self) -> V2Client:
        return V2Client(Forwarding(self._program.host))

    @property
    def v1(self) -> EngineClient:
        return EngineClient(self._program.host)

    def is_killed(self, victim: Victim, step: int, request: Callable[[], object]) -> bool:
        """Make a request and kill the server before a step of it. Tell whether it had so many steps.

        A server that was killed as a whole is started again.
        """
        self.killer.order(victim, step)
        try:
            request()
        except (OSError, http.client.HTTPException):
            assert self.killer.is_done(), self._program.log
        else:
            assert not self.killer.is_done()
            self.killer.withdraw()
            return False
        if victim is Victim.SERVER:
            self._program.kill()
            self._program = self._start()
        return True

    def check_blobs(self) -> None:
        """Check that the bytes of all blobs fit their digests."""
        for path in self.data.glob("blobs/sha256/*/*/data"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name

    def end(self) -> None:
        self._program.end()


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    running = Killed(tmp_path)
    yield running
    running.end()


# -- PUT manifest


def layered(client: V2Client, name: str, content: str) -> bytes:
    """Upload an image of two layers, of which v1 cannot read the upper one as it is. Return its manifest."""
    tars = [tar_of(f"{content}-{number}") for number in range(2)]
    layers = [gzip.compress(tars[0], mtime=0), zstandard.compress(tars[1])]
    rootfs = {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]}
    config = dumped({"architecture": "amd64", "os": "linux", "rootfs": rootfs})
    for blob in (config, *layers):
        client.put_blob(name, blob)
    types = (LAYER_TYPE, LAYER_TYPE.replace("gzip", "zstd"))
    return dumped(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor_of(config, CONFIG_TYPES[OCI_MANIFEST]),
            "layers": [descriptor_of(*layer) for layer in zip(layers, types, strict=True)],
        }
    )


def index(client: V2Client, name: str, content: str) -> bytes:
    """Upload an index of two images."""
    images = [client.image(name, f"{content} {number}") for number in range(2)]
    for image in images:
        assert client.put_manifest(name, digest_of(image), image).status == 201
    return index_of(*images)


def referrer(client: V2Client, name: str, content: str) -> bytes:
    """Upload the blobs of an artifact with a subject."""
    subject = descriptor_of(b"any", OCI_MANIFEST)
    return client.artifact(name, content, subject=subject)


Make = Callable[[V2Client, str, str], bytes]


def view_in(client: V2Client, name: str, manifest: bytes) -> str | None:
    """Return the image id of the v1 view of a manifest."""
    document = json.loads(manifest)
    if "manifests" in document:
        return view_in(client, name, client.get_manifest(name, document["manifests"][0]["digest"]).body)
    return None if "artifactType" in document else view_of(manifest)


def check_whole(client: V2Client, name: str, manifest: bytes) -> None:
    """Check that all that a manifest names is served, and fits its digest."""
    document = json.loads(manifest)
    for entry in document.get("manifests", ()):
        found = client.get_manifest(name, entry["digest"]).body
        assert digest_of(found) == entry["digest"]
        check_whole(client, name, found)
    for blob in (document["config"], *document["layers"]) if "config" in document else ():
        answer = client.get(f"/v2/{name}/blobs/{blob['digest']}")
        assert (answer.status, digest_of(answer.body)) == (200, blob["digest"])


def shown_by_v1(v1: EngineClient, name: str) -> str | None:
    """Return the image id of the tag in v1, None if it is missing. All of its images are checked."""
    if v1.get(f"/v1/repositories/{name}/tags/{TAG}").status == 404:
        return None
    return v1.pull(name, TAG)[-1].image_id


def check_tag(killed: Killed, name: str, *allowed: bytes) -> bytes:
    """Check that the tag is one of these manifests in both APIs, as a whole. Return it."""
    client = killed.v2
    answer = client.get_manifest(name, TAG)
    assert answer.status == 200
    assert answer.body in allowed
    assert answer.header("Docker-Content-Digest") == digest_of(answer.body)
    check_whole(client, name, answer.body)
    assert shown_by_v1(killed.v1, name) == view_in(client, name, answer.body)
    killed.check_blobs()
    return answer.body


def put(killed: Killed, name: str, reference: str, manifest: bytes) -> None:
    media_type = json.loads(manifest)["mediaType"]
    assert killed.v2.put_manifest(name, reference, manifest, media_type).status == 201


@pytest.mark.parametrize(
    ("make_old", "make", "victim", "stride"),
    [
        (layered, layered, Victim.WORKER, 2),
        (layered, layered, Victim.SERVER, 9),
        (layered, index, Victim.WORKER, 4),
        (layered, referrer, Victim.WORKER, 1),
        (referrer, layered, Victim.WORKER, 4),
    ],
    ids=["image", "image-server", "index-over-image", "artifact-over-image", "image-over-artifact"],
)
def test_killed_put_manifest_leaves_the_old_or_the_new_tag(
    killed: Killed, make_old: Make, make: Make, victim: Victim, stride: int
) -> None:
    outcomes = []
    for step in range(0, MOST_STEPS, stride):
        name = f"team/app{step}"
        old, new = make_old(killed.v2, name, f"old {step}"), make(killed.v2, name, f"new {step}")
        put(killed, name, TAG, old)
        put_new = partial(put, killed, name, TAG, new)
        if not killed.is_killed(victim, step, put_new):
            break
        by_digest = killed.v2.get_manifest(name, digest_of(new))
        assert (by_digest.status, by_digest.body) == (200, new) or by_digest.status == 404
        outcomes.append(check_tag(killed, name, old, new) == new)
        # the retry is killed too
        killed.is_killed(Victim.WORKER, step // 2, put_new)
        check_tag(killed, name, old, new)
        put_new()
        check_tag(killed, name, new)
    else:
        pytest.fail("the server was always killed")
    # one step decides
    assert outcomes == sorted(outcomes)
    assert not outcomes[0]


def test_killed_put_manifest_lists_a_referrer_as_a_whole(killed: Killed) -> None:
    for step in range(MOST_STEPS):
        name = f"team/app{step}"
        new = referrer(killed.v2, name, f"new {step}")
        listed = f"/v2/{name}/referrers/{digest_of(b'any')}"
        put_new = partial(put, killed, name, digest_of(new), new)
        if not killed.is_killed(Victim.WORKER, step, put_new):
            break
        for entry in json.loads(killed.v2.get(listed).body)["manifests"]:
            assert killed.v2.get_manifest(name, entry["digest"]).body == new
        put_new()
        entries = json.loads(killed.v2.get(listed).body)["manifests"]
        assert [(entry["digest"], entry["size"]) for entry in entries] == [(digest_of(new), len(new))]
    else:
        pytest.fail("the server was always killed")


# -- v1 to v2


def chain_of(content: str) -> list[Image]:
    """Return images of v1 whose layers are packed in three ways. One of them is packed again for v2."""
    tars = [tar_of(f"{content}-{number}") for number in range(3)]
    return make_chain([gzip.compress(tars[0], mtime=0), bz2.compress(tars[1]), tars[2]], name=content)


def expected_manifest(name: str, chain: list[Image], *, is_oci: bool) -> bytes:
    """Return the manifest that a server makes of images without being killed."""
    storage = MemoryStorage()
    StrictEngine(Registry(storage=storage), name, chain).push()
    converted = Converted(storage)
    return converted.blob(converted.digest(name, chain[-1].image_id, is_oci=is_oci))


def convert(killed: Killed, name: str, media_type: str) -> bytes:
    answer = killed.v2.get_manifest(name, TAG, Accept=media_type)
    assert answer.status == 200
    return answer.body


@pytest.mark.parametrize(
    ("media_type", "victim", "stride"),
    [
        (DOCKER_MANIFEST, Victim.WORKER, 2),
        (DOCKER_MANIFEST, Victim.SERVER, 9),
        (OCI_MANIFEST, Victim.WORKER, 5),
    ],
    ids=["docker-worker", "docker-server", "oci-worker"],
)
def test_killed_conversion_of_v1_leaves_only_whole_content(
    killed: Killed, media_type: str, victim: Victim, stride: int
) -> None:
    for step in range(0, MOST_STEPS, stride):
        name, chain = f"team/app{step}", chain_of(f"content-{step}")
        killed.v1.push(name, chain)
        expected = expected_manifest(name, chain, is_oci=media_type == OCI_MANIFEST)
        get = partial(convert, killed, name, media_type)
        if not killed.is_killed(victim, step, get):
            break
        killed.check_blobs()
        assert killed.v1.pull(name) == chain
        by_digest = killed.v2.get_manifest(name, digest_of(expected))
        if by_digest.status == 200:
            check_whole(killed.v2, name, by_digest.body)
        # the retry is killed too
        killed.is_killed(Victim.WORKER, step // 2, get)
        assert get() == expected
        check_whole(killed.v2, name, expected)
        assert killed.v1.pull(name) == chain
        killed.check_blobs()
    else:
        pytest.fail("the server was always killed")
