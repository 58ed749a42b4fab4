"""What the engine rejects in the settings of a new container (remote.md 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .errors import EngineError, InvalidParameter
from .signals import signal_number

_POLICIES: Final = frozenset({"", "no", "always", "on-failure", "unless-stopped"})
_LOG_DRIVERS: Final = frozenset({"json-file", "local", "none"})
_LEAST_MEMORY_BYTES: Final = 6 << 20
_BIND: Final = re.compile(r"[^:]+:[^:]+(:[^:]*)?|[^:]+")


def check_settings(config: Mapping[str, Any], host_config: Mapping[str, Any]) -> None:
    """Return if a container may have these settings.

    :raises InvalidParameter: it may not; the text is docker's.
    :raises EngineError: a mount is malformed.
    """
    folder = config.get("WorkingDir")
    if isinstance(folder, str) and folder and not folder.startswith("/"):
        raise InvalidParameter(
            f"the working directory '{folder[:200]}' is invalid, it needs to be an absolute path"
        )
    for pair in config.get("Env") or []:
        if str(pair).startswith("="):
            raise InvalidParameter(f"invalid environment variable: {str(pair)[:200]}")
    if config.get("StopSignal"):
        signal_number(str(config["StopSignal"]))
    check_restarts(host_config)
    driver, runtime = host_config["LogConfig"]["Type"], host_config["Runtime"]
    if driver not in _LOG_DRIVERS:
        raise InvalidParameter(
            f'error looking up logging plugin {driver[:80]}: plugin "{driver[:80]}" not found'
        )
    if runtime != "runc":
        raise InvalidParameter(f"Unknown runtime specified {runtime[:80]}")
    memory = host_config.get("Memory")
    if isinstance(memory, int) and 0 < memory < _LEAST_MEMORY_BYTES:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    targets: set[str] = set()
    for bind in host_config.get("Binds") or []:
        target = _target_of(str(bind))
        if target in targets:
            raise InvalidParameter(f"Duplicate mount point: {target[:200]}")
        targets.add(target)


def check_restarts(host_config: Mapping[str, Any]) -> None:
    """Return if a container may have this restart policy.

    :raises InvalidParameter: it may not; the text is docker's.
    """
    policy = host_config.get("RestartPolicy")
    if not isinstance(policy, Mapping):
        return
    name = str(policy.get("Name") or "")
    if name not in _POLICIES:
        raise InvalidParameter(f"invalid restart policy '{name[:100]}'")
    if policy.get("MaximumRetryCount") and name in ("always", "unless-stopped", "no"):
        raise InvalidParameter(f"maximum retry count cannot be used with restart policy '{name}'")
    if host_config.get("AutoRemove") and name not in ("", "no"):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")


def _target_of(bind: str) -> str:
    """Return where a volume is mounted.

    :raises EngineError: the text is malformed.
    """
    shown = bind[:200]
    if not _BIND.fullmatch(bind):
        raise EngineError(f"invalid volume specification: '{shown}'")
    target = bind.split(":")[1] if ":" in bind else bind
    if not target.startswith("/"):
        raise EngineError(
            f"invalid volume specification: '{shown}': invalid mount config for type \"volume\": "
            f"invalid mount path: '{target[:200]}' mount path must be absolute"
        )
    return target
