"""``v1registry push -`` and ``v1registry pull -o -``."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archives import make_archive
from v1registry_fakes import FakeRegistry

from v1registry.cli.main import main

COMMAND = [sys.executable, "-c", "import sys; from v1registry.cli.main import main; sys.exit(main())"]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add_image("alice/app:1.0", layers=2)
        yield registry


def run(*arguments: str, data: bytes = b"", folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, cwd=folder, timeout=60)


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_standard_output_has_the_archive_and_nothing_else(
    output: str, registry: FakeRegistry, tmp_path: Path
) -> None:
    done = run("pull", "--api", "v1", f"{registry.host}/alice/app:1.0", "-o", output, folder=tmp_path)

    assert done.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert "manifest.json" in archive.getnames()
    assert len(done.stdout) % 512 == 0
    assert b"2 image(s) in /dev/stdout" in done.stderr
    assert not list(tmp_path.iterdir())


def test_standard_output_in_a_file_has_the_archive(registry: FakeRegistry, tmp_path: Path) -> None:
    with open(tmp_path / "app.tar", "wb") as file:
        command = [*COMMAND, "pull", "--api", "v1", f"{registry.host}/alice/app:1.0", "-o", "/dev/stdout"]
        subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=True, timeout=60)
    with tarfile.open(tmp_path / "app.tar") as archive:
        assert "manifest.json" in archive.getnames()
    assert [path.name for path in tmp_path.iterdir()] == ["app.tar"]


def test_closed_standard_output_is_one_line(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.add_image("alice/large:1.0", files={"file": os.urandom(1 << 20)})
    command = [*COMMAND, "pull", "--api", "v1", f"{registry.host}/alice/large:1.0", "-o", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    with process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == b"v1registry: the output was closed before the archive was written\n"


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
def test_standard_input_is_pushed(source: str, registry: FakeRegistry, tmp_path: Path) -> None:
    ids = make_archive(tmp_path / "image.tar")

    done = run(
        "push",
        "--api",
        "v1",
        source,
        f"{registry.host}/bob/app:2",
        data=(tmp_path / "image.tar").read_bytes(),
        folder=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert b"3 image(s) pushed" in done.stdout
    assert registry.tags("bob/app") == {"2": ids[-1]}


def test_password_and_archive_on_standard_input_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "-", "localhost/a/b", "--username", "mira", "--password-stdin"]) == 2
    assert "standard input has the archive" in capsys.readouterr().err


def test_terminals_are_refused(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    try:
        for command in (["push", "-", "localhost:1/a/b"], ["pull", "localhost:1/a/b", "-o", "-"]):
            done = subprocess.run(
                [*COMMAND, *command], stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, timeout=60
            )
            assert done.returncode == 2
            assert b"is a terminal" in done.stderr
    finally:
        os.close(controller)
        os.close(terminal)
