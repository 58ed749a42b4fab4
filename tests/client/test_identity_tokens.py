"""Identity tokens that ``docker login`` has stored are exchanged for tokens of the distribution API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.archives import make_archive
from v1registry_fakes import FakeRegistry

from v1registry.cli.exits import REFUSED
from v1registry.cli.main import main
from v1registry.client import Client, NotAuthorized


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "secret")
        registry.add_image("alice/app:1", api="v2")
        registry.add_repository("alice/secret", is_private=True)
        yield registry


@pytest.fixture
def identity_token(registry: FakeRegistry) -> str:
    """What ``docker login`` stores if the registry gives it a token."""
    answer = requests.post(
        f"{registry.url}/v2/token",
        data={
            "grant_type": "password",
            "service": registry.host,
            "client_id": "docker",
            "username": "alice",
            "password": "secret",
            "access_type": "offline",
        },
        timeout=30,
    )
    return str(answer.json()["refresh_token"])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    make_archive(tmp_path / "image.tar")
    return tmp_path / "image.tar"


def test_identity_token_pushes_to_a_private_repository_and_pulls(
    registry: FakeRegistry, identity_token: str, archive: Path, tmp_path: Path
) -> None:
    reference = f"{registry.host}/alice/secret:1"
    with Client(registry.url, identity_token=identity_token) as client:
        client.push(archive, reference)
        assert client.pull(reference, tmp_path / "pulled.tar").digest
    with Client(registry.url) as anonymous, pytest.raises(NotAuthorized):
        anonymous.pull(reference, tmp_path / "not.tar")
    registry.assert_pushed("alice/secret:1")
    # the identity token goes to the token endpoint alone
    for request in registry.requests:
        sent = request.headers.get("Authorization", "")
        assert identity_token not in sent
        assert sent.startswith("Bearer ") or not sent


def test_command_uses_the_identity_token_of_docker_login(
    registry: FakeRegistry,
    identity_token: str,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    entry = {"auth": "YWxpY2U6", "identitytoken": identity_token}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: entry}}))
    reference = f"{registry.host}/alice/secret:1"
    assert main(["push", str(archive), reference, "--quiet"]) == 0
    assert main(["pull", reference, "-o", str(tmp_path / "pulled.tar"), "--quiet"]) == 0


def test_invalid_identity_token_is_reported(
    registry: FakeRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"identitytoken": "wrong"}}}))
    reference = f"{registry.host}/alice/secret:1"
    assert main(["pull", reference, "-o", str(tmp_path / "pulled.tar"), "--quiet"]) == REFUSED
    said = capsys.readouterr().err
    assert "log in" in said
    assert "wrong" not in said


def test_v1_does_not_use_an_identity_token(
    registry: FakeRegistry, identity_token: str, tmp_path: Path
) -> None:
    notes: list[str] = []
    with Client(registry.url, api="v1", identity_token=identity_token, notify=notes.append) as client:
        client.pull(f"{registry.host}/alice/app:1", tmp_path / "pulled.tar")
    (note,) = notes
    assert "the identity token is not used, because v1 takes passwords only" in note
    assert identity_token not in note
