"""JSON documents whose values keep their bytes.

The ids of today's images are digests of JSON in the form that the engine writes: the keys of the outermost
object sorted, all other values unchanged except for blanks. So values are kept as text here. Parsing and
writing them could change numbers, escapes and the order of keys. Source: Go's encoding/json, ``Marshal`` of a
map of raw messages, as used in moby v1.12.6 image/v1/imagev1.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

_BLANKS = re.compile(r"[ \t\n\r]*")
_STRING_OR_BLANKS = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\n\r]+', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidDocument(ValueError):
    """The bytes are not JSON in UTF-8, or not an object."""


def _refuse_constant(name: str) -> object:
    raise InvalidDocument(f"{name} is not a JSON number")


class Number:
    """A number in a value, as text, because Python refuses to convert integers of many digits."""

    def __init__(self, text: str):
        self.text = text


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)


def split_object(document: bytes | str) -> dict[str, str]:
    """Return the members of a JSON object: key to the text of the value. The last of repeated keys counts.

    :raises InvalidDocument: the document is not a JSON object in UTF-8, or nested too deeply.

    >>> split_object(b'{"b": [1, 2.50], "a": null}')
    {'b': '[1, 2.50]', 'a': 'null'}
    """
    try:
        text = document.decode("utf-8") if isinstance(document, bytes) else document
        return _split(text)
    except UnicodeDecodeError as exc:
        raise InvalidDocument("it is not UTF-8") from exc
    except RecursionError as exc:
        raise InvalidDocument("it is nested too deeply") from exc
    except json.JSONDecodeError as exc:
        raise InvalidDocument(f"it is not JSON: {exc}") from exc


def _split(text: str) -> dict[str, str]:
    members: dict[str, str] = {}
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise InvalidDocument("it is not a JSON object")
    at = _skip(text, at + 1)
    if text[at : at + 1] != "}":
        while True:
            key, at = _DECODER.raw_decode(text, at)
            if not isinstance(key, str):
                raise InvalidDocument("a key is not a string")
            at = _expect(text, _skip(text, at), ":")
            _, end = _DECODER.raw_decode(text, at)
            members[key] = text[at:end]
            at = _skip(text, end)
            if text[at : at + 1] == "}":
                break
            at = _expect(text, at, ",")
    if _skip(text, at + 1) != len(text):
        raise InvalidDocument("something follows the JSON object")
    return members


def _skip(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    assert match is not None  # it matches the empty string too
    return match.end()


def _expect(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise InvalidDocument(f"{mark!r} is missing at character {at}")
    return _skip(text, at + 1)


def value_of(raw: str | None) -> object:
    """Return the value of ``raw``, None for None; numbers are :class:`Number`."""
    if raw is None:
        return None
    value: object = _DECODER.decode(raw)
    return value


def text_of(raw: str | None) -> str:
    """Return the string in ``raw``; ``""`` for None and values of other types."""
    value = value_of(raw)
    return value if isinstance(value, str) else ""


def compact(raw: str) -> str:
    r"""Return valid JSON without blanks between its parts, and with ``<``, ``>``, ``&`` escaped as Go does.

    >>> compact('{"a": "1 < 2", "b": [1.0, 2]}')
    '{"a":"1 \\u003c 2","b":[1.0,2]}'
    """
    return _escape(_STRING_OR_BLANKS.sub(lambda match: match[1] or "", raw))


def _escape(text: str) -> str:
    # None of these occurs outside of strings in JSON.
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def string(value: str) -> str:
    """Return ``value`` as a JSON string in Go's form.

    >>> string('echo "ä" > x')
    '"echo \\\\"ä\\\\" \\\\u003e x"'
    """
    return _escape(json.dumps(_LONE_SURROGATE.sub("\ufffd", value), ensure_ascii=False))


def join_object(members: Iterable[tuple[str, str]]) -> str:
    """Return the object with these keys and these value texts, in this order, without blanks."""
    return "{" + ",".join(f"{string(key)}:{compact(raw)}" for key, raw in members) + "}"


def join_sorted(members: Mapping[str, str]) -> bytes:
    """Return the object with its keys in the order of their code points, as UTF-8."""
    return join_object(sorted(members.items())).encode("utf-8", "replace")


def join_array(raws: Iterable[str]) -> str:
    """Return the array of these value texts, without blanks."""
    return "[" + ",".join(raws) + "]"
