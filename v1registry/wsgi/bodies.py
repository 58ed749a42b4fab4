"""The fields of a body, JSON or form encoded: what the OAuth and accounts APIs take (oauth.md 3.2, 4)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

from .http import parse_json

_MOST_FIELDS: Final = 100

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


def fields_of_body(body: bytes, content_type: str | None, flags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a body. ValueError, whose text is for people, where there are none.

    A body without a type is JSON where it begins with a brace, else a form. One that is empty has no fields, whatever its type.

    :param flags: fields that are true or false in JSON. In a form the word ``true`` is True, however it is written; every other
        word stays text.

    >>> fields_of_body(b"email=mira%40example.org&primary=True", "application/x-www-form-urlencoded", ("primary",))
    {'email': 'mira@example.org', 'primary': True}
    """
    if not body.strip():
        return {}
    kind = (content_type or "").partition(";")[0].strip().lower()
    if not kind:
        kind = _JSON if body.lstrip().startswith(b"{") else _FORM
    if kind == _JSON or kind.endswith("+json"):
        return _fields_of_json(body)
    if kind == _FORM:
        return {
            name: True if name in flags and value.lower() == "true" else value
            for name, value in _fields_of_form(body).items()
        }
    raise ValueError(f"A body of type {_JSON} or {_FORM} is expected")


def _fields_of_json(body: bytes) -> dict[str, Any]:
    try:
        fields = parse_json(body, has_unique_keys=True)
    except ValueError:
        raise ValueError("The body is no JSON, or has a key twice") from None
    if not isinstance(fields, dict):
        raise ValueError("A JSON object is expected")
    return fields


def _fields_of_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8").strip(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise ValueError("The body is no form in UTF-8, or has too many fields") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("Each field is expected once")
    return fields
