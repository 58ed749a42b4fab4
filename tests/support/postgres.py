"""A real PostgreSQL server of the tests: one for a test session, and a new database for each test.

It runs as the user postgres if the tests run as root, because ``initdb`` refuses root. The workers of
pytest-xdist share one.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}

#: How long it may take to start or to stop, in seconds.
_PATIENCE_S = 60


def _programs() -> Path:
    """Return the folder of the server's programs, the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("needs PostgreSQL: apt-get install --no-install-recommends postgresql")
    return found[-1].parent


class Postgres:
    """A server with its data in a folder. It listens on a Unix socket there.

    :param folder: a path that is short enough for a socket, and that the user postgres may enter.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._programs = _programs()
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.folder / "data"

    def make(self) -> None:
        """Make the data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user, self._user)
        options = ["--auth=trust", "--username=v1registry", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self.data), *options)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = " ".join(f"-c {key}='{value}'" for key, value in _SETTINGS.items())
        settings += f" -k {self.folder}"
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-t", str(_PATIENCE_S), "-l", str(self.folder / "log"),
            "-o", settings, "start",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it.

        :param mode: ``fast`` ends its connections; ``immediate`` is as a crash.
        """
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", str(_PATIENCE_S), "-m", mode, "stop")

    @property
    def pids(self) -> list[int]:
        """The ids of its processes."""
        first = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        found = [first]
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == first:
                        found.append(int(entry.name))
        return found

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let all of its processes stand still: it takes connections and never answers."""
        pids = self.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://v1registry@/{database}?host={self.folder}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Make an empty database, and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, even if connections use it."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", self._user, "--", *command]
        # a file, because a server that is started keeps the pipes of its starter
        log = self.folder / f"{program}.log"
        with log.open("ab") as output:
            code = subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            ).returncode
        assert code == 0, f"{program}: {log.read_text()}"


@contextmanager
def own_server() -> Iterator[Postgres]:
    """Give a server that the test may stop and kill."""
    server = Postgres(Path(f"/tmp/v1registry-pg-{secrets.token_hex(4)}"))
    try:
        server.make()
        server.start()
        yield server
    finally:
        with suppress(AssertionError):
            server.stop("immediate")
        shutil.rmtree(server.folder, ignore_errors=True)


@contextmanager
def shared_server(session_folder: Path) -> Iterator[Postgres]:
    """Give the server of the test session. The first worker starts it, and the last one stops it.

    :param session_folder: the same for all workers of the session.
    """
    lock_path, users_path = session_folder / "postgres.lock", session_folder / "postgres.users"

    def count(change: int) -> int:
        """Change how many workers use it, and return how many did before."""
        before = int(users_path.read_text()) if users_path.exists() else 0
        users_path.write_text(str(before + change))
        return before

    with lock_path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder_path = session_folder / "postgres.folder"
        if count(0) == 0:
            folder_path.write_text(f"/tmp/v1registry-pg-{secrets.token_hex(4)}")
        server = Postgres(Path(folder_path.read_text()))
        if count(0) == 0:
            server.make()
            server.start()
        count(1)
    try:
        yield server
    finally:
        with lock_path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if count(-1) == 1:
                server.stop("immediate")
                shutil.rmtree(server.folder, ignore_errors=True)


def wait_for_connections(server: Postgres, database: str, count: int) -> None:
    """Wait until so many connections to a database are open.

    :raises AssertionError: there were more or less for too long.
    """
    until_s = time.monotonic() + _PATIENCE_S
    statement = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    while (found := server.execute(statement)[0][0]) != count:
        assert time.monotonic() < until_s, f"{found} connections, not {count}"
        time.sleep(0.02)
