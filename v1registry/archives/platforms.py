"""Platforms of images, such as ``linux/amd64`` or ``linux/arm/v7``."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass

from . import rawjson

_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_EXPECTED = "must be OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64 or linux/arm/v7"

#: Machines as ``uname -m`` names them. Source: containerd platforms/database.go.
_MACHINES = {
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv8l": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
}

#: The variant that an architecture has if none is named.
_DEFAULT_VARIANTS = {"arm64": "v8", "amd64": "v1", "arm": "v7"}

_KEYS = ("os", "architecture", "variant")

#: The platform of entries that are no images, such as attestations of buildx.
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Platform:
    """An operating system with an architecture. An empty variant stands for the usual one."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Return the platform that a text names.

        :raises ValueError: it is malformed.

        >>> Platform.parse("linux/arm/v7")
        Platform(os='linux', architecture='arm', variant='v7')
        """
        parts = text.lower().split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"a platform {_EXPECTED}, not {text[:100]!r}")
        return cls(*parts)

    @classmethod
    def here(cls) -> Platform:
        """Return linux with the architecture of this machine.

        Images run on linux also where the engine runs in a virtual machine.
        """
        machine = platform.machine().lower()
        return cls("linux", *_MACHINES.get(machine, (machine, "")))

    def is_like(self, other: Platform) -> bool:
        """Tell whether images for one platform are images for the other.

        >>> Platform("linux", "arm64").is_like(Platform("linux", "arm64", "v8"))
        True
        """
        return (self.os, self.architecture) == (other.os, other.architecture) and (
            self._whole_variant() == other._whole_variant()
        )

    def _whole_variant(self) -> str:
        return self.variant or _DEFAULT_VARIANTS.get(self.architecture, "")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def platform_of(config: bytes) -> Platform | None:
    """Return the platform of an image config; None if it names none.

    :raises ValueError: the config is not a JSON object.
    """
    members = rawjson.split_object(config)
    return read_platform({key: rawjson.value_of(members.get(key)) for key in _KEYS})


def read_platform(document: Mapping[str, object]) -> Platform | None:
    """Return the platform that an object names; None for an invalid one, and for one that is not an image.

    >>> read_platform({"os": "linux", "architecture": "amd64"})
    Platform(os='linux', architecture='amd64', variant='')
    """
    parts = [document.get(key) or "" for key in _KEYS]
    if not all(isinstance(part, str) for part in parts) or _UNKNOWN in parts:
        return None
    try:
        return Platform.parse("/".join(str(part) for part in parts if part))
    except ValueError:
        return None
