"""What the machine can do: SHA-256, the disk, the loopback."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import threading
import time
from pathlib import Path

from .http import MIB
from .results import Results

MACHINE = "machine"


def measure(work: Path, results: Results, rounds: int) -> None:
    """Measure the limits."""
    for _ in range(rounds):
        results.add("SHA-256 of 128 KiB pieces", MACHINE, mb_per_s=_hashed())
        results.add("write of 1,024 MiB with fsync", MACHINE, mb_per_s=_written(work))
        results.add("loopback", MACHINE, mb_per_s=_sent())


def _hashed(total: int = 1 << 30) -> float:
    piece, digest, began_s = bytes(128 << 10), hashlib.sha256(), time.monotonic()
    for _ in range(total // len(piece)):
        digest.update(piece)
    return total / 1e6 / (time.monotonic() - began_s)


def _written(work: Path, total: int = 1 << 30) -> float:
    path, piece = work / "written", os.urandom(MIB)
    os.sync()
    began_s = time.monotonic()
    with path.open("wb", buffering=0) as file:
        for _ in range(total // MIB):
            file.write(piece)
        os.fsync(file.fileno())
    taken_s = time.monotonic() - began_s
    path.unlink()
    return total / 1e6 / taken_s


def _sent(total: int = 2 << 30) -> float:
    piece, buffer = bytes(128 << 10), bytearray(MIB)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> None:
            with socket.create_connection(listener.getsockname()) as sender:
                for _ in range(total // len(piece)):
                    sender.sendall(piece)

        thread = threading.Thread(target=send)
        thread.start()
        receiver, _ = listener.accept()
        began_s = time.monotonic()
        with receiver:
            while receiver.recv_into(buffer):
                pass
        thread.join()
    return total / 1e6 / (time.monotonic() - began_s)


def description() -> str:
    """Return a sentence about the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return (
        f"{os.cpu_count()} cores ({model or platform.machine()}), {memory:.0f} GiB, {system}, "
        f"Linux {platform.release().partition('-')[0]}, {platform.python_implementation()} "
        f"{platform.python_version()}. Clients and servers share the cores. "
        f"Load at the end of the run: {os.getloadavg()[2]:.1f} over 15 minutes."
    )
