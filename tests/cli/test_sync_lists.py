"""``v1registry repository sync-list``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.old_data import SAMPLE, write
from support.v2_client import V2Client

from v1registry import FileStorage, Registry
from v1registry.cli.exits import NOT_FOUND, USAGE
from v1registry.cli.main import main

IMAGES = """    "foo/bar":
      - "v1"
    "library/busybox":
      - "1.0"
      - "latest"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the folder that docker-registry 0.9.1 wrote."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


@pytest.mark.parametrize(
    ("argument", "host", "has_tls"),
    [
        ("localhost:5000", "localhost:5000", "false"),
        ("registry.example.org", "registry.example.org", "true"),
        ("http://registry.example.org/", "registry.example.org", "false"),
        ("https://localhost:5000", "localhost:5000", "true"),
    ],
)
def test_list_has_all_names_and_tags(
    folder: Path, capsys: pytest.CaptureFixture[str], argument: str, host: str, has_tls: str
) -> None:
    assert main(["repository", "sync-list", argument, "--storage", folder.as_uri()]) == 0
    told = capsys.readouterr()
    assert told.out == f'"{host}":\n  tls-verify: {has_tls}\n  images:\n{IMAGES}'
    assert told.err == ""


def test_list_below_a_namespace_has_no_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = V2Client(Registry(storage=FileStorage(folder), v2="on"))
    for name in ("foo/deep/app", "foo/other"):
        client.put_manifest(name, "only-v2", client.artifact(name, "one"))
    command = ["repository", "sync-list", "localhost", "--storage", folder.as_uri(), "--below"]
    assert main([*command, "foo"]) == 0
    assert capsys.readouterr().out.splitlines()[3:] == [
        '    "foo/bar":', '      - "v1"', '    "foo/other":', '      - "only-v2"',
    ]  # fmt: skip
    assert main([*command, "foo/deep"]) == 0
    assert '"foo/deep/app":' in capsys.readouterr().out


def test_names_and_tags_that_cannot_go_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tag = (folder / "repositories/foo/bar/tag_v1").read_bytes()
    write(
        folder / "repositories/foo",
        {"Upper/tag_v1": tag, "bar/tag_-x": tag, "bar/tag_gone": 64 * "0", "Upper/tag_v2": tag},
    )
    assert main(["repository", "sync-list", "localhost", "--storage", folder.as_uri()]) == 0
    told = capsys.readouterr()
    assert told.out.endswith(IMAGES)
    assert sorted(told.err.splitlines()) == [
        "v1registry: foo/Upper: the distribution API cannot name it, 2 tag(s) are left out",
        "v1registry: foo/bar: the tag '-x' is no tag of the distribution API, it is left out",
        "v1registry: foo/bar: the tag 'gone' has no image, it is left out",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ["localhost", "--below", "other"],
            NOT_FOUND,
            "can name directly below other",
        ),
        (["localhost/x"], USAGE, "HOST must be host[:port], http://host or https://host, not 'localhost/x'"),
        (["http://localhost/x"], USAGE, "HOST must be host[:port]"),
        (["ftp://localhost"], USAGE, "HOST must be host[:port]"),
    ],
)
def test_list_of_nothing_fails_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert main(["repository", "sync-list", *arguments, "--storage", folder.as_uri()]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err


def test_list_is_refused_where_images_are_elsewhere(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "v1registry.ini"
    config.write_text(
        f"[v1registry]\nstorage = {folder.as_uri()}\nauth = users:\nimages = elsewhere\n"
        "endpoints = registry.example.org\n"
    )
    assert main(["repository", "sync-list", "localhost", "--config", str(config)]) == 2
    assert "exclude the distribution API" in capsys.readouterr().err
