"""Processes of the tests' own that do what they are told, line by line, over a folder that they share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.programs import environment_of


class Worker:
    """A process that answers each line with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    def send(self, *words: str) -> None:
        self._stdin.write(" ".join(words) + "\n")
        self._stdin.flush()

    def receive(self) -> str:
        return self._stdout.readline().strip()

    def ask(self, *words: str) -> str:
        self.send(*words)
        return self.receive()


@contextmanager
def started_workers(code: str, count: int, folder: Path, *arguments: str) -> Iterator[Sequence[Worker]]:
    """Start processes over ``folder`` / data and wait until all are ready. All are ended at the end.

    :param code: the program; ``sys.argv[1]`` is the folder, and ``arguments`` follow. It prints ``ready``
        before its first read.
    """
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, str(folder / "data"), *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment_of(folder),
                )
            )
            stack.callback(process.kill)
            started.append(Worker(process))
        for worker in started:
            assert worker.receive() == "ready"
        yield started
