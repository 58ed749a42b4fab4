"""How to start the registry over a folder under every WSGI server, as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.engine_client import EngineClient
from support.programs import Program, start_example

#: wsgiref is what Python brings; it does not decode chunked bodies, and nobody should serve with it.
_WSGIREF = """
from wsgiref.simple_server import make_server
from v1registry import Registry
make_server("127.0.0.1", 0, Registry.from_environment()).serve_forever()
"""


@dataclass(frozen=True)
class ServerKind:
    """How to start one of the servers."""

    name: str
    example: str | None = None  #: the file in examples/ that documents the command
    command: tuple[str, ...] = ()  #: where there is no such file
    keeps_alive: bool = True  #: whether it takes a second request on a connection
    takes_requests_ahead: bool = True  #: whether it does so before the answer to the first, whatever that is
    streams_uploads: bool = True  #: whether the application sees an upload while it comes in

    def start(
        self,
        folder: Path,
        storage: Path,
        *,
        settings: Mapping[str, str] | None = None,
        file_limit_bytes: int | None = None,
    ) -> RunningServer:
        """Start it over ``storage``; ``folder`` is its own. ``settings`` are such as ``V1REGISTRY_V2``."""
        folder.mkdir(exist_ok=True)
        if self.example is not None:
            program = start_example(
                self.example, folder, storage, environment=settings, file_limit_bytes=file_limit_bytes
            )
        else:
            program = Program(
                self.command,
                folder=folder,
                environment={"V1REGISTRY_STORAGE": storage.as_uri(), **(settings or {})},
                file_limit_bytes=file_limit_bytes,
            )
        return RunningServer(self, program, storage)


SERVE = ServerKind("serve", command=("v1registry", "serve", "--port", "0"))
GRANIAN = ServerKind("granian", example="servers/granian.sh")
GUNICORN = ServerKind("gunicorn", example="servers/gunicorn.conf.py")
WAITRESS = ServerKind(
    "waitress", example="servers/waitress_server.py", takes_requests_ahead=False, streams_uploads=False
)
CHEROOT = ServerKind("cheroot", example="servers/cheroot_server.py")
UWSGI = ServerKind("uwsgi", example="servers/uwsgi.ini", keeps_alive=False, takes_requests_ahead=False)
WSGIREF = ServerKind(
    "wsgiref", command=(sys.executable, "-c", _WSGIREF), keeps_alive=False, takes_requests_ahead=False
)

#: Those that an engine can push to.
SERVERS = (SERVE, GRANIAN, GUNICORN, WAITRESS, CHEROOT, UWSGI)


def need(kind: ServerKind) -> None:
    """Skip where the server's program is missing."""
    if kind is UWSGI:
        if shutil.which("uwsgi", path=Path(sys.executable).parent) is None:
            pytest.skip(
                "needs uWSGI, which is compiled when it is installed: pip install 'v1registry[uwsgi]'"
            )
    elif kind is not WSGIREF:
        package = "gunicorn" if kind is SERVE else kind.name
        assert importlib.util.find_spec(package), f"{package} belongs to the extra test"


@dataclass
class RunningServer:
    """A registry that is being served."""

    kind: ServerKind
    program: Program
    storage: Path  #: the folder of the registry's data

    def client(self, *, chunked: bool = True) -> EngineClient:
        return EngineClient(self.program.host, chunked=chunked)

    def unfinished(self) -> list[Path]:
        """Return the temporary files of the registry: what is being written, or was left."""
        # unlike rglob, walk passes over folders that vanish meanwhile
        return [
            Path(folder, name)
            for folder, _, names in os.walk(self.storage)
            for name in names
            if name.startswith(".") and name.endswith(".tmp")
        ]
