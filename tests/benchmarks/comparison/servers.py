"""The servers that are compared, each in a folder and on a port of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .http import Connection

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent.parent
WORKERS = 2

OURS = "v1registry"
ACCOUNTS = "v1registry, accounts"
BARE = "bare function"
OLD = "docker-registry 0.9.1"
NEW = "docker-registry 2.8"
NGINX = "nginx"

USER, PASSWORD = "mira", "benchmark-1"

#: The server that ``v1registry serve`` runs, with an application that does the least.
_BARE = """
import socket
from comparison.bare_application import application
from v1registry.cli import serve_gunicorn
listener = socket.create_server(("127.0.0.1", {port}), backlog=2048)
serve_gunicorn.run(lambda: application, listener=listener.detach(), workers={workers}, most_bodies=256,
    body_timeout_s=10, certificate=None, key=None, is_verbose=False)
"""

_NGINX = """
daemon off; user root; worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; sendfile_max_chunk 2m; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port} backlog=511; root {folder}/data;
    location = /v1/_ping {{ default_type application/json; return 200 'true'; }}
  }}
}}
"""

_REGISTRY_2 = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@dataclass
class Server:
    """A server that can be started and stopped, and keeps its data between."""

    name: str
    folder: Path
    command: Sequence[str]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    ping: str = "/v1/_ping"
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The folder of the data, in the layout of docker-registry for servers of v1."""
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """The id of the main process."""
        assert self.process is not None, f"{self.name} does not run"
        return self.process.pid

    def start(self, timeout_s: float = 900.0) -> float:
        """Start the server; return the seconds until its first answer."""
        environment = {**os.environ, **self.environment}
        began_s = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command), env=environment, cwd=self.folder, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        while time.monotonic() < began_s + timeout_s:
            if self.process.poll() is not None:
                break
            connection = Connection(self.port)
            try:
                connection.request("GET", self.ping, expected=(200, 401))
            except (OSError, EOFError):
                time.sleep(0.002)
                continue
            finally:
                connection.close()
            return time.monotonic() - began_s
        raise RuntimeError(
            f"{self.name} does not answer: {(self.folder / 'log').read_text('utf-8', 'replace')}"
        )

    def stop(self) -> None:
        """End the server and all its processes."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def forget(self) -> None:
        """Delete the data."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir()


class Servers:
    """Makes servers below one folder.

    :param peers: the folder of docker-registry 0.9.1, which is installed there if it is missing.
    """

    def __init__(self, work: Path, peers: Path):
        self._work = work
        self._peers = peers

    def make(self, name: str, purpose: str) -> Server:
        """Return a server with an empty folder of data, not started.

        :raises LookupError: a program is not installed.
        """
        return _MAKERS[name](self, self._folder(name, purpose), _free_port())

    def over(self, name: str, storage: str) -> Server:
        """Return ours over a storage, not started.

        :param name: of the server.
        :param storage: the setting; empty for a new folder.
        """
        server = self.ours(self._folder(name, "storage"), _free_port())
        if storage:
            command = list(server.command)
            command[command.index("--storage") + 1] = storage
            server.command = command
        server.name = name
        return server

    def _folder(self, name: str, purpose: str) -> Path:
        folder = self._work / f"{purpose}-{name.replace(' ', '-').replace(',', '')}"
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("data", "tmp"):
            (folder / part).mkdir(parents=True)
        return folder

    def ours(self, folder: Path, port: int, *, accounts: bool = False) -> Server:
        """Return ours under its own server."""
        executable = Path(sys.executable).parent / "v1registry"
        storage = f"file://{folder}/data"
        command = [str(executable), "serve", "--storage", storage, "--port", str(port)]
        command += ["--workers", str(WORKERS)]
        if accounts:
            command += ["--auth", "users:"]
            subprocess.run(
                [str(executable), "user", "add", USER, "--storage", storage, "--email", "mira@example.com",
                 "--password-stdin"],
                input=PASSWORD.encode(), check=True, capture_output=True,
            )  # fmt: skip
        return Server(ACCOUNTS if accounts else OURS, folder, command, port)

    def with_accounts(self, folder: Path, port: int) -> Server:
        """Return ours with accounts and one user."""
        return self.ours(folder, port, accounts=True)

    def bare(self, folder: Path, port: int) -> Server:
        """Return the bare function under the server of ours."""
        code = _BARE.format(port=port, workers=WORKERS)
        paths = os.pathsep.join([str(HERE.parent), str(PROJECT)])
        environment = {"BARE_FOLDER": str(folder / "data"), "PYTHONPATH": paths}
        return Server(BARE, folder, [sys.executable, "-c", code], port, environment)

    def old(self, folder: Path, port: int) -> Server:
        """Return docker-registry 0.9.1 at its best: two gevent workers, no restarts, no access log."""
        launcher = self._peers / "serve"
        if not launcher.exists():
            script = PROJECT / "tests" / "peers" / "install_docker_registry.sh"
            subprocess.run(["bash", str(script), str(self._peers)], check=True)
        python = launcher.read_text().split("exec '")[1].split("'")[0]
        packages = self._peers / "packages"
        if not (packages / "sqlalchemy").exists():
            install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
            subprocess.run([*install, "SQLAlchemy==0.9.4"], check=True)
        command = [python, "-m", "gunicorn.app.wsgiapp", "-k", "gevent", "-w", str(WORKERS), "-t", "3600"]
        command += ["--preload", "-b", f"127.0.0.1:{port}", "docker_registry.wsgi:application"]
        environment = {
            "PYTHONPATH": os.pathsep.join([str(HERE / "python27"), str(packages)]),
            "SETTINGS_FLAVOR": "local", "DOCKER_REGISTRY_CONFIG": "config_sample.yml", "LOGLEVEL": "warning",
            "STORAGE_PATH": str(folder / "data"), "SEARCH_BACKEND": "sqlalchemy",
            "SQLALCHEMY_INDEX_DATABASE": f"sqlite:///{folder}/search.db",
        }  # fmt: skip
        return Server(OLD, folder, command, port, environment)

    def new(self, folder: Path, port: int) -> Server:
        """Return Debian's docker-registry 2.8."""
        (folder / "config.yml").write_text(_REGISTRY_2.format(folder=folder, port=port))
        command = [_program("docker-registry"), "serve", str(folder / "config.yml")]
        environment = {"OTEL_TRACES_EXPORTER": "none"}
        return Server(NEW, folder, command, port, environment, ping="/v2/")

    def nginx(self, folder: Path, port: int) -> Server:
        """Return nginx with static files."""
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, workers=WORKERS))
        command = [_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        return Server(NGINX, folder, command, port)


_MAKERS = {
    OURS: Servers.ours,
    ACCOUNTS: Servers.with_accounts,
    BARE: Servers.bare,
    OLD: Servers.old,
    NEW: Servers.new,
    NGINX: Servers.nginx,
}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        raise LookupError(f"{name} is not installed; Debian 12 has it")
    return found


@contextlib.contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """Start servers, and at the end stop them and delete what they stored."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)
