"""A real Ceph for tests: a monitor, OSDs and an S3 gateway on free ports of 127.0.0.1, in a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.error import URLError

import pytest

from support.programs import TIED, Program, environment_of, eventually, free_port

ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret"
REGION = "us-east-1"

_PACKAGES = "ceph-mon ceph-osd radosgw ceph-common"
_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "ceph", "ceph-authtool", "monmaptool", "radosgw-admin")

_ATTEMPTS = 5

#: How long one command of the set-up may take, in seconds.
_COMMAND_S = 90.0

#: The state of a group of objects, told by the OSD that is responsible for it.
_CLEAN = "Started/Primary/Active/Clean"

_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
keyring = {folder}/keyring
osd pool default size = {replicas}
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
# logs of failures alone: the others take a third of the gateway's time
debug rgw = 0/0
debug osd = 0/0
debug ms = 0/0
debug rados = 0/0
debug objecter = 0/0
debug auth = 0/0
debug monc = 0/0
{objects}
osd data = {folder}/osd$id
mon data = {folder}/mon
log file = {folder}/log/$name.log
admin socket = {sockets}/$name.asok
run dir = {folder}
mon cluster log file = {folder}/log/cluster.log
crash dir = {folder}/log
[client.rgw]
rgw data = {folder}/rgw
rgw lifecycle work time = 00:00-23:59
"""

#: Objects are in memory: fast, but an OSD that is killed has lost them. The log of changes, for replicas that
#: missed some, is short: it would grow to gigabytes.
_IN_MEMORY = """osd objectstore = memstore
memstore device bytes = 8589934592
osd target pg log entries per osd = 10000"""

#: Objects are in a file: an OSD that is killed has them after its restart. OSDs that do not answer are marked
#: down soon, as tests do not wait for minutes.
_IN_FILES = """osd objectstore = bluestore
bluestore block size = 2147483648
bluestore block db create = false
bluestore cache autotune = false
bluestore cache size = 67108864
osd memory target = 939524096
osd op num shards = 2
mon osd min down reporters = 1
osd heartbeat interval = 1
osd heartbeat grace = 3"""


class Ceph:
    """A running Ceph; a context manager.

    :param folder: where its data, logs and keys are.
    :param osds: how many processes keep objects.
    :param replicas: how many of them keep the same object.
    :param durable: whether an object survives that its OSD is killed; slower.
    """

    environment: ClassVar[Mapping[str, str]] = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
    }

    def __init__(self, folder: Path, *, osds: int = 1, replicas: int = 1, durable: bool = False) -> None:
        self.require()
        self._folder = folder
        self._replicas = replicas
        self._durable = durable
        self._programs: dict[str, Program] = {}
        # the path of a UNIX socket has at most 107 characters
        self._sockets = Path("/tmp") / f"ceph-{uuid.uuid4().hex[:12]}"
        for name in ("mon", "rgw", "log"):
            (folder / name).mkdir(parents=True)
        self._sockets.mkdir()
        try:
            self._start_monitor()
            for number in range(osds):
                self._make_osd(number)
            eventually(lambda: self._up_osds() == osds, "all OSDs are up")
            self.port = 0
            self.start_gateway()
            self._command(
                "radosgw-admin", "-n", "client.admin", "user", "create", "--uid=test", "--display-name=test",
                f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}", "--max-buckets=0",
            )  # fmt: skip
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def require() -> None:
        """Skip the test if a program is missing."""
        for name in _PROGRAMS:
            if shutil.which(name) is None:
                pytest.skip(f"needs {name}: apt-get install --no-install-recommends {_PACKAGES}")

    @property
    def url(self) -> str:
        """The endpoint of the S3 gateway."""
        return f"http://127.0.0.1:{self.port}"

    def start_gateway(self) -> None:
        """Start the S3 gateway, on the port that it had, if it had one."""
        # without tcp_nodelay each answer with a body takes 40 ms more
        program = self._start(
            "rgw", "radosgw", "-n", "client.rgw", "-f",
            f"--rgw-frontends=beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1", listens=True,
        )  # fmt: skip
        self.port = program.port
        eventually(self._answers, "the S3 gateway answers")

    def kill_gateway(self) -> None:
        """End the S3 gateway at once, as a power cut would."""
        self._programs.pop("rgw").kill()

    def start_osd(self, number: int) -> None:
        """Start an OSD again, with the objects that it had."""
        self._start(f"osd{number}", "ceph-osd", "-i", str(number), "-f")

    def kill_osd(self, number: int) -> None:
        """End an OSD at once, as a power cut would."""
        self._programs.pop(f"osd{number}").kill()

    def is_recovered(self) -> bool:
        """Tell whether each object is on as many OSDs as configured.

        Before that, an object may be on one OSD only. While that OSD is down, requests for the object wait.
        """
        clean = set()
        for name in list(self._programs):
            if name.startswith("osd"):
                daemon = ("ceph", "daemon", f"osd.{name.removeprefix('osd')}")
                # an OSD that just started does not know these commands yet
                status = self._command(*daemon, "status", may_fail=True)
                if not status or json.loads(status)["state"] != "active":
                    return False
                groups = json.loads(self._command(*daemon, "dump_pgstate_history"))["pgs"]
                clean |= {group["pg"] for group in groups if group["currently"] == _CLEAN}
        pools = json.loads(self._command("ceph", "osd", "dump", "--format=json"))["pools"]
        return len(clean) == sum(pool["pg_num"] for pool in pools)

    def stop(self) -> None:
        """End all processes. Data is not kept in order: the folder is of no use afterwards."""
        for program in reversed(list(self._programs.values())):
            program.kill()
        self._programs.clear()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def __enter__(self) -> Ceph:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start_monitor(self) -> None:
        """Make the keys and the monitor's data, and start it on a free port: it does not take port 0."""
        fsid = str(uuid.uuid4())
        self._make_keys(osds=8)
        for attempt in range(_ATTEMPTS):
            port = free_port()
            (self._folder / "ceph.conf").write_text(
                _CONFIGURATION.format(
                    fsid=fsid,
                    mon_port=port,
                    folder=self._folder,
                    sockets=self._sockets,
                    replicas=self._replicas,
                    objects=_IN_FILES if self._durable else _IN_MEMORY,
                )
            )
            shutil.rmtree(self._folder / "mon", ignore_errors=True)
            (self._folder / "mon").mkdir()
            address = f"[v2:127.0.0.1:{port}]"
            monmap = str(self._folder / "monmap")
            self._run(["monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, monmap])
            self._command("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", self._keyring)
            try:
                self._start("mon", "ceph-mon", "-i", "a", "-f", listens=True)
            except AssertionError:  # another program was faster on that port
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return

    def _make_keys(self, osds: int) -> None:
        # with "auth = none" the gateway never gets its first answer
        grants = {
            "mon.": ["--cap", "mon", "allow *"],
            "client.admin": ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"],
            "client.rgw": ["--cap", "mon", "allow rw", "--cap", "osd", "allow rwx"],
        }
        for number in range(osds):
            grants[f"osd.{number}"] = ["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"]
        create = ["-C"]
        for name, caps in grants.items():
            self._run(["ceph-authtool", *create, self._keyring, "--gen-key", "-n", name, *caps])
            create = []

    def _make_osd(self, number: int) -> None:
        # the monitor ignores an OSD whose data was made with another id
        osd_id = str(uuid.uuid4())
        (self._folder / f"osd{number}").mkdir()
        self._command("ceph", "--connect-timeout", "60", "osd", "new", osd_id)
        self._command("ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", osd_id, "--no-mon-config")
        self.start_osd(number)

    def _up_osds(self) -> int:
        # such as: 3 osds: 3 up (since 1s), 3 in (since 4s); epoch: e9
        words = self._command("ceph", "--connect-timeout", "20", "osd", "stat").split()
        return int(words[words.index("up") - 1]) if "up" in words else 0

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except (URLError, OSError):
            assert self._programs["rgw"].is_running(), self._programs["rgw"].log
            return False

    def _start(self, name: str, program: str, *arguments: str, listens: bool = False) -> Program:
        command = [*TIED, program, "-c", str(self._folder / "ceph.conf"), *arguments]
        started = Program(command, folder=self._folder / "log", listens=listens)
        self._programs[name] = started
        return started

    def _command(self, program: str, *arguments: str, may_fail: bool = False) -> str:
        command = [program, "-c", str(self._folder / "ceph.conf"), *arguments]
        return self._run(command, may_fail=may_fail)

    def _run(self, command: Sequence[str], *, may_fail: bool = False) -> str:
        """Return what a command printed; nothing if it failed and may."""
        done = subprocess.run(
            command,
            env=environment_of(self._folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        if done.returncode != 0 and may_fail:
            return ""
        assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def _keyring(self) -> str:
        return os.fspath(self._folder / "keyring")
