"""Push and pull with the real registry, over http and https."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import (
    Watch,
    layer_sums,
    make_archive,
    make_chain,
    make_layer,
    make_manifest_archive,
    members,
)
from support.scripted import Script
from v1registry_fakes import FakeRegistry
from v1registry_fakes.server import LiveServer

from v1registry.archives.convert import chain_ids
from v1registry.archives.load import open_save_archive
from v1registry.archives.save import write_save_archive
from v1registry.client import (
    BadArchive,
    BadReference,
    Client,
    NotFoundInRegistry,
    RegistryUnreachable,
    TqdmProgress,
)


def test_pull_returns_what_was_pushed(
    client: Client, reference: str, archive: Path, tmp_path: Path, script: Script
) -> None:
    ids = [image.image_id for image, _ in make_chain(3)]
    pushed = client.push(archive, reference)
    assert (pushed.image_id, pushed.pushed, pushed.skipped) == (ids[2], tuple(ids), ())
    assert pushed.sent_bytes == sum(script.storage.stat(f"images/{image_id}/layer").size for image_id in ids)

    pulled = client.pull(reference, tmp_path / "pulled.tar")

    assert (pulled.image_id, pulled.image_ids) == (ids[2], tuple(ids))
    assert (pulled.fetched_bytes, pulled.kept_bytes) == (pushed.sent_bytes, 0)
    assert pulled.archive_size_bytes == (tmp_path / "pulled.tar").stat().st_size
    assert layer_sums(tmp_path / "pulled.tar") == layer_sums(archive)
    found = members(tmp_path / "pulled.tar")
    for image, _ in make_chain(3):
        assert found[f"{image.image_id}/json"] == image.json
    assert json.loads(found["repositories"]) == {f"{reference[:-3]}": {"v1": ids[2]}}
    (entry,) = json.loads(found["manifest.json"])
    assert entry["RepoTags"] == [reference]
    assert pulled.engine_image_id == f"sha256:{entry['Config'][:-5]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "pulled.tar"]


def test_push_of_a_pulled_archive_sends_nothing(
    client: Client, reference: str, archive: Path, tmp_path: Path, script: Script
) -> None:
    ids = client.push(archive, reference).pushed
    client.pull(reference, tmp_path / "pulled.tar")
    script.seen.clear()
    again = client.push(tmp_path / "pulled.tar", reference)
    assert (again.pushed, again.skipped, again.sent_bytes) == ((), ids, 0)
    assert not script.requests("PUT", "/v1/images/.*")


def test_calls_of_a_push_equal_those_of_an_engine(
    client: Client, reference: str, archive: Path, script: Script
) -> None:
    ids = client.push(archive, reference).pushed
    calls = [str(seen) for seen in script.seen]
    assert calls[:2] == ["GET /v1/_ping", "PUT /v1/repositories/foo/bar/"]
    assert calls[-2:] == ["PUT /v1/repositories/foo/bar/tags/v1", "PUT /v1/repositories/foo/bar/images"]
    for image_id in ids:
        own = [call.rpartition("/")[2] for call in calls if image_id in call]
        assert own == ["json", "json", "layer", "checksum"]
    json_calls = [seen.path.split("/")[3] for seen in script.requests("PUT", ".*/json")]
    assert json_calls == list(ids)
    assert all("content-length" not in seen.headers for seen in script.requests("PUT", ".*/layer"))


def test_twenty_layers_are_transferred_in_parallel(
    connect: Callable[..., Client], reference: str, tmp_path: Path
) -> None:
    make_archive(tmp_path / "image.tar", 20, size_bytes=20_000)
    watch = Watch()
    client = connect(parallel=8, progress=watch)
    assert len(client.push(tmp_path / "image.tar", reference).pushed) == 20
    client.pull(reference, tmp_path / "pulled.tar")
    assert layer_sums(tmp_path / "pulled.tar") == layer_sums(tmp_path / "image.tar")
    assert len(watch.tasks) == 41  # each layer both ways, and the archive
    assert all((task.done_bytes, task.finishes) == (task.total_bytes, 1) for task in watch.tasks)


def test_same_archive_makes_the_same_bytes_in_two_registries(
    serve: Callable[..., LiveServer], archive: Path
) -> None:
    stored = []
    for _ in range(2):
        script = Script()
        server = serve(script)
        with Client(server.url, api="v1") as client:
            client.push(archive, f"{server.host}/foo/bar")
        stored.append({stat.key: script.storage.read(stat.key)[0] for stat in script.storage.list("images/")})
    assert stored[0] == stored[1]


def test_name_without_namespace_is_in_library(
    client: Client, server: LiveServer, script: Script, archive: Path, tmp_path: Path
) -> None:
    client.push(archive, f"{server.host}/busybox")
    assert script.requests("PUT", "/v1/repositories/library/busybox/tags/latest")
    client.pull(f"{server.host}/busybox", tmp_path / "pulled.tar")
    assert list(json.loads(members(tmp_path / "pulled.tar")["repositories"])) == [f"{server.host}/busybox"]


def test_archive_of_todays_engines_gets_the_ids_of_old_engines(
    client: Client, reference: str, tmp_path: Path
) -> None:
    documents = make_manifest_archive(
        tmp_path / "today.tar", [gzip.compress(make_layer("a")), make_layer("b")]
    )
    diff_ids = [document.diff_id for document in documents]
    pushed = client.push(tmp_path / "today.tar", reference)
    assert pushed.pushed == tuple(document.image_id for document in documents)
    assert pushed.pushed[0] == chain_ids(diff_ids)[0][7:]
    pulled = client.pull(reference, tmp_path / "pulled.tar")
    assert pulled.fetched_bytes == pushed.sent_bytes
    with open_save_archive(tmp_path / "pulled.tar") as archive:
        assert [image.diff_id for image in archive.chains[0].images] == diff_ids


def test_compressed_layer_is_sent_unchanged(
    client: Client, reference: str, script: Script, tmp_path: Path
) -> None:
    layer = gzip.compress(make_layer("a"), 1)
    document = b'{"id": "%s"}' % (b"a" * 64)
    with tarfile.open(tmp_path / "old.tar", "w") as file:
        for name, data in {"json": document, "layer.tar": layer}.items():
            info = tarfile.TarInfo(f"{'a' * 64}/{name}")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    client.push(tmp_path / "old.tar", reference)
    assert script.storage.read(f"images/{'a' * 64}/layer")[0] == layer


def test_layer_of_zero_bytes_is_pulled_as_an_empty_tar(v1registry: FakeRegistry, tmp_path: Path) -> None:
    image = v1registry.add_image("foo/bar:v1", layer=gzip.compress(b""))
    with Client(v1registry.url, api="v1") as client:
        client.pull(f"{v1registry.host}/foo/bar:v1", tmp_path / "pulled.tar")
        assert members(tmp_path / "pulled.tar")[f"{image.id}/layer.tar"] == bytes(1024)
        assert client.push(tmp_path / "pulled.tar", f"{v1registry.host}/foo/bar:v1").pushed == ()


def test_second_pull_replaces_the_output(
    client: Client, reference: str, archive: Path, tmp_path: Path
) -> None:
    client.push(archive, reference)
    (tmp_path / "pulled.tar").write_bytes(b"something else")
    client.pull(reference, tmp_path / "pulled.tar")
    assert layer_sums(tmp_path / "pulled.tar") == layer_sums(archive)


class TestChoosingAnImage:
    @pytest.fixture
    def several(self, tmp_path: Path) -> Path:
        """An archive with two tagged images."""
        chains = [make_chain(1, seed="one"), make_chain(2, seed="two")]
        tops = [chain[-1][0].image_id for chain in chains]
        with (tmp_path / "several.tar").open("w+b") as file:
            images = [image for chain in chains for image, _ in chain]
            write_save_archive(file, images, {"foo/bar:v1": tops[0], "two:latest": tops[1]})
        return tmp_path / "several.tar"

    @pytest.mark.parametrize(("name", "count"), [(None, 1), ("two", 2), ("two:latest", 2), ("foo/bar:v1", 1)])
    def test_image_is_found_by_the_reference_or_the_given_name(
        self, client: Client, reference: str, several: Path, name: str | None, count: int
    ) -> None:
        assert len(client.push(several, reference, image=name).pushed) == count

    def test_image_is_found_by_the_start_of_its_id(
        self, client: Client, reference: str, several: Path
    ) -> None:
        image_id = make_chain(2, seed="two")[1][0].image_id
        assert client.push(several, reference, image=image_id[:12]).image_id == image_id

    @pytest.mark.parametrize("name", ["three", None])
    def test_ambiguous_image_is_refused_with_a_list(
        self, client: Client, server: LiveServer, several: Path, script: Script, name: str | None
    ) -> None:
        with pytest.raises(BadArchive, match="foo/bar:v1, two:latest"):
            client.push(several, f"{server.host}/other/name:v1", image=name)
        assert not script.requests("PUT")


class TestMissingThings:
    def test_unknown_tag_is_reported_with_the_existing_tags(
        self, client: Client, reference: str, archive: Path, tmp_path: Path
    ) -> None:
        client.push(archive, reference)
        with pytest.raises(NotFoundInRegistry, match="has no tag v2; it has v1"):
            client.pull(reference[:-1] + "2", tmp_path / "pulled.tar")
        assert not (tmp_path / "pulled.tar").exists()

    def test_unknown_repository_is_reported(self, client: Client, reference: str, tmp_path: Path) -> None:
        with pytest.raises(NotFoundInRegistry, match="no repository foo/bar"):
            client.pull(reference, tmp_path / "pulled.tar")

    def test_missing_or_invalid_archive_sends_nothing(
        self, client: Client, reference: str, tmp_path: Path, script: Script
    ) -> None:
        with pytest.raises(BadArchive, match="No such file"):
            client.push(tmp_path / "nothing.tar", reference)
        (tmp_path / "text").write_text("no archive")
        with pytest.raises(BadArchive, match="cannot be pushed"):
            client.push(tmp_path / "text", reference)
        assert script.seen == []

    def test_reference_to_another_registry_is_refused(self, client: Client, archive: Path) -> None:
        with pytest.raises(BadReference, match="must be in the registry"):
            client.push(archive, "registry.example/foo/bar")

    def test_output_that_cannot_be_written_is_an_os_error(
        self, client: Client, reference: str, archive: Path, tmp_path: Path
    ) -> None:
        client.push(archive, reference)
        with pytest.raises(FileNotFoundError):
            client.pull(reference, tmp_path / "no" / "folder" / "pulled.tar")


class TestFindingTheRegistry:
    def test_https_is_tried_before_plain_http(self, server: LiveServer) -> None:
        with Client(server.host, api="v1") as client:
            ping = client.ping()
        assert (ping.url, ping.scheme, ping.status) == (f"{server.url}/v1/", "http", 200)
        assert ping.is_standalone
        assert ping.version[0].isdigit()

    @pytest.mark.v1registry(tls=True)
    def test_push_and_pull_over_https(self, v1registry: FakeRegistry, archive: Path, tmp_path: Path) -> None:
        with Client(v1registry.host, api="v1", verify=v1registry.ca_file) as client:
            assert client.ping().scheme == "https"
            client.push(archive, f"{v1registry.host}/foo/bar:v1")
            client.pull(f"{v1registry.host}/foo/bar:v1", tmp_path / "pulled.tar")
        assert layer_sums(tmp_path / "pulled.tar") == layer_sums(archive)

    @pytest.mark.v1registry(tls=True)
    def test_untrusted_certificate_ends_the_search(self, v1registry: FakeRegistry) -> None:
        with (
            Client(v1registry.host, api="v1") as client,
            pytest.raises(RegistryUnreachable, match="not trusted") as caught,
        ):
            client.ping()
        assert "plain http" not in str(caught.value)
        assert "(http)" not in str(caught.value)

    @pytest.mark.v1registry(tls=True)
    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    def test_insecure_accepts_any_certificate(self, v1registry: FakeRegistry) -> None:
        with Client(v1registry.host, api="v1", insecure=True) as client:
            assert client.ping().scheme == "https"

    def test_explicit_https_does_not_fall_back(self, server: LiveServer) -> None:
        for options in ({"host": f"https://{server.host}"}, {"host": server.host, "scheme": "https"}):
            with (
                Client(api="v1", **options) as client,
                pytest.raises(RegistryUnreachable, match="write http://"),
            ):  # type: ignore[arg-type]
                client.ping()

    def test_closed_port_is_reported_with_both_schemes(self, serve: Callable[..., LiveServer]) -> None:
        server = serve(Script())
        host = server.host
        server.stop()
        with (
            Client(host, api="v1") as client,
            pytest.raises(RegistryUnreachable, match=r"refused \(https\).*refused \(http\)"),
        ):
            client.ping()

    @pytest.mark.parametrize(
        ("headers", "body", "expected"),
        [
            ({}, b"{}", True),
            ({}, b"no json", True),
            ({}, b'{"standalone": false}', False),
            ({"X-Docker-Registry-Standalone": "True"}, b'{"standalone": false}', True),
            ({"X-Docker-Registry-Standalone": "1"}, b"", True),
            ({"X-Docker-Registry-Standalone": "mirror"}, b"", False),
            ({"X-Docker-Registry-Standalone": "False"}, b"", False),
        ],
    )
    def test_ping_is_parsed_as_by_engines(
        self, serve: Callable[..., LiveServer], headers: dict[str, str], body: bytes, expected: bool
    ) -> None:
        def application(environ: object, start_response: Callable[..., object]) -> list[bytes]:
            start_response("404 Not Found", [*headers.items(), ("Content-Length", str(len(body)))])
            return [body]

        with Client(serve(application).url, api="v1") as client:
            assert client.ping().is_standalone is expected


def test_tqdm_bars_show_the_transfers(
    connect: Callable[..., Client], reference: str, archive: Path, tmp_path: Path
) -> None:
    shown = io.StringIO()
    client = connect(progress=TqdmProgress(shown))
    client.push(archive, reference)
    client.pull(reference, tmp_path / "pulled.tar")
    for word in ("push", "pull", "write pulled.tar", "100%"):
        assert word in shown.getvalue()


def test_user_agent_can_be_changed(connect: Callable[..., Client], script: Script) -> None:
    connect().ping()
    connect(user_agent="docker/1.9.1 go/go1.4.3").ping()
    first, second = (seen.headers["user-agent"] for seen in script.seen)
    assert first.startswith("v1registry/")
    assert [word.partition("/")[0] for word in first.split()] == ["v1registry", "python", "os", "arch"]
    assert second == "docker/1.9.1 go/go1.4.3"
