"""Commands over a storage into which one process alone may write, which may be a server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest
from obstore.store import MemoryStore

from v1registry.cli import copy, options
from v1registry.cli.main import _parser, main
from v1registry.storage.objects import ObjectStorage

IMAGE = "0" * 64

#: Command -> its arguments, of all commands that write into a storage.
WRITES = {
    "user add": "alice --password-stdin",
    "user passwd": "alice --password-stdin",
    "user disable": "alice",
    "user enable": "alice",
    "user grant-admin": "alice",
    "user revoke-admin": "alice",
    "user groups": "alice --add team",
    "user remove": "alice",
    "repository describe": "a/b text",
    "repository stars": "a/b 3",
    "repository private": "a/b",
    "repository grant": "a/b alice",
    "repository tags": "a/b immutable",
    "repository delete": "a/b",
    "tag delete": "a/b latest",
    "image remove": IMAGE,
    "application add": "CI https://ci.example.org/",
    "application rotate-secret": "ci",
    "application remove": "ci",
    "verify": "",
    "usage": "",
    "expire": "",
    "gc": "",
    "adopt": "",
    "prepare-v1": "",
    "prepare-v2": "",
}

#: The same of those that only read.
READS = {
    "user list": "",
    "repository list": "",
    "repository sync-list": "registry.example.org",
    "image show": IMAGE,
    "application list": "",
    "reindex": "",
}

#: The server itself, which refuses more than one worker.
SERVER = {"serve"}


def with_storage(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the commands that have the option ``--storage``."""
    for action in parser._actions:
        if "--storage" in action.option_strings:
            yield " ".join(words)
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from with_storage(command, (*words, name))


@pytest.fixture(autouse=True)
def _single_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a storage in memory for each name."""
    storage = ObjectStorage(MemoryStore(), single_writer=True)
    monkeypatch.setattr(options, "open_storage", lambda place: storage)
    monkeypatch.setattr(copy, "open_storage", lambda place: storage)


def run(command: str, *arguments: str) -> int:
    """Run a command over the storage."""
    given = {**WRITES, **READS}[command].split()
    return main([*command.split(), *given, "--storage", "s3://bucket", *arguments])


def test_each_command_with_a_storage_is_tested_here() -> None:
    assert set(with_storage(_parser())) == WRITES.keys() | READS.keys() | SERVER


@pytest.mark.parametrize("command", WRITES)
def test_command_that_writes_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    error = capsys.readouterr().err
    assert "single_writer" in error
    assert "Stop the server and repeat the command with --server-is-stopped" in error


@pytest.mark.parametrize("command", READS)
def test_command_that_reads_is_not_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(command)
    assert "single_writer" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gc", "expire", "verify", "usage", "repository stars"])
def test_command_that_writes_runs_without_a_server(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(command, "--server-is-stopped")
    assert "single_writer" not in capsys.readouterr().err


def test_copy_into_such_a_storage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["copy", "memory:", "s3://bucket"]
    assert main(words) == 2
    assert "--server-is-stopped" in capsys.readouterr().err
    main([*words, "--server-is-stopped"])
    assert "single_writer" not in capsys.readouterr().err
