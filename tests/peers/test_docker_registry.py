"""docker-registry 0.9.1 itself: behind our index, and over folders that we wrote."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords
from support.engine_client import EngineClient, Image, UnexpectedAnswer, make_chain, make_image, tar_layer
from support.programs import Program
from support.stoppable_server import StoppableServer

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.archives.images import ChainImage
from v1registry.archives.save import write_save_archive
from v1registry.client import Client

pytestmark = pytest.mark.real

CHAIN = make_chain((tar_layer({f"file-{n}": b"%d" % n}) for n in range(3)), name="peer")
IDS = [image.image_id for image in CHAIN]
OTHER = make_image(tar_layer({"other": b"other"}), name="other")
REQUIRES_AUTHORIZATION = (401, "Requires authorization")


def token(value: str) -> dict[str, str]:
    return {"Authorization": f"Token {value}"}


# -- behind our index


@dataclass
class Behind:
    """docker-registry, our index in front of it, and the users alice and robert."""

    index: StoppableServer
    registry: Program

    def engine(self, name: str | None = None) -> EngineClient:
        return EngineClient(self.index.host, login=name and f"{name}:s3cret")

    def at_registry(self) -> EngineClient:
        return EngineClient(self.registry.host)

    def reading(self, name: str, repository: str) -> str:
        headers = self.engine(name).basic | {"X-Docker-Token": "true"}
        path = f"/v1/repositories/{repository}/images"
        return self.engine().expect({200}, "GET", path, headers=headers).headers["X-Docker-Token"]

    def set_private(self, name: str, repository: str) -> None:
        """Make a repository private, in both halves."""
        path, body = f"/v1/repositories/{repository}/properties", b'{"access": "private"}'
        self.engine().expect({200}, "PUT", path, body, self.engine(name).basic)
        _, writing = self.engine(name).announce(repository, [])
        self.at_registry().expect({200}, "PUT", path, body, token(writing))


@pytest.fixture
def behind(start: Callable[..., Program], tmp_path: Path) -> Iterator[Behind]:
    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    for name in ("alice", "robert"):
        users.create(name, "s3cret", f"{name}@example.org")
    with StoppableServer() as index:
        registry = start(tmp_path / "data", index.url)
        index.application = Registry(storage=storage, auth=users, images="elsewhere", endpoints=registry.host)
        yield Behind(index, registry)


def test_HUB_025_docker_registry_works_behind_our_index(behind: Behind) -> None:
    alice = behind.engine("alice")
    alice.push("alice/app", CHAIN)
    for reader in (alice, behind.engine("robert"), behind.engine()):
        assert reader.pull("alice/app") == CHAIN
    # the same images in another repository: their parents are asked about
    alice.push("alice/copy", [*CHAIN, make_image(OTHER.layer, IDS[-1])], "1.0")
    assert [image.image_id for image in behind.engine().pull("alice/copy", "1.0")][:3] == IDS
    assert alice.delete("alice/app") == 200
    with pytest.raises(UnexpectedAnswer) as refused:
        alice.pull("alice/app")
    assert refused.value.status == 404
    alice.push("alice/app", CHAIN[:1])
    assert behind.engine().pull("alice/app") == CHAIN[:1]


def test_HUB_025_our_client_works_with_docker_registry(behind: Behind, tmp_path: Path) -> None:
    images = [
        ChainImage(image.image_id, image.json, lambda layer=image.layer: io.BytesIO(layer)) for image in CHAIN
    ]
    archive, reference = tmp_path / "image.tar", f"{behind.index.host}/alice/app:1"
    with archive.open("w+b") as file:
        write_save_archive(file, images, {"alice/app:1": IDS[-1]})
    with Client(behind.index.url, api="v1", username="alice", password="s3cret", attempts=1) as client:
        assert client.push(archive, reference).pushed == tuple(IDS)
        assert client.pull(reference, tmp_path / "pulled.tar").image_ids == tuple(IDS)


def test_HUB_025_docker_registry_rejects_what_our_index_rejects(behind: Behind) -> None:
    behind.engine("alice").push("alice/app", CHAIN[:1])
    behind.engine("robert").push("robert/own", [OTHER])
    registry, tags = behind.at_registry(), "/v1/repositories/alice/app/tags"
    reading = behind.reading("robert", "alice/app")
    assert registry.get(tags, token(reading)).status == 200
    others = [
        behind.reading("robert", "robert/own"),
        reading.replace("signature=", "signature=x"),
        'signature=AAAAAAAAAAAAAAAA,repository="alice/app",access=read',
    ]
    for value in others:
        assert registry.get(tags, token(value)).status == 401
    # a token to read never writes, whatever is written into its header: the last word counts there
    for value in (
        reading,
        reading.replace("access=read", "access=write"),
        f"{reading},access=write",
        f"{reading},access=none",
        f'{reading},signature=AAAA,repository="alice/app",access=write',
    ):
        answer = registry.request("PUT", f"{tags}/evil", json.dumps(IDS[0]).encode(), token(value))
        assert (answer.status, answer.error) == REQUIRES_AUTHORIZATION, value
    assert registry.get(tags, token(reading)).json() == {"latest": IDS[0]}


def test_HUB_024_docker_registry_asks_our_index_for_private_images(behind: Behind) -> None:
    behind.engine("alice").push("alice/secret", CHAIN)
    behind.set_private("alice", "alice/secret")
    assert behind.engine("alice").pull("alice/secret") == CHAIN
    with pytest.raises(UnexpectedAnswer) as refused:
        behind.engine("robert").pull("alice/secret")
    assert refused.value.status == 404

    # who knows the ids announces them in a private repository of their own
    child = make_image(OTHER.layer, IDS[-1])
    _, writing = behind.engine("robert").announce("robert/own", [*IDS, child.image_id, OTHER.image_id])
    behind.set_private("robert", "robert/own")
    registry = behind.at_registry()
    answer = registry.request("PUT", f"/v1/images/{child.image_id}/json", child.json, token(writing))
    assert (answer.status, answer.error) == (400, "Image depends on an unauthorized parent")
    reading = behind.reading("robert", "robert/own")
    for part in ("json", "layer", "files"):
        answer = registry.get(f"/v1/images/{IDS[-1]}/{part}", token(reading))
        assert (answer.status, answer.error) == (404, "Image not found")
    # and has what is really theirs
    behind.engine("robert").push("robert/own", [OTHER])
    assert behind.engine("robert").pull("robert/own") == [OTHER]


# -- over folders that we wrote


@pytest.mark.parametrize("has_accounts", [False, True], ids=["open", "with accounts"])
def test_STO_006_docker_registry_serves_what_we_wrote(
    start: Callable[..., Program], tmp_path: Path, has_accounts: bool
) -> None:
    storage = FileStorage(tmp_path / "data", durable=False)
    options: dict[str, object] = {}
    if has_accounts:
        users = UserStore(storage, passwords=CheapPasswords())
        users.create("alice", "s3cret", "alice@example.org", is_administrator=True)
        options["auth"] = users
    pushed: dict[str, list[Image]] = {"library/app": CHAIN, "alice/deep/app": CHAIN[:2], "alice/own": [OTHER]}
    with StoppableServer(Registry(storage=storage, **options)) as ours:
        engine = EngineClient(ours.host, login="alice:s3cret")
        for repository, images in pushed.items():
            engine.push(repository, images)
            for tag in ("1.0", "Upper.Case_2-3"):
                engine.push(repository, images[:1], tag)
        path, body = "/v1/repositories/alice/own/properties", b'{"access": "private"}'
        engine.expect({200}, "PUT", path, body, engine.basic)

        def state(client: EngineClient, headers: dict[str, str]) -> dict[str, object]:
            found: dict[str, object] = {}
            for repository in pushed:
                for what in ("tags", "tags/1.0/json", "json", "properties"):
                    answer = client.expect(
                        {200}, "GET", f"/v1/repositories/{repository}/{what}", headers=headers
                    )
                    found[f"{repository} {what}"] = answer.json()
                answer = client.expect({200}, "GET", f"/v1/repositories/{repository}/images", headers=headers)
                listed = answer.json()
                assert isinstance(listed, list)
                found[f"{repository} images"] = sorted((entry["id"], entry["checksum"]) for entry in listed)
            for image in (*CHAIN, OTHER):
                for what in ("ancestry", "files"):
                    answer = client.expect(
                        {200}, "GET", f"/v1/images/{image.image_id}/{what}", headers=headers
                    )
                    found[f"{image.image_id} {what}"] = answer.json()
            return found

        expected = state(engine, engine.basic)
        theirs = EngineClient(start(tmp_path / "data").host)
        assert state(theirs, {}) == expected
        for repository, images in pushed.items():
            assert theirs.pull(repository) == images
            assert theirs.pull(repository, "1.0") == images[:1]

        # and they go on there
        more = make_image(tar_layer({"more": b"more"}), IDS[-1])
        theirs.push("library/app", [*CHAIN, more], "2.0")
        theirs.request("DELETE", "/v1/repositories/library/app/tags/1.0")
        again = theirs.pull("library/app", "2.0")
        assert again == [*CHAIN, more]
        tags = engine.expect({200}, "GET", "/v1/repositories/library/app/tags", headers=engine.basic).json()
        assert tags == {"latest": IDS[-1], "2.0": more.image_id, "Upper.Case_2-3": IDS[0]}
    # with accounts, data without marks of holders is looked for once in the life of a process
    with StoppableServer(Registry(storage=storage, **options)) as restarted:
        assert EngineClient(restarted.host, login="alice:s3cret").pull("library/app", "2.0") == again


def test_STO_006_docker_registry_takes_over_a_folder_behind_an_index(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    users.create("alice", "s3cret", "alice@example.org")
    with StoppableServer() as index, StoppableServer() as ours:
        ours.application = Registry(storage=FileStorage(tmp_path / "data", durable=False), index=index.url)
        index.application = Registry(storage=storage, auth=users, images="elsewhere", endpoints=ours.host)
        EngineClient(index.host, login="alice:s3cret").push("alice/app", CHAIN)
        theirs = start(tmp_path / "data", index.url)
        index.application = Registry(storage=storage, auth=users, images="elsewhere", endpoints=theirs.host)
        assert EngineClient(index.host).pull("alice/app") == CHAIN
        EngineClient(index.host, login="alice:s3cret").push("alice/app", [OTHER], "2")
        index.application = Registry(storage=storage, auth=users, images="elsewhere", endpoints=ours.host)
        assert EngineClient(index.host).pull("alice/app", "2") == [OTHER]
