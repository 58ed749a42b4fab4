"""A real nginx with a configuration of examples/servers/ in front of servers of a test."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
import trustme

from support.programs import EXAMPLES, Program, free_port

_MAIN: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/v1registry.conf;
}}
"""


@dataclass
class Nginx:
    """nginx that ends TLS with a certificate for ``localhost``."""

    program: Program
    session: requests.Session  #: of a client that trusts the certificate
    ca_file: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.program.port

    @property
    def url(self) -> str:
        """The base of the URLs of clients."""
        return f"https://localhost:{self.port}"


@contextlib.contextmanager
def started_nginx(name: str, folder: Path, replaced: Mapping[str, str]) -> Iterator[Nginx]:
    """Start nginx, and end it.

    :param name: the file in examples/servers/.
    :param folder: is made; nginx writes nowhere else.
    :param replaced: what stands in the file -> what is there in the test. The port and the certificate are
        replaced in any case.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program is not None, "needs nginx: apt-get install nginx-light"
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    text = (EXAMPLES / "servers" / name).read_text("utf-8")
    always = {
        "listen 443 ssl;": f"listen 127.0.0.1:{free_port()} ssl;",
        "/etc/ssl/registry.pem": str(folder / "cert.pem"),
        "/etc/ssl/registry.key": str(folder / "key.pem"),
    }
    for before, after in {**always, **replaced}.items():
        assert before in text, f"{name} does not have {before!r}"
        text = text.replace(before, after)
    (folder / "v1registry.conf").write_text(text, "utf-8")
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder), "utf-8")
    command = [
        program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"),
    ]  # fmt: skip
    with Program(command, folder=folder) as running, requests.Session() as session:
        session.trust_env = False
        session.verify = str(folder / "ca.pem")
        yield Nginx(running, session, folder / "ca.pem")
