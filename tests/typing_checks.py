"""Checked by mypy, never run: calls that a type checker must reject.

Each rejected line has a ``type: ignore``. mypy reports one that is not needed, so an accepted mistake fails
the check.
"""

from __future__ import annotations

import time

# the name of the folder: mypy does not see where it is installed
from fakes.registry import FakeRegistry
from v1registry import Clock, MemoryStorage, Registry
from v1registry.errors import OutOfSpace


def check_options() -> None:
    """Pass options of every type, and mistakes."""
    Registry(
        MemoryStorage(), auth="users:", search_limit=5, reserved_names=["ops"], trusted_proxies="10.0.0.1"
    )
    Registry("memory:", max_document_bytes="16M")
    Registry("memory:", serach_limit=5)  # type: ignore[call-arg]
    Registry("memory:", search_limit=5.0)  # type: ignore[arg-type]
    Registry(storage=5)  # type: ignore[arg-type]
    Registry("memory:", clock=Clock())
    Registry("memory:", clock=time.time)  # type: ignore[arg-type]
    FakeRegistry().clock.advance(minutes=5)
    FakeRegistry(auth="users:", tls=True)
    FakeRegistry(serach_limit=5)  # type: ignore[call-arg]
    FakeRegistry(profile="hub")
    FakeRegistry(profile="docker")  # type: ignore[arg-type]


def check_faults() -> None:
    """Set faults of every kind, and mistakes."""
    registry = FakeRegistry()
    with registry.fail("GET", "*/layer", status=500, error="gone", times=2) as fault:
        fault.undo()
    registry.fail(route="get_layer", user="alice", api="v2", headers={"ETag": None}, body={"errors": []})
    registry.fail(error=OutOfSpace(), delay_s=0.5, storage="full")
    registry.fail(stauts=500)  # type: ignore[call-arg]
    registry.fail(status="500")  # type: ignore[arg-type]
    registry.fail(api="v3")  # type: ignore[arg-type]
    registry.fail(storage="slow")  # type: ignore[arg-type]
