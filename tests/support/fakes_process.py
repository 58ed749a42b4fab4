"""``python -m v1registry_fakes`` as a user starts it: it listens when its line of JSON is read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.programs import PATIENCE_S, environment_of


class FakesProcess:
    """A process of the fakes. A context manager that ends it.

    :param words: the words behind the name of the module.
    :param folder: the current folder of the process.
    """

    def __init__(self, *words: str, folder: Path):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "v1registry_fakes", *words],
            cwd=folder,
            env=environment_of(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"it ended with {self._process.wait(PATIENCE_S)}: {self.end()[1]}")
        self.place: dict[str, Any] = json.loads(line)

    @property
    def url(self) -> str:
        return str(self.place["url"])

    @property
    def host(self) -> str:
        return str(self.place["host"])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def end_stdin(self) -> None:
        """Close the standard input of the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None

    def wait(self) -> tuple[int, str]:
        """Wait until the process ends; return its exit code, and what it wrote to standard error."""
        _, errors = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, errors

    def end(self) -> tuple[int, str]:
        """End the process; return its exit code, and what it wrote to standard error."""
        self._process.terminate()
        return self.wait()

    def __enter__(self) -> FakesProcess:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self.wait()
