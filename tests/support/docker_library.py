"""The integration tests of docker's library for Python, which run against the fake engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any, Final
from xml.etree import ElementTree

import pytest
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeContainer, FakeEngine, Run

from .docker_library_failures import LEFT_OUT
from .programs import environment_of

#: The files of tests that need no more than the engine simulates.
FILES: Final = (
    "api_client_test.py",
    "api_container_test.py",
    "api_exec_test.py",
    "api_healthcheck_test.py",
    "api_image_test.py",
    "api_network_test.py",
    "api_volume_test.py",
    "client_test.py",
    "errors_test.py",
    "models_containers_test.py",
    "models_images_test.py",
    "models_networks_test.py",
    "models_resources_test.py",
    "models_volumes_test.py",
    "regression_test.py",
)

#: The images that the tests use, of Docker Hub.
_IMAGES: Final = ("alpine:3.10", "alpine:3.3", "alpine:latest", "busybox:latest", "hello-world:latest")

_BUSYBOX: Final = Path("/bin/busybox")

_USERS: Final = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/:/bin/sh\n"

#: How often the end of a run is looked for, in seconds.
_POLL_S: Final = 0.05

_SUITE_S: Final = 600


@contextmanager
def library_engine(folder: Path) -> Iterator[FakeEngine]:
    """Give an engine with the images of the tests. Its containers run busybox, as those of alpine do.

    :param folder: for the files of commands that run.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root to run commands in a folder of their own")
    if not _BUSYBOX.exists():
        pytest.skip("needs busybox: apt-get install busybox-static")
    commands = _Commands(folder)
    with FakeRegistry() as registry:
        for name in _IMAGES:
            registry.add_image(
                f"library/{name}",
                files={"etc/motd": f"{name}\n"},
                json={"config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}},
                api="v2",
            )
        with FakeEngine(version="20.10.24", mirrors={"docker.io": registry.url}) as engine:
            engine.on_run("*", commands.run)
            engine.on_exec("*", commands.run_exec)
            commands.containers = engine.containers
            yield engine


class _Commands:
    """Runs the commands of containers with busybox, each in a folder of its own.

    The folder has the files of the container. What the command wrote is a file of the container afterwards.

    :param folder: for the folders.
    """

    def __init__(self, folder: Path):
        self.containers: Mapping[str, FakeContainer] = {}
        self._folder = folder
        self._template = folder / "template"
        for name in ("bin", "etc", "tmp", "var/opt"):
            (self._template / name).mkdir(parents=True)
        shutil.copy(_BUSYBOX, self._template / "bin" / "busybox")
        (self._template / "etc" / "passwd").write_text(_USERS)
        self._chroot(self._template, "/bin/busybox", "--install", "-s", "/bin")

    def _settings(self, run: Run) -> dict[str, Any]:
        try:
            return self.containers[run.container].settings
        except KeyError:
            # the test removed the container
            return {"Config": {}, "HostConfig": {}}

    @staticmethod
    def _chroot(root: Path, *command: str) -> None:
        subprocess.run(["/usr/sbin/chroot", root, *command], check=True)

    def run(self, run: Run) -> int:
        """Act as a container or a command."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            root = Path(name) / "root"
            subprocess.run(["cp", "-al", self._template, root], check=True)
            for path, content in run.files.items():
                target = root / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            for folder in (run.working_folder, *(self._settings(run)["Config"].get("Volumes") or {})):
                (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            written = _files_of(root)

            def keep() -> None:
                for path, size in _files_of(root).items():
                    if written.get(path) != size:
                        written[path] = size
                        run.write_file(f"/{path.relative_to(root)}", path.read_bytes())

            code = self._run_in(root, run, keep)
            keep()
        return code

    def run_exec(self, run: Run) -> int:
        """Act as a command. A program that is missing has the code 126, as docker says it."""
        code = self.run(run)
        is_missing = not (self._template / "bin" / Path(run.command[0]).name).is_symlink()
        return 126 if code == 127 and is_missing else code

    def _run_in(self, root: Path, run: Run, keep: Callable[[], None]) -> int:
        groups = self._settings(run)["HostConfig"].get("GroupAdd")
        options = [f"--userspec={run.user}"] if run.user else []
        options += [f"--groups={','.join(groups)}"] if groups else []
        process = subprocess.Popen(
            [
                *("/usr/sbin/chroot", *options, root, "/bin/sh", "-c", 'cd "$0" && exec "$@"'),
                # top needs the processes of a system
                *(run.working_folder or "/", *(["sleep", "9999"] if run.command == ["top"] else run.command)),
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **run.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        threads = [
            Thread(target=_copy, args=(process.stdout, run.out)),
            Thread(target=_copy, args=(process.stderr, run.err)),
            Thread(target=_feed, args=(run, process.stdin)),
        ]
        for thread in threads:
            thread.start()
        while process.poll() is None and not run.is_stopped:
            run.wait(_POLL_S)
            keep()
        process.kill()
        code = process.wait()
        threads[0].join()
        threads[1].join()
        return code if code >= 0 else 128 - code


def _files_of(root: Path) -> dict[Path, int]:
    """Return the files of a folder with their sizes."""
    return {path: path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def _copy(stream: IO[bytes], write: Callable[[bytes], None]) -> None:
    with stream:
        while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]  # a buffered reader has it
            write(chunk)


def _feed(run: Run, stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError), stream:
        for chunk in run.input():
            stream.write(chunk)
            stream.flush()


def failed_tests(engine: FakeEngine, python: Path, source: Path, folder: Path) -> set[str]:
    """Run the tests that need no more than the engine simulates, and return the names of those that failed.

    :param source: the folder of the source distribution.
    :param folder: the HOME of the tests.
    """
    report = folder / "report.xml"
    left_out = [f"--deselect=tests/integration/{name}" for names in LEFT_OUT.values() for name in names]
    done = subprocess.run(
        [
            *(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=20", "--tb=short"),
            *(f"--junitxml={report}", "-W", "ignore", *left_out),
            *(f"tests/integration/{name}" for name in FILES),
        ],
        cwd=source,
        env=environment_of(folder) | engine.environ | {"DOCKER_TEST_API_VERSION": "1.41"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SUITE_S,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    print(done.stdout)
    cases = ElementTree.parse(report).iter("testcase")
    return {
        f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
