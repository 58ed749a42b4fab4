"""Programs of this machine, started as a user starts them. They listen on 127.0.0.1 and are always ended.

A program picks a free port itself (port 0). The port is read from the kernel's table of listening sockets. So
two programs never use the same port, and a program need not print its port.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "examples"

#: What stands before the command of a program that has to end even if the tests are killed.
TIED: Final = ("setpriv", "--pdeathsig", "KILL")

#: How long a program may take to start or to end, in seconds: much, as machines that test are busy.
PATIENCE_S = 60.0

_PAUSE_S = 0.01

#: How long a program may take to end by itself, in seconds.
_GRACE_S = 5.0


def eventually(condition: Callable[[], bool], what: str, *, within_s: float = PATIENCE_S) -> None:
    """Return as soon as ``condition()`` is true.

    :raises AssertionError: it was false for ``within_s``; the message is ``what``.
    """
    until = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"not within {within_s:g} s: {what}"
        pause.wait(_PAUSE_S)


class Program:
    """A program in a process group of its own. A context manager: at the end nothing of it is left.

    :param command: program and arguments; programs of this Python's environment are found first.
    :param folder: the current folder of the program, and its HOME: it writes nowhere else.
    :param listens: whether to wait until it listens on a port of 127.0.0.1.
    :param file_limit_bytes: the most that one file may hold which the program writes.
    """

    #: Those that are running, for the report of a failed test.
    running: ClassVar[list[Program]] = []

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        listens: bool = True,
        file_limit_bytes: int | None = None,
    ):
        self.command = list(command)
        self.folder = folder
        self.port = 0
        self._log_path = folder / f"log-{os.urandom(4).hex()}.txt"
        started = self.command
        if file_limit_bytes is not None:
            # sh counts in blocks of 512 bytes
            started = ["sh", "-c", f'ulimit -f {file_limit_bytes // 512} && exec "$@"', "sh", *started]
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                started,
                cwd=folder,
                env=environment_of(folder) | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        Program.running.append(self)
        if listens:
            try:
                eventually(self._find_port, f"{self.command[0]} listens on a port")
            except BaseException:
                self.end()
                raise

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the first process."""
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def log(self) -> str:
        """What the program wrote to its standard output and error so far."""
        return self._log_path.read_text("utf-8", "replace")

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        """Return a connection to the program."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def processes(self) -> list[int]:
        """Return the ids of the program's processes that are alive."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                try:
                    # after the name in parentheses: state, parent, process group. Source: proc(5)
                    state, _, group = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:3]
                except OSError:
                    continue
                if int(group) == self._process.pid and state != "Z":
                    found.append(int(entry))
        return found

    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask_to_end(self) -> None:
        """Tell the program to end, as ``kill`` does."""
        self._process.terminate()

    def interrupt(self) -> None:
        """Tell the program to end, as Ctrl-C does: a terminal tells every process of it."""
        self._signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait until the program ends by itself; return its exit code."""
        return self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End every process of the program at once, as a power cut would: it can clean up nothing."""
        self._signal(signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        eventually(lambda: not self.processes(), f"{self.command[0]} is gone")
        self._forget()

    def end(self) -> None:
        """End the program as an operator would, and whatever of it does not end by itself."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _forget(self) -> None:
        if self in Program.running:
            Program.running.remove(self)

    def _find_port(self) -> bool:
        code = self._process.poll()
        assert code is None, f"{shlex.join(self.command)} ended with {code} at once:\n{self.log}"
        ports = _listening_ports(self.processes())
        if len(ports) != 1:
            return False
        (self.port,) = ports
        return True

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"{Path(self.command[0]).name} on port {self.port}"


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment for a program: PATH begins with those of this Python, HOME is ``folder``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("V1REGISTRY_", "PYTEST_", "COV_", "DOCKER_"))
    }
    return kept | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '/usr/bin:/bin')}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now, for a program that does not take port 0.

    Another program may be faster on it, so the caller tries again with another port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port


def documented_command(path: Path, storage: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that the file at ``path`` documents, and the variables that it sets.

    It is the one line with ``file:///srv/registry`` and the port 5000, in a docstring or a comment. A
    backslash at its end continues it. It is run with ``storage`` and on a free port.
    """
    text = path.read_text("utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if "file:///srv/registry" in line]
    assert len(lines) == 1, f"{path} documents {len(lines)} commands"
    line = lines[0].strip(" #;")
    assert line.count("5000") == 1, f"{path}: the command is expected to name the port 5000 once"
    words = shlex.split(line.replace("5000", "0").replace("file:///srv/registry", storage.as_uri()))
    environment = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    return words, environment


def start_example(
    name: str,
    folder: Path,
    storage: Path,
    *,
    environment: Mapping[str, str] | None = None,
    file_limit_bytes: int | None = None,
) -> Program:
    """Start a file of ``examples/`` by the command that it documents, over the data in ``storage``."""
    command, documented = documented_command(EXAMPLES / name, storage)
    link = folder / "examples"
    if not link.exists():
        link.symlink_to(EXAMPLES)  # the command is for the project's folder
    return Program(
        command,
        folder=folder,
        environment=documented | dict(environment or {}),
        file_limit_bytes=file_limit_bytes,
    )


def _listening_ports(processes: Sequence[int]) -> set[int]:
    """Return the TCP ports of 127.0.0.1 on which one of the processes listens. Source: proc(5), net/tcp."""
    sockets = set()
    for process in processes:
        folder = f"/proc/{process}/fd"
        with contextlib.suppress(OSError):  # it just ended
            for descriptor in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):  # just closed
                    sockets.add(os.readlink(f"{folder}/{descriptor}"))
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        address, _, port = columns[1].partition(":")
        if columns[3] == "0A" and address == "0100007F" and f"socket:[{columns[9]}]" in sockets:
            ports.add(int(port, 16))
    return ports
