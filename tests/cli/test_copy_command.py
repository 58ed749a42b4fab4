"""``v1registry copy``: what it prints, its exit codes, and copies that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.copied import assert_serves_the_same, values
from support.faulty_storage import FaultyStorage
from support.old_data import SAMPLE, tree
from support.programs import environment_of
from support.v2_client import V2Client

from v1registry import FileStorage, MemoryStorage
from v1registry.cli import copy as copy_command
from v1registry.cli.main import main
from v1registry.rights import User
from v1registry.storage.base import StorageFull

MAIN = "import sys; from v1registry.cli.main import main; sys.exit(main())"


@pytest.fixture
def source(tmp_path: Path) -> FileStorage:
    """The sample of docker-registry 0.9.1, and what alice has pushed."""
    storage = FileStorage(tmp_path / "source", durable=False)
    for key, value in tree(SAMPLE).items():
        storage.write(key, value)
    world = AccountsWorld(People.of(User("alice")), storage)
    base = image_of("base")
    for number in range(5):
        world.person("alice").push("alice/app", base, image_of(f"top{number}", base), tag=f"v{number}")
    client = V2Client(world.app, "alice")
    assert client.put_manifest("alice/two", "1.0", client.image("alice/two", "one")).status == 201
    return storage


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command; return its exit code and what it printed."""
    code = main(["copy", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_folder_is_copied_and_told(
    source: FileStorage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    code, out, err = run(capsys, source.path, target, "--dry-run")
    assert (code, err) == (0, "")
    assert "would be copied" in out
    assert not target.exists()

    code, out, err = run(capsys, source.path, f"file://{target}")

    assert (code, err) == (0, "")
    assert out.startswith("2 passes, ")
    assert_serves_the_same(source, FileStorage(target))


def test_lines_of_json_have_kinds(
    source: FileStorage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    assert run(capsys, source.path, target, "--quiet")[0] == 0
    FileStorage(source.path).delete("repositories/alice/app/tag_v0")
    source.write("repositories/alice/app/tag_dangling", b"9" * 64)
    source.write(f"images/{'8' * 64}/json", b"{")

    code, out, err = run(capsys, source.path, target, "--delete", "--json")

    assert (code, err) == (1, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["kind"] for line in lines] == ["deleted", "problem", "left_out_tag", "total"]
    assert lines[0]["key"] == "repositories/alice/app/tag_v0"
    assert lines[1]["key"] == f"images/{'8' * 64}"
    assert lines[2]["tag"] == "alice/app:dangling"
    assert (lines[3]["deleted"], lines[3]["problems"], lines[3]["left_out_tags"]) == (1, 1, 1)


def test_words_name_what_was_not_copied(
    source: FileStorage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    assert run(capsys, source.path, target)[0] == 0
    source.delete("repositories/alice/app/tag_v0")
    source.write("repositories/alice/app/tag_dangling", b"9" * 64)
    source.write("backup/x", b"")

    code, out, err = run(capsys, source.path, target)

    assert code == 1
    assert f"tag alice/app:dangling: not copied: the image {'9' * 64} is missing or damaged\n" in out
    assert "warning: the folder 'backup' of the source is no part of a registry" in err
    assert "warning: 1 keys are in the destination alone; --delete removes those" in err


@pytest.mark.parametrize(
    ("source_text", "target", "code", "text"),
    [
        ("{folder}/missing", "{folder}/new", 3, "SOURCE: must be an existing folder"),
        ("{folder}/other", "{folder}/new", 2, "is it the right folder?"),
        ("{folder}/empty", "{folder}/new", 2, "the source has no registry"),
        ("{folder}/source", "{folder}/other", 2, "the destination has data of its own"),
        ("{folder}/source", "{folder}/source/x", 2, "is in the other one"),
        ("{folder}/source", "memory:", 2, "DESTINATION: must be a folder or a storage that lasts"),
        ("{folder}/source", "gopher://x", 2, "DESTINATION: gopher: is not a scheme"),
    ],
)
def test_invalid_storages_are_refused(
    source_text: str,
    target: str,
    code: int,
    text: str,
    source: FileStorage,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_bytes(b"Dear all")

    found, _, err = run(capsys, source_text.format(folder=tmp_path), target.format(folder=tmp_path))

    assert (found, text in err) == (code, True), err
    assert not (tmp_path / "new").exists()


def test_full_destination_is_told_and_the_command_goes_on(
    source: FileStorage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = FaultyStorage(MemoryStorage())
    full.fail("write", error=StorageFull("x", "No space left on device"), skip=30)
    monkeypatch.setattr(FaultyStorage, "shared_by_processes", True)
    opened = copy_command.open_storage
    monkeypatch.setattr(
        copy_command, "open_storage", lambda place: full if place == "full:" else opened(place)
    )

    code, _, err = run(capsys, source.path, "full:")

    assert code == 3
    assert err == (
        "v1registry: x: the destination is full: No space left on device. "
        "Make room and repeat the command, which goes on where it ended\n"
    )
    full.heal()
    assert run(capsys, source.path, "full:")[0] == 0
    assert_serves_the_same(source, full.storage)


def begun(source: FileStorage, target: Path, folder: Path, keys: int, *options: str) -> subprocess.Popen[Any]:
    """Start a copy, and wait until the destination has so many files."""
    running = subprocess.Popen(
        [sys.executable, "-c", MAIN, "copy", source.path, str(target), *options],
        env=environment_of(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    end_s = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < end_s:
        if sum(len(files) for _, _, files in os.walk(target)) >= keys:
            break
    return running


def test_copies_that_are_killed_go_on(source: FileStorage, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for keys in (1, 20, 60):
        with begun(source, target, tmp_path, keys, "--objects-per-second", "60") as running:
            running.kill()
        assert running.returncode == -signal.SIGKILL
        assert set(values(FileStorage(target))) < set(values(source))

    assert main(["copy", source.path, str(target)]) == 0

    assert values(FileStorage(target)).keys() == values(source).keys()
    assert_serves_the_same(source, FileStorage(target))
    assert [path.name for path in target.rglob("*.tmp")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_copy_ends_at_once_and_goes_on(
    source: FileStorage, tmp_path: Path, number: signal.Signals
) -> None:
    target = tmp_path / "target"
    with begun(source, target, tmp_path, 10, "--objects-per-second", "10") as running:
        running.send_signal(number)
        assert running.stderr is not None
        assert running.stderr.read() == b"v1registry: interrupted\n"
    assert running.returncode == 130

    assert main(["copy", source.path, str(target)]) == 0

    assert_serves_the_same(source, FileStorage(target))


def test_copy_of_one_store_is_no_copy_of_another(
    source: FileStorage, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_storage = copy_command.open_storage
    monkeypatch.setattr(
        copy_command,
        "open_storage",
        lambda place: FaultyStorage(source) if place.startswith("s3:") else open_storage(place),
    )
    old, new = (f"s3://registry/p?endpoint=https://{host}.example.org" for host in ("old", "new"))
    assert run(capsys, old, tmp_path / "copy")[0] == 0

    code, _, error = run(capsys, new, tmp_path / "copy")

    assert code == 2
    assert f"is a copy of {old}: name that source" in error
    assert run(capsys, f"{old}/&region=eu-1", tmp_path / "copy")[0] == 0
