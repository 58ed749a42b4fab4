"""The types of the bodies that clients send: key -> what its value must be (remote.md 1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import InvalidParameter

_NAMES: Final = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list",
                 dict: "an object"}  # fmt: skip


@dataclass(frozen=True)
class Type:
    """What a value must be. ``null`` means that the value is missing. A string in a list must not be missing.

    :param name: for the message.
    :param types: of the parsed JSON.
    :param items: of a list.
    :param values: of an object with any keys.
    :param fields: of an object with known keys. Other keys are not checked.
    """

    name: str
    types: tuple[type, ...]
    items: Type | None = None
    values: Type | None = None
    fields: Mapping[str, Type] = field(default_factory=dict)

    def named(self, value: Any) -> Any:
        """Return a value with the known keys of objects in their own letters. Engines read them in any."""
        if isinstance(value, list) and self.items is not None:
            return [self.items.named(item) for item in value]
        if not isinstance(value, dict):
            return value
        if self.values is not None:
            return {key: self.values.named(item) for key, item in value.items()}
        known: dict[str, str] = {name.lower(): name for name in self.fields}
        found: dict[str, Any] = {known.get(str(key).lower(), str(key)): item for key, item in value.items()}
        return {
            key: self.fields[key].named(item) if key in self.fields else item for key, item in found.items()
        }

    def check(self, value: object, place: str) -> None:
        """Return if a value and everything in it has its type.

        :param place: for the message, such as ``HostConfig.Memory``.
        :raises InvalidParameter: it has another type.
        """
        if value is None:
            return
        if type(value) not in self.types:
            raise InvalidParameter(
                f"invalid value of {place}: must be {self.name}, not {_NAMES[type(value)]}"
            )
        if isinstance(value, list) and self.items is not None:
            for number, item in enumerate(value):
                self.items.check_item(item, f"{place}[{number}]")
        elif isinstance(value, dict):
            for key, kind in self.fields.items():
                kind.check(value.get(key), f"{place}.{key}" if place else key)
            if self.values is not None:
                for key, item in value.items():
                    self.values.check_item(item, f"{place}.{key[:80]}")

    def check_item(self, value: object, place: str) -> None:
        """Return if a value of a list or a map has its type.

        :raises InvalidParameter: it has another type.
        """
        if value is None and str in self.types:
            raise InvalidParameter(f"invalid value of {place}: must be {self.name}, not null")
        self.check(value, place)


def _list(items: Type) -> Type:
    return Type("a list", (list,), items=items)


def _map(values: Type) -> Type:
    return Type("an object", (dict,), values=values)


def _object(**fields: Type) -> Type:
    return Type("an object", (dict,), fields=fields)


def _all(kind: Type, names: str) -> dict[str, Type]:
    return dict.fromkeys(names.split(), kind)


_TEXT: Final = Type("a string", (str,))
_FLAG: Final = Type("true or false", (bool,))
_NUMBER: Final = Type("a whole number", (int,))
_TEXTS: Final = _list(_TEXT)
_TEXT_MAP: Final = _map(_TEXT)
_WORDS: Final = Type("a string or a list of strings", (str, list), items=_TEXT)

_CONFIG: Final = {
    **_all(_TEXT, "Hostname Domainname User Image WorkingDir MacAddress StopSignal"),
    **_all(
        _FLAG, "AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce NetworkDisabled ArgsEscaped"
    ),
    **_all(_TEXTS, "Env OnBuild Shell"),
    **_all(_WORDS, "Cmd Entrypoint"),
    **_all(_map(_object()), "ExposedPorts Volumes"),
    "Labels": _TEXT_MAP,
    "StopTimeout": _NUMBER,
    "Healthcheck": _object(
        Test=_TEXTS, **_all(_NUMBER, "Interval Timeout StartPeriod StartInterval Retries")
    ),
}

_MOUNT: Final = _object(
    **_all(_TEXT, "Type Source Target Consistency"),
    ReadOnly=_FLAG,
    BindOptions=_object(Propagation=_TEXT, NonRecursive=_FLAG),
    VolumeOptions=_object(
        NoCopy=_FLAG, Labels=_TEXT_MAP, DriverConfig=_object(Name=_TEXT, Options=_TEXT_MAP)
    ),
    TmpfsOptions=_object(SizeBytes=_NUMBER, Mode=_NUMBER),
)

#: ``HostConfig``, and the body of an update.
HOST_CONFIG: Final = _object(
    **_all(_TEXT, "NetworkMode ContainerIDFile IpcMode PidMode UTSMode UsernsMode Cgroup CgroupParent "
                  "CgroupnsMode CpusetCpus CpusetMems Isolation Runtime VolumeDriver"),
    **_all(_FLAG, "AutoRemove Init OomKillDisable Privileged PublishAllPorts ReadonlyRootfs"),
    **_all(_NUMBER, "BlkioWeight CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime "
                    "CpuShares KernelMemory Memory MemoryReservation MemorySwap MemorySwappiness NanoCpus "
                    "OomScoreAdj PidsLimit ShmSize"),
    **_all(_TEXTS, "Binds DeviceCgroupRules Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links MaskedPaths "
                   "ReadonlyPaths SecurityOpt VolumesFrom"),
    **_all(_WORDS, "CapAdd CapDrop"),
    **_all(_TEXT_MAP, "StorageOpt Sysctls Tmpfs"),
    **_all(_list(_object()), "DeviceRequests Devices"),
    LogConfig=_object(Type=_TEXT, Config=_TEXT_MAP),
    Mounts=_list(_MOUNT),
    PortBindings=_map(_list(_object(HostIp=_TEXT, HostPort=_TEXT))),
    RestartPolicy=_object(Name=_TEXT, MaximumRetryCount=_NUMBER),
    Ulimits=_list(_object(Name=_TEXT, Soft=_NUMBER, Hard=_NUMBER)),
)  # fmt: skip

_ENDPOINT: Final = _object(
    IPAMConfig=_object(IPv4Address=_TEXT, IPv6Address=_TEXT, LinkLocalIPs=_TEXTS),
    Links=_TEXTS,
    Aliases=_TEXTS,
    DriverOpts=_TEXT_MAP,
    **_all(_TEXT, "NetworkID EndpointID Gateway IPAddress MacAddress"),
)

CONTAINER: Final = _object(
    **_CONFIG, HostConfig=HOST_CONFIG, NetworkingConfig=_object(EndpointsConfig=_map(_ENDPOINT))
)

#: The body of a commit.
CONFIG: Final = _object(**_CONFIG)

EXEC: Final = _object(
    **_all(_TEXT, "User WorkingDir DetachKeys"),
    **_all(_FLAG, "AttachStdin AttachStdout AttachStderr Privileged Tty"),
    Env=_TEXTS,
    Cmd=_WORDS,
)
EXEC_START: Final = _object(Detach=_FLAG, Tty=_FLAG)

_POOL: Final = _object(**_all(_TEXT, "Subnet IPRange Gateway"), AuxiliaryAddresses=_TEXT_MAP)
NETWORK: Final = _object(
    **_all(_TEXT, "Name Driver Scope"),
    **_all(_FLAG, "CheckDuplicate Internal Attachable Ingress ConfigOnly EnableIPv6"),
    **_all(_TEXT_MAP, "Options Labels"),
    IPAM=_object(Driver=_TEXT, Options=_TEXT_MAP, Config=_list(_POOL)),
)
CONNECT: Final = _object(Container=_TEXT, EndpointConfig=_ENDPOINT)
DISCONNECT: Final = _object(Container=_TEXT, Force=_FLAG)

VOLUME: Final = _object(**_all(_TEXT, "Name Driver"), **_all(_TEXT_MAP, "Labels DriverOpts"))

LOGIN: Final = _object(**_all(_TEXT, "username password email serveraddress auth identitytoken"))
