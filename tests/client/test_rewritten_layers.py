"""Layers that an engine has rewritten count as equal; others do not."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import make_layer, make_manifest_archive
from support.engine_client import EngineClient, Image
from support.scripted import Script
from support.transcripts import exchanges
from v1registry_fakes.server import LiveServer

from v1registry.archives.convert import EMPTY_TAR_DIFF_ID
from v1registry.client import Client, DifferentContent
from v1registry.client.layer_facts import facts_of
from v1registry.layers.compression import UnreadableLayer

Change = Callable[[tarfile.TarInfo], object]


def make_tar(
    change: Change = lambda info: None, *, format_: int = tarfile.USTAR_FORMAT, data: bytes = b"x"
) -> bytes:
    """Return a tar with a folder, a file, a link and a device. ``change`` changes the headers."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
            for name, kind in (
                ("etc", tarfile.DIRTYPE),
                ("etc/motd", tarfile.REGTYPE),
                ("etc/link", tarfile.SYMTYPE),
                ("dev", tarfile.CHRTYPE),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.mtime = kind, 1_400_000_000
                info.linkname = "motd" if kind == tarfile.SYMTYPE else ""
                info.size = len(data) if kind == tarfile.REGTYPE else 0
                change(info)
                archive.addfile(info, io.BytesIO(data))
        return buffer.getvalue()


def set_in(member: str, /, **values: object) -> Change:
    """Return a change of one member."""

    def change(info: tarfile.TarInfo) -> None:
        if info.name == member:
            for key, value in values.items():
                setattr(info, key, value)

    return change


def members_of(layer: bytes) -> str | None:
    return facts_of(io.BytesIO(layer)).members


@pytest.mark.parametrize(
    "other",
    [
        gzip.compress(make_tar()),
        make_tar() + bytes(4096),
        make_tar(format_=tarfile.GNU_FORMAT),
        make_tar(format_=tarfile.PAX_FORMAT),
        make_tar(lambda info: setattr(info, "mtime", 0)),
        make_tar(lambda info: setattr(info, "mtime", 1.5), format_=tarfile.PAX_FORMAT),
        make_tar(lambda info: setattr(info, "uname", "root")),
        make_tar(set_in("etc/motd", type=tarfile.AREGTYPE)),
        make_tar(lambda info: setattr(info, "name", f"./{info.name}")),
    ],
)
def test_form_of_the_archive_makes_no_difference(other: bytes) -> None:
    assert members_of(other) == members_of(make_tar())


@pytest.mark.parametrize(
    "other",
    [
        make_tar(data=b"y"),
        make_tar(set_in("etc/motd", name="etc/passwd")),
        make_tar(set_in("etc/motd", mode=0o4755)),
        make_tar(set_in("etc/motd", uid=1)),
        make_tar(set_in("etc/motd", gid=1)),
        make_tar(set_in("etc/link", linkname="passwd")),
        make_tar(set_in("etc/link", type=tarfile.LNKTYPE)),
        make_tar(set_in("dev", devminor=1)),
        make_tar(set_in("dev", devmajor=1)),
        make_tar(
            set_in("etc/motd", pax_headers={"SCHILY.xattr.security.capability": "x"}),
            format_=tarfile.PAX_FORMAT,
        ),
        make_tar()[:512] + bytes(1024),
        b"",
    ],
)
def test_everything_that_an_engine_unpacks_makes_a_difference(other: bytes) -> None:
    assert members_of(other) != members_of(make_tar())


def test_order_of_members_makes_a_difference() -> None:
    assert members_of(make_layer("a")[:1024] + make_layer("b")) != members_of(
        make_layer("b")[:1024] + make_layer("a")
    )


def test_diff_id_is_that_of_the_whole_stream() -> None:
    layer = make_tar() + b"behind the end"
    assert facts_of(io.BytesIO(gzip.compress(layer))).diff_id == f"sha256:{hashlib.sha256(layer).hexdigest()}"
    assert facts_of(io.BytesIO(b"")).diff_id == EMPTY_TAR_DIFF_ID


def test_layer_that_is_no_archive_has_a_diff_id_only() -> None:
    facts = facts_of(io.BytesIO(b"no archive" * 100))
    assert facts.members is None
    assert facts.diff_id == f"sha256:{hashlib.sha256(b'no archive' * 100).hexdigest()}"


@pytest.mark.parametrize("layer", [gzip.compress(make_tar())[:-4], gzip.compress(bytes(1 << 20))])
def test_layer_that_cannot_be_expanded_is_unreadable(layer: bytes) -> None:
    with pytest.raises(UnreadableLayer):
        facts_of(io.BytesIO(layer), limit_bytes=100_000)


class TestDocker1126:
    """A push that was recorded, and the archive of the same image."""

    @pytest.fixture
    def recorded(self) -> list[Image]:
        """The two lower images of the recorded push, root first."""
        bodies: dict[str, dict[str, bytes]] = {}
        for exchange in exchanges("docker-1.12.6", "push-new"):
            part = exchange.path.rpartition("/")[2]
            if exchange.method == "PUT" and exchange.image_id and part in ("json", "layer"):
                data = exchange.request_body.data
                assert data is not None
                bodies.setdefault(exchange.image_id, {})[part] = data
        images = [Image(image_id, parts["json"], parts["layer"]) for image_id, parts in bodies.items()]
        bare = [image for image in images if json.loads(image.json).keys() <= {"id", "parent"}]
        return sorted(bare, key=lambda image: b"parent" in image.json)

    @pytest.fixture
    def originals(self, recorded: list[Image]) -> list[bytes]:
        """The layers before the engine rewrote them, as Python's tarfile writes them."""
        layers = []
        for image in recorded:
            with tarfile.open(fileobj=io.BytesIO(image.layer), mode="r:gz") as source, io.BytesIO() as buffer:
                with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as target:
                    for info in source:
                        target.addfile(info, source.extractfile(info) if info.isreg() else None)
                layers.append(buffer.getvalue())
        return layers

    def test_base_images_of_the_engine_are_skipped(
        self,
        recorded: list[Image],
        originals: list[bytes],
        client: Client,
        server: LiveServer,
        reference: str,
        script: Script,
        tmp_path: Path,
    ) -> None:
        documents = make_manifest_archive(tmp_path / "app.tar", [*originals, make_layer("app")])
        ids = [image.image_id for image in recorded]
        assert [document.image_id for document in documents[:2]] == ids
        assert [gzip.decompress(image.layer) for image in recorded] != originals
        EngineClient(server.host).push("foo/base", recorded)

        assert client.push(tmp_path / "app.tar", reference).skipped == tuple(ids)
        assert len(script.requests("GET", ".*/layer")) == 2

    def test_other_members_under_the_id_of_an_engine_fail_the_push(
        self,
        recorded: list[Image],
        originals: list[bytes],
        client: Client,
        server: LiveServer,
        reference: str,
        tmp_path: Path,
    ) -> None:
        make_manifest_archive(tmp_path / "app.tar", [*originals, make_layer("app")])
        evil = gzip.compress(make_layer("evil"))
        EngineClient(server.host).push("mallory/base", [Image(recorded[0].image_id, recorded[0].json, evil)])

        with pytest.raises(DifferentContent, match="and other members"):
            client.push(tmp_path / "app.tar", reference)
