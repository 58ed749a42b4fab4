"""Image JSON of engines before 1.8.3, in the form that a later engine makes of it.

A later engine parses such a document into its own structures before it makes a config: unknown fields are
lost, and missing ones get their zero values, in the order of the structures. The id of the image depends on
the result. Source: moby v1.12.6 image/v1/imagev1.go, image/image.go ``V1Image``, engine-api types/container
``Config``; compared with results of docker 20.10.24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import rawjson

#: Go's form of a time that was never set.
UNKNOWN_TIME = "0001-01-01T00:00:00Z"

_IMAGE_STRINGS = ("comment", "container", "docker_version", "author", "architecture", "os")


def renew_image(members: Mapping[str, str]) -> dict[str, str]:
    """Return the members of an image's JSON in a later engine's form, without id, parent and size."""
    renewed = {
        key: rawjson.string(text) for key in _IMAGE_STRINGS if (text := rawjson.text_of(members.get(key)))
    }
    renewed["created"] = rawjson.string(rawjson.text_of(members.get("created")) or UNKNOWN_TIME)
    renewed["container_config"] = _renew_settings(members.get("container_config", "null"))
    if members.get("config", "null").startswith("{"):
        renewed["config"] = _renew_settings(members["config"])
    return renewed


def _text(raw: str | None) -> str:
    return rawjson.string(rawjson.text_of(raw))


def _flag(raw: str | None) -> str:
    return "true" if raw == "true" else "false"


def _words(raw: str | None) -> str:
    """Return a list of strings; a single string counts as a list of one."""
    value = rawjson.value_of(raw)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return "null"
    return rawjson.join_array(rawjson.string(word) for word in value if isinstance(word, str))


def _names(raw: str | None) -> str:
    """Return an object with the keys of ``raw`` and empty values."""
    value = rawjson.value_of(raw)
    if not isinstance(value, dict):
        return "null"
    return rawjson.join_object((name, "{}") for name in sorted(value))


def _labels(raw: str | None) -> str:
    value = rawjson.value_of(raw)
    if not isinstance(value, dict):
        return "null"
    texts = {key: text for key, text in value.items() if isinstance(text, str)}
    return rawjson.join_object((key, rawjson.string(text)) for key, text in sorted(texts.items()))


#: Every field in its order: name, conversion, and the results that are left out.
_SETTINGS: tuple[tuple[str, Callable[[str | None], str], tuple[str, ...]], ...] = (
    ("Hostname", _text, ()),
    ("Domainname", _text, ()),
    ("User", _text, ()),
    ("AttachStdin", _flag, ()),
    ("AttachStdout", _flag, ()),
    ("AttachStderr", _flag, ()),
    ("ExposedPorts", _names, ("null", "{}")),
    ("Tty", _flag, ()),
    ("OpenStdin", _flag, ()),
    ("StdinOnce", _flag, ()),
    ("Env", _words, ()),
    ("Cmd", _words, ()),
    ("Image", _text, ()),
    ("Volumes", _names, ()),
    ("WorkingDir", _text, ()),
    ("Entrypoint", _words, ()),
    ("NetworkDisabled", _flag, ("false",)),
    ("MacAddress", _text, ('""',)),
    ("OnBuild", _words, ()),
    ("Labels", _labels, ()),
    ("StopSignal", _text, ('""',)),
)


def _renew_settings(raw: str) -> str:
    members = rawjson.split_object(raw) if raw.startswith("{") else {}
    fields = ((key, write(members.get(key)), left_out) for key, write, left_out in _SETTINGS)
    return rawjson.join_object((key, text) for key, text, left_out in fields if text not in left_out)
