"""Real programs that speak the distribution API, each with a store of its own: they push, pull and log in."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from .programs import PATIENCE_S, Program, environment_of, eventually


def program(name: str, package: str) -> str:
    """Return the path of a program of the system."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install {package}")
    return found


class OciClient(ABC):
    """A client with an empty store in a folder.

    :param folder: has a short name, because podman limits the length.
    """

    name: str

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, *command: str, is_right: bool = True) -> str:
        """Run a program to its end and return its output."""
        done = subprocess.run(
            command,
            env=environment_of(self.folder),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode == 0) is is_right, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout if is_right else done.stdout + done.stderr

    @abstractmethod
    def load(self, archive: Path, name: str) -> None:
        """Take an image into the store, from an archive of ``docker save`` in which it has this name."""

    @abstractmethod
    def push(self, name: str, reference: str) -> None:
        """Push an image of the store to ``HOST/REPOSITORY:TAG``."""

    @abstractmethod
    def pull(self, reference: str, *, is_right: bool = True) -> str:
        """Pull an image and return the digest of its config, without ``sha256:``."""

    def login(self, host: str, username: str, password: str, *, is_right: bool) -> None:
        """Log in, or see that the registry rejects the password."""
        raise NotImplementedError


class _Containers(OciClient):
    """podman and buildah, which have the same options."""

    name = "podman"

    @property
    def _command(self) -> list[str]:
        place = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        return [program(self.name, self.name), "--storage-driver", "vfs", *place]

    @property
    def _insecure(self) -> list[str]:
        return ["--tls-verify=false", "--authfile", str(self.folder / "auth.json")]

    def load(self, archive: Path, name: str) -> None:
        self.run(*self._command, "pull", f"docker-archive:{archive}")

    def push(self, name: str, reference: str) -> None:
        self._write_no_logins()
        self.run(*self._command, "push", *self._insecure, name, f"docker://{reference}")

    def pull(self, reference: str, *, is_right: bool = True) -> str:
        self._write_no_logins()
        text = self.run(*self._command, "pull", "-q", *self._insecure, reference, is_right=is_right)
        return text.strip().splitlines()[-1] if is_right else text

    def login(self, host: str, username: str, password: str, *, is_right: bool) -> None:
        options = [*self._insecure, "-u", username, "-p", password]
        self.run(*self._command, "login", *options, host, is_right=is_right)

    def _write_no_logins(self) -> None:
        file = self.folder / "auth.json"
        if not file.exists():
            file.write_text("{}")


class Podman(_Containers):
    """podman."""


class Buildah(_Containers):
    """buildah."""

    name = "buildah"


class Skopeo(OciClient):
    """skopeo, whose store is a folder of OCI layouts."""

    name = "skopeo"

    @property
    def _options(self) -> list[str]:
        return ["--authfile", str(self.folder / "auth.json")]

    def _skopeo(self, *arguments: str, is_right: bool = True) -> str:
        file = self.folder / "auth.json"
        if not file.exists():
            file.write_text("{}")
        return self.run(program("skopeo", "skopeo"), *arguments, is_right=is_right)

    def load(self, archive: Path, name: str) -> None:
        self._skopeo("copy", "-q", f"docker-archive:{archive}", f"oci:{self.folder}/own:{name}")

    def push(self, name: str, reference: str) -> None:
        source = f"oci:{self.folder}/own:{name}"
        self._skopeo("copy", "-q", *self._options, "--dest-tls-verify=false", source, f"docker://{reference}")

    def pull(self, reference: str, *, is_right: bool = True) -> str:
        target = self.folder / f"pulled-{os.urandom(4).hex()}"
        text = self._skopeo(
            "copy", "-q", *self._options, "--src-tls-verify=false", f"docker://{reference}", f"dir:{target}",
            is_right=is_right,
        )  # fmt: skip
        return _config_in(target / "manifest.json") if is_right else text

    def login(self, host: str, username: str, password: str, *, is_right: bool) -> None:
        options = [*self._options, "--tls-verify=false", "-u", username, "-p", password]
        self._skopeo("login", *options, host, is_right=is_right)

    def copy(self, source: str, target: str) -> None:
        """Copy between two repositories of registries, with all platforms."""
        options = ["--all", "--src-tls-verify=false", "--dest-tls-verify=false", *self._options]
        self._skopeo("copy", "-q", *options, f"docker://{source}", f"docker://{target}")

    def inspect(self, reference: str) -> dict[str, object]:
        """Return what skopeo tells of a tag."""
        text = self._skopeo("inspect", *self._options, "--tls-verify=false", f"docker://{reference}")
        found: dict[str, object] = json.loads(text)
        return found

    def tags(self, repository: str) -> list[str]:
        """Return the tags of ``HOST/REPOSITORY``."""
        text = self._skopeo("list-tags", *self._options, "--tls-verify=false", f"docker://{repository}")
        return list(json.loads(text)["Tags"])

    def delete(self, reference: str) -> None:
        """Delete the manifest of a tag."""
        self._skopeo("delete", *self._options, "--tls-verify=false", f"docker://{reference}")


def _config_in(manifest: Path) -> str:
    digest: str = json.loads(manifest.read_text())["config"]["digest"]
    return digest.removeprefix("sha256:")


class Docker(OciClient):
    """The docker engine of the system, started for the test. It touches nothing of the machine."""

    name = "docker"

    def __init__(self, folder: Path, address: str):
        super().__init__(folder)
        self.address = address

    def _docker(self, *arguments: str, is_right: bool = True) -> str:
        return self.run(program("docker", "docker.io"), "--host", self.address, *arguments, is_right=is_right)

    def load(self, archive: Path, name: str) -> None:
        self._docker("load", "-q", "-i", str(archive))

    def push(self, name: str, reference: str) -> None:
        self.push_loudly(name, reference)

    def push_loudly(self, name: str, reference: str) -> str:
        """Push an image as :meth:`push` does, and return what docker says of each layer."""
        self._docker("tag", name, reference)
        return self._docker("push", reference)

    def pull(self, reference: str, *, is_right: bool = True) -> str:
        with suppress(AssertionError):
            self._docker("rmi", reference)
        text = self._docker("pull", "-q", reference, is_right=is_right)
        if not is_right:
            return text
        return self._docker("inspect", "--format", "{{.Id}}", reference).strip().removeprefix("sha256:")

    def login(self, host: str, username: str, password: str, *, is_right: bool) -> None:
        self._docker("login", "-u", username, "-p", password, host, is_right=is_right)


class Ctr(OciClient):
    """containerd's ctr. It has no log-in: each command gets the password."""

    name = "ctr"

    def __init__(self, folder: Path, address: str):
        super().__init__(folder)
        self.address = address
        self._user: list[str] = []

    def _ctr(self, *arguments: str, is_right: bool = True) -> str:
        return self.run(program("ctr", "containerd"), "-a", self.address, *arguments, is_right=is_right)

    def load(self, archive: Path, name: str) -> None:
        self._ctr("images", "import", "--snapshotter", "native", str(archive))

    def push(self, name: str, reference: str) -> None:
        full = next(
            line.split()[0]
            for line in self._ctr("images", "ls").splitlines()
            if line.split()[0].endswith(name)
        )
        self._ctr("images", "push", "--plain-http", *self._user, reference, full)

    def pull(self, reference: str, *, is_right: bool = True) -> str:
        options = ["--plain-http", *self._user]
        text = self._ctr("content", "fetch", *options, reference, is_right=is_right)
        if not is_right:
            return text
        # the content is there now; unpacking needs its snapshots, which proves that the layers are right
        self._ctr("images", "pull", *options, "--snapshotter", "native", reference)
        for line in self._ctr("images", "ls", f"name=={reference}").splitlines()[1:]:
            manifest = json.loads(self._ctr("content", "get", line.split()[2]))
            digest: str = manifest["config"]["digest"]
            return digest.removeprefix("sha256:")
        raise AssertionError(f"ctr does not list {reference}")

    def login(self, host: str, username: str, password: str, *, is_right: bool) -> None:
        self._user = ["--user", f"{username}:{password}"]


def _listens(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(address) == 0


@contextmanager
def docker_engine(folder: Path) -> Iterator[str]:
    """Start docker's engine; give its address."""
    command = [
        program("dockerd", "docker.io"),
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--host=unix://{folder}/socket",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
        "--storage-driver=vfs",
    ]
    with Program(command, folder=folder, listens=False) as running:

        def answers() -> bool:
            assert running.is_running(), running.log
            if not _listens(f"{folder}/socket"):
                return False
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(f"{folder}/socket")
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(100)

        eventually(answers, "docker's engine answers")
        yield f"unix://{folder}/socket"


@contextmanager
def containerd(folder: Path) -> Iterator[str]:
    """Start containerd; give the path of its socket."""
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{folder}/s.sock"\n'
    )
    command = [program("containerd", "containerd"), "--config", str(config)]
    with Program(command, folder=folder, listens=False) as running:

        def answers() -> bool:
            assert running.is_running(), running.log
            return _listens(f"{folder}/s.sock")

        eventually(answers, "containerd answers")
        yield f"{folder}/s.sock"


@contextmanager
def all_clients(folder: Path) -> Iterator[Sequence[OciClient]]:
    """Give one of each client. The engines are ended afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root to run docker's engine and containerd")
    with ExitStack() as stack:
        for name in ("d", "c"):
            (folder / name).mkdir()
        engine = stack.enter_context(docker_engine(folder / "d"))
        daemon = stack.enter_context(containerd(folder / "c"))
        yield (
            Skopeo(folder / "skopeo"),
            Podman(folder / "p"),
            Buildah(folder / "b"),
            Docker(folder / "docker", engine),
            Ctr(folder / "ctr", daemon),
        )
