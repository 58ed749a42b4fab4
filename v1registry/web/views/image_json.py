"""Read what pages show of an image's JSON. Clients write that JSON, so any value may be anywhere in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from ...registry import layout
from .texts import shown

#: How much of one text is shown, in characters, and how many items of one list.
_LONGEST_TEXT: Final = 10_000
_LONGEST_WORD: Final = 500
_LONGEST_LIST: Final = 100

#: Times as Go writes them: with nanoseconds, and an offset or ``Z``.
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:[Zz]|([+-])(\d\d):?(\d\d))?", re.ASCII
)

#: Go writes the year 1 for a time that is not set. All earlier times are ignored.
_EARLIEST: Final = datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)

_SHELL: Final = ("/bin/sh", "-c")
_NO_OPERATION: Final = "#(nop)"


@dataclass(frozen=True)
class Command:
    """The command that made a layer.

    ``kind`` is ``instruction`` for a line of a Dockerfile that ran nothing (``#(nop)``: docker 0.6 to 17.05,
    builder/dispatchers.go), ``shell`` for a command of a shell, ``program`` for a program with arguments.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class ImageFacts:
    """What an image's JSON says. A field is empty if the JSON has no value of the right type."""

    created: datetime | None = None
    author: str = ""
    comment: str = ""
    command: Command | None = None
    platform: str = ""
    docker_version: str = ""
    settings: list[tuple[str, list[str]]] = field(default_factory=list)  #: how a container of it runs

    @classmethod
    def of(cls, document: bytes) -> ImageFacts:
        """Return the facts of an image's JSON. Values of a wrong type are ignored."""
        image = _object(layout.parse_stored(document))
        made_by = _object(image.get("container_config"))
        return cls(
            created=time_of(image.get("created")),
            author=_line(image.get("author")),
            comment=_text(image.get("comment")),
            command=command_of(made_by.get("Cmd")),
            platform=" ".join(filter(None, (_line(image.get("os")), _line(image.get("architecture"))))),
            docker_version=_line(image.get("docker_version")),
            settings=_settings(_object(image.get("config"))),
        )


def time_of(value: object) -> datetime | None:
    """Return the time of a text of RFC 3339, to the microsecond, in UTC; None for other values.

    >>> time_of("2014-05-03T10:15:30.123456789+02:00").isoformat()
    '2014-05-03T08:15:30.123456+00:00'
    >>> time_of("0001-01-01T00:00:00Z"), time_of("2014-02-30T00:00:00Z"), time_of(1399104930)
    (None, None, None)
    """
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    microsecond = int((found[7] or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, timezone.utc)
        if found[8]:
            offset = timedelta(hours=int(found[9]), minutes=int(found[10]))
            moment += -offset if found[8] == "+" else offset
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _EARLIEST else None


def command_of(value: object) -> Command | None:
    """Return the command that made a layer; None if the value has none.

    >>> command_of(["/bin/sh", "-c", "#(nop) CMD [sh]"])
    Command(kind='instruction', text='CMD [sh]')
    >>> command_of(["/bin/sh", "-c", "apt-get update"]), command_of(["/bin/tar", "x", "a b"])
    (Command(kind='shell', text='apt-get update'), Command(kind='program', text="/bin/tar x 'a b'"))
    >>> command_of(["COPY app /srv # buildkit"])
    Command(kind='instruction', text='COPY app /srv # buildkit')
    """
    if isinstance(value, str):
        text = _text(value)
        return Command("shell", text) if text else None
    words = _texts(value, _LONGEST_TEXT)
    if not words:
        return None
    if len(words) == 1 and " " in words[0]:  # the instruction of a newer builder, which has no words
        return Command("instruction", words[0])
    if len(words) == 3 and tuple(words[:2]) == _SHELL:
        if words[2].startswith(_NO_OPERATION):
            return Command("instruction", words[2].removeprefix(_NO_OPERATION).strip())
        return Command("shell", words[2])
    return Command("program", shown(shlex.join(words), _LONGEST_TEXT, is_line=False))


def _settings(config: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return label and values of each setting in an image's ``config`` (docker's runconfig.Config)."""
    found = [
        ("Entry point", _command_line(config.get("Entrypoint"))),
        ("Command", _command_line(config.get("Cmd"))),
        ("Working folder", _some(_line(config.get("WorkingDir")))),
        ("User", _some(_line(config.get("User")))),
        ("Ports", _keys_or_texts(config.get("ExposedPorts"))),
        ("Volumes", _keys_or_texts(config.get("Volumes"))),
        ("Environment", _texts(config.get("Env"), _LONGEST_WORD)),
        ("On build", _texts(config.get("OnBuild"), _LONGEST_WORD)),
        ("Labels", _labels(config.get("Labels"))),
    ]
    return [(label, values) for label, values in found if values]


def _command_line(value: object) -> list[str]:
    if isinstance(value, str):
        return _some(_text(value))
    words = _texts(value, _LONGEST_WORD)
    return [shlex.join(words)] if words else []


def _keys_or_texts(value: object) -> list[str]:
    """Return the texts of a set. Docker writes it as an object without values, docker 0.6 as a list."""
    return (
        _texts(list(_first(value)), _LONGEST_WORD)
        if isinstance(value, dict)
        else _texts(value, _LONGEST_WORD)
    )


def _labels(value: object) -> list[str]:
    labels = _object(value)
    return _texts(
        [f"{name}={labels[name]}" for name in _first(labels) if isinstance(labels[name], str)], _LONGEST_WORD
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object, longest: int) -> list[str]:
    """Return the texts of a list; only the first ones of a long list."""
    if not isinstance(value, list):
        return []
    texts = [
        shown(text, longest, is_line=False) for text in value[: _LONGEST_LIST + 1] if isinstance(text, str)
    ]
    return [*texts[:_LONGEST_LIST], "…"] if len(texts) > _LONGEST_LIST else texts


def _first(names: Iterable[str]) -> list[str]:
    return sorted(names)[: _LONGEST_LIST + 1]


def _text(value: object) -> str:
    return shown(value.strip(), _LONGEST_TEXT, is_line=False) if isinstance(value, str) else ""


def _line(value: object) -> str:
    return shown(value.strip(), _LONGEST_WORD) if isinstance(value, str) else ""


def _some(text: str) -> list[str]:
    return [text] if text else []
