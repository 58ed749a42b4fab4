"""CPU time and memory of a tree of processes, read from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> Iterator[int]:
    """Yield the ids of a process and of all processes below it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process, [])


def cpu_s(root: int) -> float:
    """Return the seconds of CPU that a tree has used, with those of children that ended."""
    return sum(sum(map(int, fields[11:15])) for fields in map(_stat, tree(root)) if fields) / _TICKS


def resident_bytes(root: int) -> dict[int, int]:
    """Return the resident size of each process of a tree."""
    found = {}
    for process in tree(root):
        try:
            found[process] = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_BYTES
        except OSError:
            continue
    return found


def _stat(process: int) -> list[str]:
    """Return the fields of a process after its name; none if it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class Watch:
    """Measures a tree of processes while the block runs.

    ``cpu_s`` and ``elapsed_s`` are those of the block. ``growth_bytes`` is the most by which one process grew
    over its size at its first sample, and ``peak_bytes`` the largest size of one.
    """

    def __init__(self, root: int, *, every_s: float = 0.05):
        self.cpu_s = self.elapsed_s = 0.0
        self.growth_bytes = self.peak_bytes = 0
        self._root = root
        self._every_s = every_s
        self._first: dict[int, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample_again, daemon=True)

    def __enter__(self) -> Watch:
        self._sample()
        self._thread.start()
        self._began_cpu_s, self._began_s = cpu_s(self._root), time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.elapsed_s = time.monotonic() - self._began_s
        self.cpu_s = cpu_s(self._root) - self._began_cpu_s
        self._end.set()
        self._thread.join()
        self._sample()

    def _sample_again(self) -> None:
        while not self._end.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        for process, size in resident_bytes(self._root).items():
            self.peak_bytes = max(self.peak_bytes, size)
            self.growth_bytes = max(self.growth_bytes, size - self._first.setdefault(process, size))
