"""A client of registries, old and new: push save archives and OCI layouts, and pull into them.

::

    from v1registry.client import Client, Reference, TqdmProgress

    reference = Reference.parse("localhost:5000/foo/bar:latest")
    with Client(reference.origin, progress=TqdmProgress()) as client:
        client.pull(reference, "bar.tar")

It needs requests, and tqdm for progress bars: ``pip install 'v1registry[server]'``.
"""

from ..archives.platforms import Platform
from .answers import PingResult
from .client import Client
from .connection import Credentials
from .docker_login import docker_credentials
from .errors import (
    ApiNotOffered,
    BadArchive,
    BadCertificate,
    BadOutput,
    BadReference,
    ClientError,
    DifferentContent,
    NotAuthorized,
    NotFoundInRegistry,
    ProtocolError,
    RegistryUnreachable,
    TransferFailed,
)
from .host_certificates import HostCertificates, host_certificates
from .progress import Progress, Silence, Task, TqdmProgress
from .pull import PullResult
from .push import PushResult
from .reference import Reference

__all__ = [
    "ApiNotOffered",
    "BadArchive",
    "BadCertificate",
    "BadOutput",
    "BadReference",
    "Client",
    "ClientError",
    "Credentials",
    "DifferentContent",
    "HostCertificates",
    "NotAuthorized",
    "NotFoundInRegistry",
    "PingResult",
    "Platform",
    "Progress",
    "ProtocolError",
    "PullResult",
    "PushResult",
    "Reference",
    "RegistryUnreachable",
    "Silence",
    "Task",
    "TqdmProgress",
    "TransferFailed",
    "docker_credentials",
    "host_certificates",
]
