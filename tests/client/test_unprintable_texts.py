"""No registry and no archive puts control characters on the terminal, or a traceback."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive_builder import Archive, old_archive
from support.archives import make_archive
from support.scripted import Script, reply
from v1registry_fakes.server import LiveServer

from v1registry.cli.main import main
from v1registry.client import BadArchive, Client, ClientError

#: Clears the screen, rings, reverses the direction of writing, begins a line, and does not fit into UTF-8.
HOSTILE = "\x1b[2J\x07\u202e\n\r\x9b\ud800"


def assert_printable(text: str) -> None:
    assert text.isprintable(), repr(text)
    assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    ("path", "spoil"),
    [
        ("/v1/repositories/foo/bar/images", reply(200, [], X_Docker_Endpoints="a\x1b[2Jb")),
        ("/v1/repositories/foo/bar/tags", reply(200, {HOSTILE: "0" * 64})),
    ],
    ids=["endpoint", "tag"],
)
def test_answers_of_a_registry_are_escaped(
    path: str,
    spoil: Callable[..., object],
    client: Client,
    script: Script,
    reference: str,
    archive: Path,
    tmp_path: Path,
) -> None:
    client.push(archive, reference)
    script.when("GET", path, spoil, times=9)  # type: ignore[arg-type]

    with pytest.raises(ClientError) as caught:
        client.pull(f"{reference}2", tmp_path / "pulled.tar")

    assert_printable(str(caught.value))


@pytest.mark.parametrize(
    "archive",
    [
        old_archive().file("repositories", {HOSTILE: {"1": "x"}}),
        old_archive().member("\x1b[2J", tarfile.CHRTYPE),
        Archive().file("manifest.json", [{"Config": HOSTILE}]),
        old_archive().symlink("a\x1b[2J", "/x"),
    ],
    ids=["repository", "member", "config", "link"],
)
def test_names_in_an_archive_are_escaped(
    archive: Archive, client: Client, reference: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.tar"
    path.write_bytes(archive.bytes())

    with pytest.raises(BadArchive) as caught:
        client.push(path, reference)

    assert_printable(str(caught.value))


def test_names_of_images_are_escaped_on_standard_error(
    server: LiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = make_archive(tmp_path / "image.tar")
    path = tmp_path / "several.tar"
    archive = Archive()
    with tarfile.open(tmp_path / "image.tar") as source:
        for info in source:
            if info.isreg() and info.name.startswith(tuple(ids)):
                archive.file(info.name, source.extractfile(info).read())  # type: ignore[union-attr]
    path.write_bytes(archive.file("repositories", {HOSTILE: {"1": ids[1], "2": ids[2]}}).bytes())

    assert main(["push", str(path), f"{server.host}/foo/bar:v1", "--quiet"]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert_printable(line)


def test_url_of_a_redirect_is_escaped(client: Client, script: Script) -> None:
    script.when("GET", "/v1/_ping", reply(302, Location="ftp://a\x1b[2J/"))

    with pytest.raises(ClientError) as caught:
        client.ping()

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_chain_of_header_extensions_is_no_traceback(
    kind: bytes, client: Client, reference: str, tmp_path: Path
) -> None:
    archive = Archive()
    for _ in range(2000):
        archive.member("extension", kind, b"11 path=xy\n")
    path = tmp_path / "chain.tar"
    path.write_bytes(archive.file("manifest.json", json.loads("[]")).bytes())

    with pytest.raises(BadArchive, match="cannot be pushed: it"):
        client.push(path, reference)


def test_long_name_in_an_archive_is_cut(client: Client, reference: str, tmp_path: Path) -> None:
    path = tmp_path / "long.tar"
    path.write_bytes(old_archive().member("x" * 100_000, tarfile.CHRTYPE).bytes())

    with pytest.raises(BadArchive) as caught:
        client.push(path, reference)

    assert len(str(caught.value)) < 2100
    assert str(caught.value).endswith(" …")


@pytest.mark.parametrize(
    ("depth", "is_read"),
    [(10, {True}), *((depth, {True, False}) for depth in range(800, 1300, 100)), (10**5, {False})],
)
def test_deeply_nested_config_is_no_traceback(
    depth: int, is_read: set[bool], client: Client, reference: str, tmp_path: Path
) -> None:
    """The limit depends on the version of Python."""
    path = tmp_path / "nested.tar"
    config = b'{"rootfs":{"diff_ids":[]},"history":%s}' % (b"[" * depth + b"]" * depth)
    archive = Archive().file("c.json", config).file("manifest.json", [{"Config": "c.json"}])
    path.write_bytes(archive.bytes())

    try:
        outcome = bool(client.push(path, reference).image_id)
    except BadArchive as error:
        outcome = "nested too deeply" not in str(error)

    assert outcome in is_read
