"""What a row of the table of settings consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any


def setting(
    default: Any,
    convert: Callable[[str], Any],
    description: str,
    *,
    is_object: bool = False,
    holds_password: bool = False,
) -> Any:
    """Return the row of a setting, a field of a dataclass.

    :param is_object: the value may be an object, which is not converted.
    :param holds_password: the value appears neither in the representation of the settings nor in errors.
    """
    return field(
        default=default,
        metadata={
            "convert": convert,
            "description": description,
            "is_object": is_object,
            "holds_password": holds_password,
        },
        repr=not holds_password,
    )
