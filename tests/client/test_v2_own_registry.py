"""Push and pull by the distribution API, with the real registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archives import layer_sums, make_archive, make_layer, make_manifest_archive, members
from v1registry_fakes import FakeRegistry

from v1registry.archives.documents import OCI_MANIFEST
from v1registry.cli.main import main
from v1registry.client import Client, NotAuthorized, NotFoundInRegistry, ProtocolError

HISTORY = [{"created_by": "one"}, {"created_by": "ENV a=b", "empty_layer": True}, {"created_by": "two"}]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def client(registry: FakeRegistry) -> Iterator[Client]:
    with Client(registry.url) as client:
        yield client


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """An archive of today's engines."""
    layers = [make_layer("a"), make_layer("b", 300_000)]
    make_manifest_archive(tmp_path / "today.tar", layers, history=HISTORY)
    return tmp_path / "today.tar"


def config_of(archive: Path) -> bytes:
    found = members(archive)
    (entry,) = json.loads(found["manifest.json"])
    return found[entry["Config"]]


def test_config_and_digest_survive_a_round_trip(
    registry: FakeRegistry, client: Client, today: Path, tmp_path: Path
) -> None:
    one, two = f"{registry.host}/foo/one:1", f"{registry.host}/foo/two:1"
    pushed = client.push(today, one)
    client.pull(one, tmp_path / "pulled.tar")

    assert config_of(tmp_path / "pulled.tar") == config_of(today)
    again = client.push(tmp_path / "pulled.tar", two)
    assert (again.digest, again.sent_bytes) == (pushed.digest, 0)


def test_push_by_v2_is_pulled_by_v1(
    registry: FakeRegistry, client: Client, today: Path, tmp_path: Path
) -> None:
    reference = f"{registry.host}/foo/bar:1"
    client.push(today, reference)
    with Client(registry.url, api="v1") as old:
        pulled = old.pull(reference, tmp_path / "pulled.tar")

    assert registry.tags("foo/bar") == {"1": pulled.image_id}
    diff_ids = json.loads(config_of(today))["rootfs"]["diff_ids"]
    sums = layer_sums(tmp_path / "pulled.tar").values()
    assert sorted(f"sha256:{checksum}" for checksum in sums) == sorted(diff_ids)


def test_push_by_v1_is_pulled_by_v2(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    reference = f"{registry.host}/foo/bar:1"
    make_archive(tmp_path / "old.tar")
    with Client(registry.url, api="v1") as old:
        old.push(tmp_path / "old.tar", reference)

    pulled = client.pull(reference, tmp_path / "pulled.tar")
    assert config_of(tmp_path / "pulled.tar") == config_of(tmp_path / "old.tar")
    assert pulled.digest is not None


@pytest.mark.parametrize("name", ["layout", "layout.tar"])
def test_layout_keeps_all_digests(
    name: str, registry: FakeRegistry, client: Client, today: Path, tmp_path: Path
) -> None:
    one, two = f"{registry.host}/foo/one:1", f"{registry.host}/foo/two:2"
    pushed = client.push(today, one)
    pulled = client.pull_layout(one, tmp_path / name, is_archive=name.endswith(".tar"))
    with Client(registry.url, api="v2") as other:
        again = other.push(tmp_path / name, two)
    assert pushed.digest == pulled.digest == again.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "today.tar"])


def test_layout_of_v1_images_has_the_config_of_engines(
    registry: FakeRegistry, tmp_path: Path, client: Client
) -> None:
    reference = f"{registry.host}/foo/bar:1"
    make_archive(tmp_path / "old.tar")
    with Client(registry.url, api="v1") as old:
        old.push(tmp_path / "old.tar", reference)
        pulled = old.pull_layout(reference, tmp_path / "layout")

    pushed = client.push(tmp_path / "layout", f"{registry.host}/foo/two:1")
    assert pushed.digest == pulled.digest
    (entry,) = json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
    assert entry["mediaType"] == OCI_MANIFEST
    assert len(pulled.image_ids) == 3


def test_layout_is_pushed_by_v1_with_the_ids_of_its_archive(
    registry: FakeRegistry, client: Client, today: Path, tmp_path: Path
) -> None:
    client.push(today, f"{registry.host}/foo/bar:1")
    client.pull_layout(f"{registry.host}/foo/bar:1", tmp_path / "layout")
    with FakeRegistry() as other, Client(other.url, api="v1") as old:
        one = old.push(today, f"{other.host}/foo/one:1")
        two = old.push(tmp_path / "layout", f"{other.host}/foo/two:1")
    assert one.image_id == two.image_id
    assert two.pushed == ()


def test_two_tags_stand_in_one_layout(
    registry: FakeRegistry, client: Client, today: Path, tmp_path: Path
) -> None:
    make_archive(tmp_path / "old.tar")
    for tag, archive in (("1", today), ("2", tmp_path / "old.tar"), ("1", today)):
        client.push(archive, f"{registry.host}/foo/bar:{tag}")
        client.pull_layout(f"{registry.host}/foo/bar:{tag}", tmp_path / "layout")

    names = [
        entry["annotations"]["org.opencontainers.image.ref.name"]
        for entry in json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
    ]
    assert sorted(names) == ["1", "2"]
    one = client.push(tmp_path / "layout", f"{registry.host}/foo/copy:1")
    two = client.push(tmp_path / "layout", f"{registry.host}/foo/copy:x", image="2")
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("ping", "offers only the ping of the distribution API (v2): v1 is used"),
        ("pull", "accepts no pushes by the distribution API (v2): v1 is used"),
    ],
)
def test_push_falls_back_to_v1_with_one_line(
    mode: str, line: str, today: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeRegistry(v2=mode) as registry:
        assert main(["push", str(today), f"{registry.host}/foo/bar:1"]) == 0
        written = capsys.readouterr()
        assert written.err == f"v1registry: {registry.host} {line}\n"
        assert "2 image(s) pushed" in written.out
        assert list(registry.tags("foo/bar")) == ["1"]


def test_absent_v2_is_v1_without_a_word(today: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeRegistry(v2="absent") as registry:
        assert main(["push", str(today), f"{registry.host}/foo/bar:1"]) == 0
        assert capsys.readouterr().err == ""


class TestIndexesAndArtifacts:
    @pytest.fixture
    def index(self, registry: FakeRegistry) -> str:
        """The reference of an index for two platforms."""
        images = {
            f"linux/{name}": registry.add_image(f"foo/bar:{name}", api="v2", files={"file": name})
            for name in ("amd64", "s390x")
        }
        registry.add_index("foo/bar:1", images)
        return f"{registry.host}/foo/bar:1"

    def test_whole_index_survives_a_round_trip(
        self, registry: FakeRegistry, client: Client, index: str, tmp_path: Path
    ) -> None:
        pulled = client.pull_layout(index, tmp_path / "layout", all_platforms=True)
        with FakeRegistry() as other, Client(other.url) as another:
            pushed = another.push(tmp_path / "layout", f"{other.host}/foo/copy:1")
            again = another.pull_layout(f"{other.host}/foo/copy:1", tmp_path / "again", all_platforms=True)
        assert pulled.digest == pushed.digest == again.digest
        assert (pulled.engine_image_id, len(pushed.pushed)) == ("", 4)

    def test_one_platform_of_a_layout_is_pushed(
        self, registry: FakeRegistry, client: Client, index: str, tmp_path: Path
    ) -> None:
        client.pull_layout(index, tmp_path / "layout", all_platforms=True)
        one = client.pull_layout(index, tmp_path / "one", platform="linux/s390x")
        pushed = client.push(tmp_path / "layout", f"{registry.host}/foo/two:1", platform="linux/s390x")
        assert pushed.digest == one.digest

    def test_artifact_fits_in_a_layout_alone(
        self, registry: FakeRegistry, client: Client, tmp_path: Path
    ) -> None:
        registry.add_artifact("foo/notes:1", {"notes.txt": "hello"})
        reference = f"{registry.host}/foo/notes:1"
        with pytest.raises(ProtocolError, match=r"is not an image.*layout"):
            client.pull(reference, tmp_path / "x.tar")
        pulled = client.pull_layout(reference, tmp_path / "layout")
        assert client.push(tmp_path / "layout", f"{registry.host}/foo/copy:1").digest == pulled.digest


class TestAccounts:
    @pytest.fixture
    def registry(self) -> Iterator[FakeRegistry]:
        """A registry with accounts, and the private repository alice/app."""
        with FakeRegistry(auth="users:") as registry:
            for name in ("alice", "robert"):
                registry.add_user(name, f"secret-of-{name}")
            registry.add_image("alice/app:1.0")
            registry.add_repository("alice/app", is_private=True)
            yield registry

    @pytest.fixture
    def log_in(self, registry: FakeRegistry) -> Callable[[str], Client]:
        return lambda name: Client(registry.url, api="v2", username=name, password=f"secret-of-{name}")

    def test_owner_pulls_and_pushes(
        self, registry: FakeRegistry, log_in: Callable[[str], Client], tmp_path: Path
    ) -> None:
        with log_in("alice") as client:
            client.pull(f"{registry.host}/alice/app:1.0", tmp_path / "x.tar")
            pushed = client.push(tmp_path / "x.tar", f"{registry.host}/alice/copy:1")
        assert pushed.digest is not None
        assert list(registry.tags("alice/copy")) == ["1"]

    def test_layers_of_the_owner_are_mounted(
        self, registry: FakeRegistry, log_in: Callable[[str], Client], tmp_path: Path
    ) -> None:
        with log_in("alice") as client:
            client.pull(f"{registry.host}/alice/app:1.0", tmp_path / "x.tar")
            client.push(tmp_path / "x.tar", f"{registry.host}/alice/one:1")
        with log_in("alice") as client:
            again = client.push(tmp_path / "x.tar", f"{registry.host}/alice/two:1", mount_from=["alice/one"])
        assert again.sent_bytes == 0

    def test_other_user_is_refused(
        self, registry: FakeRegistry, log_in: Callable[[str], Client], tmp_path: Path
    ) -> None:
        with log_in("robert") as client, pytest.raises((NotFoundInRegistry, NotAuthorized)):
            client.pull(f"{registry.host}/alice/app:1.0", tmp_path / "x.tar")

    def test_missing_and_wrong_passwords_are_refused(self, registry: FakeRegistry, tmp_path: Path) -> None:
        for options in ({}, {"username": "alice", "password": "wrong"}):
            with Client(registry.url, **options) as client, pytest.raises(NotAuthorized):  # type: ignore[arg-type]
                client.pull(f"{registry.host}/alice/app:1.0", tmp_path / "x.tar")


class TestCommands:
    def test_layout_is_pulled_and_pushed(
        self, registry: FakeRegistry, today: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        layout = f"layout:{tmp_path / 'layout'}"
        assert main(["push", str(today), f"{registry.host}/foo/bar:1"]) == 0
        assert "3 blob(s) pushed, 0 already present" in capsys.readouterr().out
        assert main(["pull", f"{registry.host}/foo/bar:1", "-o", layout, "--all-platforms"]) == 0
        assert "layout in" in capsys.readouterr().out
        assert main(["push", layout, f"{registry.host}/foo/copy:1"]) == 0
        assert "sha256:" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["-o", "x.tar", "--all-platforms"], "--all-platforms"),
            (["-o", "x.tar", "--platform", "linux"], "--platform: a platform must be OS/ARCHITECTURE"),
        ],
    )
    def test_contradictory_options_exit_with_2(
        self, options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["pull", "localhost:1/foo/bar", *options]) == 2
        assert problem in capsys.readouterr().err

    def test_folder_with_other_files_is_refused(
        self, registry: FakeRegistry, today: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["push", str(today), f"{registry.host}/foo/bar:1"]) == 0
        assert main(["pull", f"{registry.host}/foo/bar:1", "-o", f"layout:{today.parent}"]) == 2
        assert "must be an OCI layout, a new folder or an empty one" in capsys.readouterr().err
