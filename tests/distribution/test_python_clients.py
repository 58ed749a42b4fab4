"""Python clients of OCI registries: oras in the process of the fixture, the other on its live port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from v1registry_fakes import FakeManifest, FakeRegistry, WSGIAdapter


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry(v2="on") as registry:
        yield registry


# -- oras


def oras_client(fake: FakeRegistry) -> object:
    """Return a client of oras that calls the fake in this process."""
    from oras.client import OrasClient

    client = OrasClient(hostname="v1registry.test", insecure=True)
    client.session.mount("http://", WSGIAdapter(fake.app))
    return client


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a file in the current folder, as oras wants it."""
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("some notes\n" * 1000)
    return "notes.txt"


def push(fake: FakeRegistry, target: str, file: str, **options: object) -> None:
    client = oras_client(fake)
    answer = client.push(target=f"v1registry.test/{target}", files=[file], quiet=True, **options)  # type: ignore[attr-defined]
    assert answer.status_code == 201


@pytest.mark.parametrize("options", [{}, {"do_chunked": True, "chunk_size": 1000}])
def test_oras_pulls_what_it_pushed(
    fake: FakeRegistry, notes: str, tmp_path: Path, options: dict[str, object]
) -> None:
    push(fake, "team/notes:1", notes, **options)
    (found,) = oras_client(fake).pull("v1registry.test/team/notes:1", outdir=str(tmp_path / "out"))  # type: ignore[attr-defined]
    assert Path(found).read_text() == Path(notes).read_text()
    pushed = fake.assert_pushed("team/notes:1")
    assert isinstance(pushed, FakeManifest)
    assert pushed.layers == [Path(notes).read_bytes()]


def test_oras_lists_and_deletes_tags(fake: FakeRegistry, notes: str) -> None:
    client = oras_client(fake)
    for tag in ("1", "2"):
        push(fake, f"team/notes:{tag}", notes, manifest_annotations={"number": tag})
    assert client.get_tags("v1registry.test/team/notes") == ["1", "2"]  # type: ignore[attr-defined]
    assert client.delete_tag("v1registry.test/team/notes", "1") is True  # type: ignore[attr-defined]
    assert client.get_tags("v1registry.test/team/notes") == ["2"]  # type: ignore[attr-defined]
    assert client.delete_tag("v1registry.test/team/notes", "1") is False  # type: ignore[attr-defined]


def test_oras_attaches_a_referrer(fake: FakeRegistry, notes: str) -> None:
    from oras.oci import Subject

    image = fake.add_image("team/app:1", api="v2")
    subject = Subject(image.media_type, image.digest, len(image.document))
    push(fake, "team/app:attached", notes, subject=subject)
    attached = fake.manifest("team/app:attached")
    assert attached.subject == image.digest
    client = oras_client(fake)
    url = f"http://v1registry.test/v2/team/app/referrers/{image.digest}"
    entries = client.do_request(url).json()["manifests"]  # type: ignore[attr-defined]
    assert [entry["digest"] for entry in entries] == [attached.digest]


def test_oras_pulls_an_image_of_v1(fake: FakeRegistry) -> None:
    image = fake.add_image("team/old:1", files={"etc/motd": "hello"})
    manifest = oras_client(fake).get_manifest(  # type: ignore[attr-defined]
        "v1registry.test/team/old:1",
        allowed_media_type=["application/vnd.docker.distribution.manifest.v2+json"],
    )
    assert fake.blobs[manifest["layers"][0]["digest"]] == image.layer


def test_oras_logs_in_where_there_are_accounts(notes: str) -> None:
    with FakeRegistry(v2="on", auth="users:") as fake:
        fake.add_user("alice", "secret")
        client = oras_client(fake)
        client.auth.set_basic_auth("alice", "secret")  # type: ignore[attr-defined]
        answer = client.push(target="v1registry.test/alice/notes:1", files=[notes], quiet=True)  # type: ignore[attr-defined]
        assert answer.status_code == 201
        assert fake.manifest("alice/notes:1").layers == [Path(notes).read_bytes()]


# -- docker-registry-client


def test_docker_registry_client_reads_and_deletes_by_v2(fake: FakeRegistry) -> None:
    from docker_registry_client import DockerRegistryClient

    image = fake.add_image("team/app:1", api="v2")
    fake.add_image("team/app:2", files={"other": "x"}, api="v2")
    client = DockerRegistryClient(fake.url)
    assert client.api_version == 2
    assert sorted(client.repositories()) == ["team/app"]
    repository = client.repository("team/app")
    assert sorted(repository.tags()) == ["1", "2"]
    document, digest = repository.manifest("1")
    assert (document, digest) == (image.json, image.digest)
    repository.delete_manifest(digest)
    repository.refresh()
    assert repository.tags() == ["2"]


def test_docker_registry_client_gets_tokens() -> None:
    from docker_registry_client import DockerRegistryClient

    with FakeRegistry(v2="on", auth="users:") as fake:
        fake.add_user("alice", "secret")
        fake.add_image("alice/app:1", api="v2")
        client = DockerRegistryClient(
            fake.url, api_version=2, username="alice", password="secret", auth_service_url=fake.url
        )
        assert client.repository("alice/app").tags() == ["1"]


def test_docker_registry_client_fails_with_a_wrong_password() -> None:
    from docker_registry_client import DockerRegistryClient

    with FakeRegistry(v2="on", auth="users:") as fake:
        fake.add_user("alice", "secret")
        fake.add_image("alice/app:1", api="v2")
        client = DockerRegistryClient(
            fake.url, api_version=2, username="alice", password="wrong", auth_service_url=fake.url
        )
        # the client reads the token from the answer 401
        with pytest.raises(KeyError, match="token"):
            client.repository("alice/app").tags()


def test_docker_registry_client_reads_by_v1(fake: FakeRegistry) -> None:
    from docker_registry_client import DockerRegistryClient

    fake.add_image("team/app:1", api="v2")
    client = DockerRegistryClient(fake.url, api_version=1)
    assert client.repository("app", namespace="team").tags() == ["1"]
