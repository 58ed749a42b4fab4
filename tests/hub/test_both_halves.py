"""Registry and index in two servers, both ours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords
from support.credentials import basic
from support.engine_client import EngineClient, UnexpectedAnswer, make_image
from support.other_index import CHAIN, IDS, IMAGE_PARTS, OTHER, token
from support.stoppable_server import StoppableServer

from v1registry import MemoryStorage, Registry, Storage
from v1registry.accounts.users import UserStore
from v1registry.archives.images import ChainImage
from v1registry.archives.save import write_save_archive
from v1registry.client import Client as PushPullClient
from v1registry.client import NotAuthorized

# -- our registry and our index


@dataclass
class Halves:
    """Our index and our registry, on two ports, each with a storage of its own."""

    index: StoppableServer
    registry: StoppableServer
    index_storage: Storage
    registry_storage: Storage
    users: UserStore

    def engine(self, name: str | None = None) -> EngineClient:
        return EngineClient(self.index.host, login=name and f"{name}:s3cret")

    def at_registry(self) -> EngineClient:
        return EngineClient(self.registry.host)

    def token(self, name: str, repository: str) -> str:
        """Return a token to read."""
        headers = basic(name, "s3cret") | {"X-Docker-Token": "true"}
        path = f"/v1/repositories/{repository}/images"
        return self.engine().expect({200}, "GET", path, headers=headers).headers["X-Docker-Token"]

    def set_private(self, repository: str) -> None:
        """Make a repository private, in both halves."""
        namespace = repository.partition("/")[0]
        path, body = f"/v1/repositories/{repository}/properties", b'{"access": "private"}'
        self.engine().expect({200}, "PUT", path, body, basic(namespace, "s3cret"))
        _, value = self.engine(namespace).announce(repository, [])
        self.at_registry().expect({200}, "PUT", path, body, token(value))


@pytest.fixture(params=["separate", "one storage"])
def halves(request: pytest.FixtureRequest) -> Iterator[Halves]:
    index_storage = MemoryStorage()
    registry_storage = index_storage if request.param == "one storage" else MemoryStorage()
    users = UserStore(index_storage, passwords=CheapPasswords())
    for name in ("alice", "robert"):
        users.create(name, "s3cret", f"{name}@example.org")
    with StoppableServer() as index, StoppableServer() as registry:
        # an index that has the registry's storage sees its uploads
        images = "here" if request.param == "one storage" else "elsewhere"
        index.application = Registry(
            storage=index_storage, auth=users, images=images, endpoints=registry.host
        )
        registry.application = Registry(storage=registry_storage, index=index.url)
        yield Halves(index, registry, index_storage, registry_storage, users)


def test_push_pull_and_delete_through_both_halves(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN)
    for reader in (halves.engine("alice"), halves.engine("robert"), halves.engine()):
        assert reader.pull("alice/app") == CHAIN
    last = halves.engine("alice").delete("alice/app")
    assert last == (404 if halves.registry_storage is halves.index_storage else 200)
    with pytest.raises(UnexpectedAnswer) as refused:
        halves.engine("alice").pull("alice/app")
    assert refused.value.status == 404
    halves.engine("alice").push("alice/app", CHAIN[:2])
    assert halves.engine().pull("alice/app") == CHAIN[:2]


def test_a_client_pushes_and_pulls_through_both_halves(halves: Halves, tmp_path: Path) -> None:
    images = [
        ChainImage(image.image_id, image.json, lambda layer=image.layer: io.BytesIO(layer)) for image in CHAIN
    ]
    archive = tmp_path / "image.tar"
    with archive.open("w+b") as file:
        write_save_archive(file, images, {"alice/app:1": IDS[-1]})
    reference = f"{halves.index.host}/alice/app:1"
    with PushPullClient(
        halves.index.url, api="v1", username="alice", password="s3cret", attempts=1
    ) as client:
        assert client.push(archive, reference).pushed == tuple(IDS)
        assert client.push(archive, reference).skipped == tuple(IDS)
    with PushPullClient(halves.index.url, api="v1", attempts=1) as client:
        assert client.pull(reference, tmp_path / "pulled.tar").image_ids == tuple(IDS)
        with pytest.raises(NotAuthorized):
            client.pull(f"{halves.index.host}/alice/other:1", tmp_path / "other.tar")


def test_HUB_020_the_index_takes_its_own_tokens_and_no_others(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN)
    halves.engine("alice").push("alice/other", CHAIN)
    index, path = halves.engine(), "/v1/repositories/alice/app/images"
    _, writing = halves.engine("alice").announce("alice/app", [])
    reading = halves.token("robert", "alice/app")
    for value in (reading, writing, f"Token {reading}"):
        listed = index.expect({200}, "GET", path, headers=token(value)).json()
        assert sorted(entry["id"] for entry in listed) == sorted(IDS)  # type: ignore[attr-defined]
    forged = reading.replace("access=read", "access=write")
    other = halves.token("robert", "alice/other")
    for value in (forged, other, reading.replace("signature=", "signature=x")):
        assert index.get(path, token(value)).status == 401


def test_HUB_021_a_token_is_good_for_any_number_of_requests(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN)
    value = halves.token("robert", "alice/app")
    for _ in range(5):
        assert halves.engine().get("/v1/repositories/alice/app/images", token(value)).status == 200
        assert halves.at_registry().get("/v1/repositories/alice/app/tags", token(value)).status == 200


def test_HUB_024_the_index_tells_who_may_use_an_image(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN[:1])
    halves.set_private("alice/app")
    halves.engine("robert").push("robert/own", [OTHER])

    def access(name: str, repository: str, image_id: str, word: str = "read") -> object:
        if word == "write":
            value = halves.engine(name).announce(repository, [])[1]
        else:
            value = halves.token(name, repository)
        path = f"/v1/repositories/{repository}/layer/{image_id}/access"
        return halves.engine().expect({200}, "GET", path, headers=token(value)).json()

    for word in ("read", "write"):
        assert access("alice", "alice/app", IDS[0], word) == {"access": True}
        assert access("robert", "robert/own", OTHER.image_id, word) == {"access": True}
        assert access("robert", "robert/own", IDS[0], word) == {"access": False}
        # a public repository of another user vouches for nothing (decisions.md 18)
        assert access("alice", "alice/app", OTHER.image_id, word) == {"access": False}
        assert access("alice", "alice/app", "0" * 64, word) == {"access": False}
    headers = basic("alice", "s3cret") | {"X-Docker-Token": "true"}
    gone = halves.engine().expect({202}, "DELETE", "/v1/repositories/alice/app/", headers=headers)
    path = f"/v1/repositories/alice/app/layer/{IDS[0]}/access"
    answer = halves.engine().expect({200}, "GET", path, headers=token(gone.headers["X-Docker-Token"]))
    assert answer.json() == {"access": False}


def test_who_announces_a_private_image_does_not_get_it(halves: Halves) -> None:
    halves.engine("alice").push("alice/secret", CHAIN)
    halves.set_private("alice/secret")
    _, value = halves.engine("robert").announce("robert/own", IDS)
    registry = halves.at_registry()
    for image_id in IDS:
        for part in IMAGE_PARTS:
            assert registry.get(f"/v1/images/{image_id}/{part}", token(value)).status == 404
    answer = registry.request(
        "PUT", "/v1/repositories/robert/own/tags/x", f'"{IDS[0]}"'.encode(), token(value)
    )
    assert answer.status == 404
    child = make_image(OTHER.layer, IDS[2])
    _, value = halves.engine("robert").announce("robert/own", [*IDS, child.image_id])
    with pytest.raises(UnexpectedAnswer) as refused:
        registry.put_json(child, value)
    assert refused.value.error == "Image depends on an unauthorized parent"


def test_nor_after_its_repository_was_deleted(halves: Halves) -> None:
    halves.engine("alice").push("alice/secret", CHAIN)
    halves.set_private("alice/secret")
    halves.engine("alice").delete("alice/secret")
    halves.engine("robert").push("robert/own", [OTHER])
    _, value = halves.engine("robert").announce("robert/own", IDS)
    for image_id in IDS:
        assert halves.at_registry().get(f"/v1/images/{image_id}/json", token(value)).status == 404
    # who could write there has it still
    halves.engine("alice").push("alice/again", CHAIN)
    assert halves.engine("alice").pull("alice/again") == CHAIN


@pytest.mark.parametrize(
    "appended",
    [
        ",access=write",
        ",access=delete",
        ',x="access=write"',
        ",\xe9access=write",
        ",access=\xa0write",
        "\xa0",
        "\x85",
    ],
)
def test_header_beyond_its_token_is_rejected_by_the_index(halves: Halves, appended: str) -> None:
    halves.engine("alice").push("alice/app", CHAIN[:1])
    value = halves.token("robert", "alice/app") + appended
    path = "/v1/repositories/alice/app"
    if halves.index_storage is not halves.registry_storage:
        # a registry might read the last of two words
        assert halves.engine().get(f"{path}/images", token(value)).status == 401
        assert halves.engine().request("PUT", f"{path}/auth", b"", token(value)).status == 403
    written = halves.at_registry().request("PUT", f"{path}/tags/x", f'"{IDS[0]}"'.encode(), token(value))
    assert written.status == 401


def test_HUB_020_token_of_a_deleted_user_is_rejected_by_both(halves: Halves) -> None:
    halves.engine("alice").push("alice/app", CHAIN[:1])
    value = halves.token("robert", "alice/app")
    halves.users.set_active("robert", False)
    assert halves.engine().get("/v1/repositories/alice/app/images", token(value)).status == 403
    assert halves.at_registry().get("/v1/repositories/alice/app/tags", token(value)).status == 401
