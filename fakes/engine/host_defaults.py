"""What a container has of ``HostConfig`` if the request does not say it (remote.md 5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .versions import ApiVersion

_DEFAULTS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(
        (
            "Binds CapAdd CapDrop DnsOptions DnsSearch Dns DeviceCgroupRules DeviceRequests Devices "
            "ExtraHosts GroupAdd Links MemorySwappiness PidsLimit PortBindings SecurityOpt Ulimits "
            "VolumesFrom BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps "
            "BlkioDeviceWriteIOps"
        ).split()
    ),
    **dict.fromkeys(
        "Cgroup CgroupParent ContainerIDFile CpusetCpus CpusetMems Isolation PidMode UTSMode UsernsMode "
        "VolumeDriver".split(),
        "",
    ),
    **dict.fromkeys(
        "AutoRemove OomKillDisable Privileged PublishAllPorts ReadonlyRootfs".split(), False
    ),
    **dict.fromkeys(
        "BlkioWeight CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares "
        "IOMaximumBandwidth IOMaximumIOps Memory MemoryReservation MemorySwap NanoCpus OomScoreAdj".split(),
        0,
    ),
    "ConsoleSize": [0, 0],
    "IpcMode": "private",
    "NetworkMode": "default",
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
    "Runtime": "runc",
    "ShmSize": 64 << 20,
    "MaskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                    "/sys/firmware"],
    "ReadonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}  # fmt: skip


def host_config(given: Mapping[str, Any], version: ApiVersion) -> dict[str, Any]:
    """Return the settings of a new container.

    :param given: as the client sent them. None counts as missing.
    :param version: the highest one of the engine.
    """
    found = {**_DEFAULTS, "CgroupnsMode": "host" if version < (1, 42) else "private"}
    if version < (1, 42):
        found |= {"KernelMemory": 0, "KernelMemoryTCP": 0}
    found |= {key: value for key, value in given.items() if value is not None}
    logs = found.get("LogConfig") or {}
    found["LogConfig"] = {"Type": logs.get("Type") or "json-file", "Config": logs.get("Config") or {}}
    found["Runtime"] = found["Runtime"] or "runc"
    return found
