"""A small file system with busybox, for images that a real engine runs and a fake engine simulates."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Final

import pytest

#: Debian's busybox-static. It needs no libraries.
_BUSYBOX: Final = Path("/bin/busybox")
_PROGRAMS: Final = ("cat", "echo", "false", "ls", "mkdir", "rm", "sh", "sleep", "touch", "true")


def box_files() -> bytes:
    """Return the archive of a file system: busybox with its names, ``/etc/motd`` and ``/srv``."""
    if not _BUSYBOX.exists():
        pytest.skip("needs busybox: apt-get install busybox-static")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "etc", "srv", "tmp"):
            archive.addfile(_info(folder, tarfile.DIRTYPE, mode=0o755))
        for name, content in (("bin/busybox", _BUSYBOX.read_bytes()), ("etc/motd", b"hello\n")):
            info = _info(name, tarfile.REGTYPE, mode=0o755 if name.startswith("bin") else 0o644)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name in _PROGRAMS:
            info = _info(f"bin/{name}", tarfile.SYMTYPE, mode=0o777)
            info.linkname = "busybox"
            archive.addfile(info)
    return buffer.getvalue()


def _info(name: str, kind: bytes, *, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, 1_600_000_000
    return info
