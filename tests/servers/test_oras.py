"""oras and ``serve`` with accounts, on the live port: artifacts are attached to images, found and pulled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oras.client import OrasClient
from oras.oci import Subject
from support.engine_client import EngineClient, make_chain, tar_layer
from support.forwarding import Forwarding
from support.programs import Program
from support.v2_client import V2Client, digest_of
from support.wsgi_servers import SERVE

from v1registry import FileStorage
from v1registry.accounts.users import UserStore
from v1registry.distribution.manifests import DOCKER_MANIFEST, OCI_MANIFEST

NAME = "alice/app"
KINDS = ("application/vnd.example.notes", "application/vnd.example.report")


@dataclass
class Served:
    """A server with the account alice, and the current folder of oras."""

    program: Program
    folder: Path

    def oras(self, user: str | None = "alice") -> Any:
        client = OrasClient(hostname=self.program.host, insecure=True)
        if user is not None:
            client.auth.set_basic_auth(user, f"pw-{user}")
        return client

    @property
    def v2(self) -> V2Client:
        return V2Client(Forwarding(self.program.host), "alice")

    def reference(self, tag: str) -> str:
        return f"{self.program.host}/{NAME}:{tag}"

    def attach(self, subject: Subject, tag: str, kind: str) -> str:
        """Push a file as a referrer of ``subject``. Return the digest of its manifest."""
        file = self.folder / f"{tag}.txt"
        file.write_text(f"{tag} {kind}")
        config = self.folder / f"{tag}.json"
        config.write_text("{}")
        answer = self.oras().push(
            target=self.reference(tag),
            files=[file.name],
            manifest_config=f"{config}:{kind}",
            subject=subject,
            quiet=True,
        )
        assert answer.status_code == 201
        assert answer.headers["OCI-Subject"] == subject.digest
        return str(answer.headers["Docker-Content-Digest"])

    def discover(self, client: Any, digest: str, query: str = "") -> dict[str, str]:
        """Ask for the referrers of a digest. Return their kinds by digest."""
        answer = client.do_request(f"{self.program.url}/v2/{NAME}/referrers/{digest}{query}")
        assert answer.status_code == 200
        return {entry["digest"]: entry["artifactType"] for entry in answer.json()["manifests"]}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    data, files = tmp_path / "registry", tmp_path / "files"
    files.mkdir()
    monkeypatch.chdir(files)  # oras pushes files of the current folder
    UserStore(FileStorage(data)).create("alice", "pw-alice", "alice@example.org")
    settings = {"V1REGISTRY_V2": "on", "V1REGISTRY_AUTH": "users:", "V1REGISTRY_WORKERS": "2"}
    with SERVE.start(tmp_path / "server", data, settings=settings).program as program:
        yield Served(program, files)


def image_of(served: Served, api: str) -> Subject:
    """Push an image. Return its descriptor in the distribution API."""
    if api == "v1":
        engine = EngineClient(served.program.host, login="alice:pw-alice")
        engine.push(NAME, make_chain([tar_layer({"file": b"x"})]), "1.0")
    else:
        image = served.v2.image(NAME, "image")
        assert served.v2.put_manifest(NAME, "1.0", image).status == 201
    manifest = served.v2.get_manifest(NAME, "1.0")
    return Subject(str(manifest.header("Content-Type")), digest_of(manifest.body), len(manifest.body))


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("api", "media_type"), [("v1", DOCKER_MANIFEST), ("v2", OCI_MANIFEST)], ids=["v1", "v2"]
)
def test_DST_013_oras_attaches_and_discovers(served: Served, api: str, media_type: str) -> None:
    image = image_of(served, api)
    assert image.mediaType == media_type
    attached = {served.attach(image, f"attached-{n}", kind): kind for n, kind in enumerate(KINDS)}
    for client in (served.oras(), served.oras(None)):
        assert served.discover(client, image.digest) == attached
        filtered = served.discover(client, image.digest, f"?artifactType={KINDS[1]}")
        assert list(filtered.values()) == [KINDS[1]]
    # what was found is pulled by its digest
    (digest,) = filtered
    (pulled,) = served.oras(None).pull(
        f"{served.program.host}/{NAME}@{digest}", outdir=str(served.folder / "out")
    )
    assert Path(pulled).read_text() == f"attached-1 {KINDS[1]}"


def test_DST_013_deleted_referrer_is_not_discovered(served: Served) -> None:
    image = image_of(served, "v2")
    digests = [served.attach(image, f"attached-{n}", KINDS[0]) for n in range(2)]
    assert served.oras().delete_tag(served.reference("attached-0"), "attached-0")
    # oras deletes the manifest together with the tag
    assert set(served.discover(served.oras(), image.digest)) == {digests[1]}


def test_DST_013_referrers_of_a_private_repository_are_hidden(served: Served) -> None:
    image = image_of(served, "v2")
    digest = served.attach(image, "attached", KINDS[0])
    engine = EngineClient(served.program.host, login="alice:pw-alice")
    path, body = f"/v1/repositories/{NAME}/properties", json.dumps({"access": "private"}).encode()
    engine.expect({200}, "PUT", path, body, engine.basic)
    answer = V2Client(Forwarding(served.program.host)).get(f"/v2/{NAME}/referrers/{image.digest}")
    assert answer.status == 401
    assert set(served.discover(served.oras(), image.digest)) == {digest}
