"""A client of v1 registries: push save archives of any engine, and pull into archives that any engine loads.

::

    from v1registry.client import Client, Reference, TqdmProgress

    reference = Reference.parse("localhost:5000/foo/bar:latest")
    with Client(reference.origin, progress=TqdmProgress()) as client:
        client.pull(reference, "bar.tar")

It needs requests, and tqdm for progress bars: ``pip install 'v1registry[server]'``.
"""

from .answers import PingResult
from .client import Client
from .errors import (
    BadArchive,
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
from .progress import Progress, Silence, Task, TqdmProgress
from .pull import PullResult
from .push import PushResult
from .reference import Reference

__all__ = [
    "BadArchive",
    "BadOutput",
    "BadReference",
    "Client",
    "ClientError",
    "DifferentContent",
    "NotAuthorized",
    "NotFoundInRegistry",
    "PingResult",
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
]
