"""Certificates for one registry, in the folders that engines use (clients.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .docker_login import docker_folder
from .errors import BadCertificate

_SYSTEM_FOLDER = Path("/etc/docker/certs.d")


@dataclass(frozen=True)
class HostCertificates:
    """The certificates of a folder."""

    authorities: tuple[str, ...] = ()  #: paths of certificates to trust
    client_certificate: tuple[str, str] | None = None  #: the paths of a certificate and of its key


def host_certificates(host: str, folders: Sequence[Path] | None = None) -> HostCertificates:
    """Return the certificates in ``certs.d/HOST``: authorities in ``*.crt``, a pair ``*.cert`` and ``*.key``.

    The first folder that exists is used: that of the user, then that of the system.

    :param host: ``HOST[:PORT]``.
    :param folders: the folders ``certs.d``; None for ``~/.docker/certs.d`` and ``/etc/docker/certs.d``.
    :raises BadCertificate: a certificate has no key, or a key no certificate.
    :raises OSError: a folder cannot be read.
    """
    for folder in (docker_folder() / "certs.d", _SYSTEM_FOLDER) if folders is None else folders:
        if (folder / host).is_dir():
            return _read(folder / host)
    return HostCertificates()


def _read(folder: Path) -> HostCertificates:
    files = sorted(folder.iterdir())
    certificates = [path for path in files if path.suffix == ".cert"]
    for path, other in [(path, ".key") for path in certificates] + [
        (path, ".cert") for path in files if path.suffix == ".key"
    ]:
        if path.with_suffix(other) not in files:
            raise BadCertificate(f"{path} must have {path.with_suffix(other).name} beside it")
    pair = (str(certificates[0]), str(certificates[0].with_suffix(".key"))) if certificates else None
    return HostCertificates(tuple(str(path) for path in files if path.suffix == ".crt"), pair)
