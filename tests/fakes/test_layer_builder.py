"""Layer: members of each kind, and what the registry makes of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from v1registry_fakes import FakeRegistry, Layer, WSGISession
from v1registry_fakes.layers import files_in, layer_of


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(bytes(layer))) as archive:
        return {member.name: member for member in archive}


def test_file_has_the_given_facts() -> None:
    moment = datetime(2014, 6, 9, 12, tzinfo=timezone.utc)
    layer = Layer().file("bin/su", "text", mode=0o4755, uid=70_000, gid=8, mtime=moment)
    (member,) = members(layer).values()
    facts = (member.isreg(), member.mode, member.uid, member.gid, member.mtime, member.size)
    assert facts == (True, 0o4755, 70_000, 8, moment.timestamp(), 4)
    assert files_in(bytes(layer)) == {"bin/su": b"text"}


def test_member_has_the_given_kind() -> None:
    layer = (
        Layer()
        .directory("var/", mode=0o1777, uid=1, gid=2, mtime=3)
        .symlink("link", "/no/where", uid=4, mtime=5)
        .file("a", b"\0\xff")
        .hardlink("b", "a")
        .device("dev/null", major=1, minor=3, mode=0o666)
        .device("dev/sda", kind="block", major=8)
        .device("pipe", kind="fifo")
    )
    found = members(layer)
    assert list(found) == ["var", "link", "a", "b", "dev/null", "dev/sda", "pipe"]
    folder, link, hard, null = found["var"], found["link"], found["b"], found["dev/null"]
    assert (folder.isdir(), folder.mode, folder.uid, folder.gid, folder.mtime) == (True, 0o1777, 1, 2, 3)
    assert (link.issym(), link.linkname, link.uid, link.mtime) == (True, "/no/where", 4, 5)
    assert (hard.islnk(), hard.linkname) == (True, "a")
    assert (null.ischr(), null.devmajor, null.devminor, null.mode) == (True, 1, 3, 0o666)
    assert (found["dev/sda"].isblk(), found["dev/sda"].devmajor, found["pipe"].isfifo()) == (True, 8, True)


def test_whiteouts_delete_and_hide() -> None:
    layer = Layer().whiteout("etc/old").whiteout("top").whiteout("folder/").opaque("var/lib/").opaque("")
    names = ["etc/.wh.old", ".wh.top", ".wh.folder", "var/lib/.wh..wh..opq", ".wh..wh..opq"]
    assert list(members(layer)) == names
    assert files_in(bytes(layer)) == {"etc/old": None, "top": None, "folder": None}


@pytest.mark.parametrize("name", ["/etc/passwd", "../../x", "a" * 300, "größe/☃", "a\nb", "\udcff"])
def test_odd_name_is_written_as_it_is(name: str) -> None:
    assert list(members(Layer().file(name))) == [name]


@pytest.mark.parametrize(
    ("compression", "magic"), [("gzip", b"\x1f\x8b"), ("zstd", b"\x28\xb5\x2f\xfd"), (None, b"etc/motd\0")]
)
def test_archive_is_compressed_as_chosen(compression: str | None, magic: bytes) -> None:
    layer = Layer({"etc/motd": "hello"}).compressed(compression)  # type: ignore[arg-type]
    assert bytes(layer).startswith(magic)
    assert files_in(bytes(layer)) == {"etc/motd": b"hello"}


def test_equal_calls_make_equal_bytes() -> None:
    assert bytes(Layer({"a": "b", "c/": "", "d": None})) == layer_of({"a": b"b", "c/": b"", "d": None})
    built = Layer().file("a", "b").directory("c").whiteout("d")
    assert bytes(built) == bytes(built) == layer_of({"a": b"b", "c/": b"", "d": None})


def test_impossible_choices_are_rejected() -> None:
    with pytest.raises(TypeError, match="content of 'a' must be bytes or text, not int"):
        Layer().file("a", 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="compression must be gzip, zstd or None, not 'xz'"):
        Layer().compressed("xz")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind must be one of character, block, fifo, not 'door'"):
        Layer().device("a", kind="door")  # type: ignore[arg-type]


def test_repr_names_the_first_members() -> None:
    assert repr(Layer()) == "<Layer gzip: empty>"
    layer = Layer({str(number): "" for number in range(11)}).compressed(None)
    assert repr(layer) == "<Layer plain: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …>"


def test_layer_is_read_by_the_registry(registry: FakeRegistry) -> None:
    base = registry.add_image("alice/base", files={"etc/old": "x", "var/lib/a": "y"})
    layer = Layer().file("bin/su", "text", mode=0o4755, uid=8).symlink("link", "bin/su").whiteout("etc/old")
    image = registry.add_image("alice/app:1", layer=layer, parent=base)
    with WSGISession(registry.app) as session:
        rows = session.get(f"/v1/images/{image.id}/files").json()
    assert image.layer == bytes(layer)
    assert {tuple(row[:3]) for row in rows} == {
        ("bin/su", "f", False),
        ("link", "s", False),
        ("etc/old", "f", True),
    }
    assert next(row for row in rows if row[0] == "bin/su")[5:7] == [0o4755, 8]


def test_layer_with_zstd_is_pushed_by_v2(registry: FakeRegistry) -> None:
    layer = Layer({"etc/motd": "hello"}).compressed("zstd")
    manifest = registry.add_image("alice/app:1", layer=layer, api="v2")
    assert manifest.layers == [bytes(layer)]
    assert manifest.json["layers"][0]["mediaType"].endswith("+zstd")
