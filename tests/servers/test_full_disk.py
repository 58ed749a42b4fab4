"""A folder on a disk without room: 507, nothing is broken, and all goes on when there is room."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.credentials import basic
from support.engine_client import EngineClient, Image, UnexpectedAnswer, make_image, random_layer
from support.forwarding import Forwarding
from support.killed_servers import run_disturbed
from support.linearisable import check_histories
from support.programs import Program, environment_of
from support.small_disk import SmallDisk
from support.tag_clients import Crowd, TagClient
from support.v2_client import V2Client, digest_of
from support.whole_registry import Patient, check_all_is_whole

pytestmark = pytest.mark.real

SIZE_MIB = 24

#: How much room the disk has when requests are made, in KiB: for nothing, a document, some, a layer.
LEFT_KIB = (0, 4, 8, 16, 32, 64, 128, 256)

LAYER_BYTES = 100_000

#: How long the disk stays full beside requests, in seconds.
FULL_S = 0.3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", SIZE_MIB) as disk:
        yield disk


@pytest.fixture
def start(disk: SmallDisk, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start a server over the disk."""
    started: list[Program] = []

    def start(*options: str) -> Program:
        folder = tmp_path / "server"
        folder.mkdir()
        command = ("v1registry", "serve", "--port", "0", "--workers", "2", *options)
        settings = {"V1REGISTRY_STORAGE": f"file://{disk.path}/registry"}
        started.append(Program(command, folder=folder, environment=settings))
        return started[-1]

    yield start
    for program in started:
        program.end()


def verify(disk: SmallDisk, folder: Path) -> None:
    """Check that nothing in the registry is damaged."""
    command = ["v1registry", "verify", "--layers", "--quiet", "--storage", f"file://{disk.path}/registry"]
    done = subprocess.run(command, env=environment_of(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def image_of(name: str) -> Image:
    return make_image(random_layer(LAYER_BYTES, name), name=name)


def is_pushed(engine: EngineClient, image: Image, tag: str) -> bool:
    """Push an image; tell whether there was room."""
    try:
        engine.push("team/app", [image], tag)
    except UnexpectedAnswer as refused:
        assert refused.status == 507, refused  # noqa: PT017
        return False
    return True


def test_full_disk_refuses_v1_pushes_and_tags_and_breaks_nothing(
    disk: SmallDisk, start: Callable[..., Program], tmp_path: Path
) -> None:
    engine = EngineClient(start().host)
    first = image_of("first")
    engine.push("team/app", [first])
    outcomes = []
    for left_kib in LEFT_KIB:
        image = image_of(f"with {left_kib} KiB")
        disk.fill(left_kib=left_kib)
        outcomes.append(is_pushed(engine, image, "new"))
        moved = engine.request(
            "PUT", "/v1/repositories/team/app/tags/moved", json.dumps(first.image_id).encode()
        )
        assert moved.status in (200, 507)
        assert engine.pull("team/app") == [first]
        # without room for what is known of the push, the tag is set all the same
        found = engine.get("/v1/repositories/team/app/tags/moved")
        assert found.status == 200 or (moved.status == 507 and found.status == 404)
        assert found.status == 404 or found.json() == first.image_id
        disk.free()
        assert is_pushed(engine, image, "new")
        assert engine.pull("team/app", "new") == [image]
        engine.expect({200, 404}, "DELETE", "/v1/repositories/team/app/tags/moved")
    assert not outcomes[0]
    assert outcomes[-1]
    verify(disk, tmp_path)


def test_full_disk_refuses_v2_uploads_and_manifests_and_breaks_nothing(
    disk: SmallDisk, start: Callable[..., Program], tmp_path: Path
) -> None:
    client = V2Client(Forwarding(start().host))
    first = client.image("team/app", "first")
    assert client.put_manifest("team/app", "latest", first).status == 201
    outcomes = []
    for left_kib in LEFT_KIB:
        manifest = client.image("team/app", f"with {left_kib} KiB")
        data = random.Random(left_kib).randbytes(LAYER_BYTES)
        disk.fill(left_kib=left_kib)
        blob = client.ask("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(data)}", data).status
        put = client.put_manifest("team/app", "new", manifest).status
        moved = client.put_manifest("team/app", "moved", first).status
        assert {blob, put, moved} <= {201, 507}
        outcomes.append(blob == put == moved == 201)
        assert client.shown("team/app", "latest") == digest_of(first)
        assert client.get(f"/v2/team/app/blobs/{digest_of(data)}").status == (200 if blob == 201 else 404)
        disk.free()
        assert client.put_blob("team/app", data) == digest_of(data)
        assert client.put_manifest("team/app", "new", manifest).status == 201
        assert client.shown("team/app", "new") == digest_of(manifest)
        assert client.delete_manifest("team/app", "moved").status in (202, 404)
    assert not outcomes[0]
    assert outcomes[-1]
    verify(disk, tmp_path)


def test_full_disk_refuses_new_accounts_and_passwords_and_breaks_none(
    disk: SmallDisk, start: Callable[..., Program]
) -> None:
    engine = EngineClient(start("--auth", "users:").host)

    def register(name: str) -> int:
        user = {"username": name, "password": "secret1", "email": f"{name}@example.org"}
        headers = {"Content-Type": "application/json"}
        return engine.request("POST", "/v1/users/", json.dumps(user).encode(), headers).status

    def login(name: str, password: str) -> int:
        return engine.get("/v1/users/", basic(name, password)).status

    def change(name: str, old: str, new: str) -> int:
        headers = {"Content-Type": "application/json", **basic(name, old)}
        user = {"password": new, "email": f"{name}@example.org"}
        return engine.request("PUT", f"/v1/users/{name}/", json.dumps(user).encode(), headers).status

    assert register("alice") == 201
    disk.fill()
    assert register("robert") == 507
    assert change("alice", "secret1", "secret2") == 507
    assert login("alice", "secret1") == 200
    assert login("alice", "secret2") == 401
    disk.free()
    assert register("robert") == 201
    assert login("robert", "secret1") == 200
    assert change("alice", "secret1", "secret2") == 204
    assert login("alice", "secret2") == 200


def test_tags_are_linearisable_while_the_disk_is_full_now_and_then(
    disk: SmallDisk, start: Callable[..., Program], tmp_path: Path
) -> None:
    app = Forwarding(start().host)
    crowd = Crowd(("team/one", "team/two"), pushes=60)
    TagClient(crowd, app, "first").push_base()

    def fill_for_a_moment() -> None:
        disk.fill()
        threading.Event().wait(FULL_S)
        disk.free()

    assert run_disturbed(crowd, [app] * 8, [(1, fill_for_a_moment)], seed=507, limit_s=400) > 0
    TagClient(crowd, Patient(app), "last").read_all()
    check_histories(crowd.history.operations)
    assert check_all_is_whole(app, crowd) > 0
    verify(disk, tmp_path)
