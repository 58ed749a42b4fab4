"""A real OpenStack Swift for tests, with its S3 interface. It refuses conditional writes."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from support.programs import PROJECT, TIED, Program, environment_of, eventually, free_port

ACCESS_KEY = "test:tester"
SECRET_KEY = "testsecret"

_PACKAGES = "swift-proxy swift-account swift-container swift-object"
_SERVICES = ("account", "container", "object")
_ATTEMPTS = 5
_COMMAND_S = 60.0

#: Debian's modules are in the Python of the system.
_PYTHON = "/usr/bin/python3"

#: Where that finds the filter of this package.
_TESTS = str(PROJECT / "tests")

#: Makes the ring of each SERVICE:PORT in the current folder.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
for number, argument in enumerate(sys.argv[1:]):
    service, _, port = argument.partition(":")
    device = {"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0, "meta": ""}
    for kind in ("", "replication_"):
        device.update({f"{kind}ip": "127.0.0.1", f"{kind}port": int(port)})
    builder = RingBuilder(4, 1, 0)
    builder.add_dev(device)
    builder.rebalance()
    builder.get_ring().save(f"{service}.ring.gz")
"""

_COMMON = """[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = one
default = yes
"""

_SERVICE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}/etc
devices = {folder}/devices
mount_check = false
user = {user}
workers = 0
log_address = {folder}/none
log_level = ERROR
recon_cache_path = {folder}/cache
[pipeline:main]
pipeline = {service}-server
[app:{service}-server]
use = egg:swift#{service}
"""

_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}/etc
user = {user}
workers = 0
log_address = {folder}/none
log_level = ERROR
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
paste.filter_factory = support.swift_cache:filter_factory
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
min_segment_size = 1
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testsecret .admin
"""


class Swift:
    """A running Swift with one replica; a context manager.

    :param folder: where its data and configuration are; its file system must have extended attributes.
    """

    environment: ClassVar[Mapping[str, str]] = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
    }

    def __init__(self, folder: Path) -> None:
        self.require()
        self._folder = folder
        self._programs: list[Program] = []
        for attempt in range(_ATTEMPTS):
            try:
                self._start()
            except BaseException as error:
                self.stop()
                # another program was faster on one of the ports?
                if not isinstance(error, AssertionError) or attempt == _ATTEMPTS - 1:
                    raise
                continue
            return

    @staticmethod
    def require() -> None:
        """Skip the test if a program is missing."""
        for service in ("proxy", *_SERVICES):
            if not Path(f"/usr/bin/swift-{service}-server").exists():
                pytest.skip(f"needs Swift: apt-get install --no-install-recommends {_PACKAGES}")

    @property
    def url(self) -> str:
        """The endpoint of the S3 interface."""
        return f"http://127.0.0.1:{self._port}"

    def stop(self) -> None:
        """End all processes."""
        while self._programs:
            self._programs.pop().kill()

    def __enter__(self) -> Swift:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("etc", "devices/d1", "cache"):
            (self._folder / name).mkdir(parents=True)
        etc = self._folder / "etc"
        (etc / "swift.conf").write_text(_COMMON)
        ports = {service: free_port() for service in _SERVICES}
        subprocess.run(
            [_PYTHON, "-c", _RINGS, *(f"{service}:{port}" for service, port in ports.items())],
            cwd=etc,
            env=environment_of(self._folder),
            timeout=_COMMAND_S,
            check=True,
        )
        for service, port in ports.items():
            self._serve(service, _SERVICE, port)
        # the proxy uses a server that did not answer once only later
        for service, port in ports.items():
            eventually(lambda port=port: self._listens(port), f"{service}-server of Swift listens")
        self._port = free_port()
        self._serve("proxy", _PROXY, self._port)
        eventually(lambda: self._listens(self._port), "the proxy of Swift listens")

    def _serve(self, service: str, configuration: str, port: int) -> None:
        path = self._folder / "etc" / f"{service}-server.conf"
        path.write_text(
            configuration.format(port=port, folder=self._folder, user=getpass.getuser(), service=service)
        )
        command = [*TIED, _PYTHON, f"/usr/bin/swift-{service}-server", str(path), "-v"]
        self._programs.append(
            Program(command, folder=self._folder, environment={"PYTHONPATH": _TESTS}, listens=False)
        )

    def _listens(self, port: int) -> bool:
        for program in self._programs:
            assert program.is_running(), f"{program.command} ended at once:\n{program.log}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True
