"""The instructions of a Dockerfile that commit and import take as ``changes`` (remote.md 8)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .errors import InvalidParameter

#: The settings of an image or a container that says nothing, in the engine's order.
EMPTY_SETTINGS: Final[Mapping[str, Any]] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}

_TEXTS: Final = {"USER": "User", "WORKDIR": "WorkingDir"}
_WORDS: Final = {"CMD": "Cmd", "ENTRYPOINT": "Entrypoint"}
_SECOND_NS: Final = 1_000_000_000
_OPTIONS: Final = {"--interval": "Interval", "--timeout": "Timeout", "--start-period": "StartPeriod"}


def apply_changes(config: dict[str, Any], changes: Sequence[str]) -> None:
    """Apply instructions to the settings of an image.

    :raises InvalidParameter: an instruction is not one of those that engines take; the text is docker's.
    """
    for change in changes:
        for line in filter(None, (line.strip() for line in change.splitlines())):
            word, _, rest = line.partition(" ")
            _apply(config, word.upper(), rest.strip())


def _apply(config: dict[str, Any], word: str, rest: str) -> None:
    if word in _WORDS:
        config[_WORDS[word]] = _words(rest)
    elif word in _TEXTS:
        config[_TEXTS[word]] = rest
    elif word == "ENV":
        for name, value in _pairs(rest):
            kept = [item for item in config.get("Env") or [] if item.partition("=")[0] != name]
            config["Env"] = [*kept, f"{name}={value}"]
    elif word == "LABEL":
        config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(rest))}
    elif word == "EXPOSE":
        ports: dict[str, Any] = {port if "/" in port else f"{port}/tcp": {} for port in rest.split()}
        config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **ports}
    elif word == "VOLUME":
        names = _words(rest) if rest.startswith("[") else rest.split()
        config["Volumes"] = {**(config.get("Volumes") or {}), **{name: {} for name in names}}
    elif word == "ONBUILD":
        config["OnBuild"] = [*(config.get("OnBuild") or []), rest]
    elif word == "HEALTHCHECK":
        config["Healthcheck"] = _check_of(rest)
    else:
        raise InvalidParameter(f"{word.lower()[:40]} is not a valid change command")


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return the pairs of ``A=1 B="2 3"``, or the one of ``A 1``."""
    first = text.split(None, 1)
    if first and "=" not in first[0]:
        return [(first[0], first[1] if len(first) > 1 else "")]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidParameter(f"invalid change: {error}") from None
    return [(word.partition("=")[0], word.partition("=")[2]) for word in words]


def _words(text: str) -> list[str]:
    if not text.startswith("["):
        return ["/bin/sh", "-c", text]
    try:
        words = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"invalid change: {error}") from None
    return [str(word) for word in words]


def _check_of(text: str) -> dict[str, Any]:
    """Return the health check of ``[OPTIONS] CMD COMMAND``, or of ``NONE``."""
    check: dict[str, Any] = {}
    words = text.split()
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0).partition("=")
        digits = value.removesuffix("s")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
            raise InvalidParameter(f"invalid change: {name[:40]} must be seconds such as 5s")
        if name == "--retries":
            check["Retries"] = int(digits)
        elif name in _OPTIONS:
            check[_OPTIONS[name]] = int(digits) * _SECOND_NS
        else:
            raise InvalidParameter(f"unknown flag: {name[:40]}")
    kind = words[0].upper() if words else ""
    command = " ".join(words[1:])
    if kind == "NONE" and not command:
        return {"Test": ["NONE"]}
    if kind != "CMD" or not command:
        raise InvalidParameter(f"unknown type {kind[:40]!r} in HEALTHCHECK (try CMD)")
    is_list = command.startswith("[")
    return check | {"Test": ["CMD", *_words(command)] if is_list else ["CMD-SHELL", command]}
