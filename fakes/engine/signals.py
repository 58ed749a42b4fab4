"""Signals by name and number."""

from __future__ import annotations

import re
import signal
from typing import Final

from .errors import InvalidParameter

_NUMBER: Final = re.compile(r"[0-9]{1,2}")
_MOST: Final = 64


def signal_number(text: str) -> int:
    """Return the number of a signal.

    :raises InvalidParameter: there is none of this name or number; the message is docker's.

    >>> signal_number("SIGUSR1"), signal_number("kill"), signal_number("15")
    (10, 9, 15)
    """
    if _NUMBER.fullmatch(text) and int(text) <= _MOST:
        return int(text)
    found = getattr(signal, f"SIG{text.upper().removeprefix('SIG')}", None)
    if not isinstance(found, signal.Signals):
        raise InvalidParameter(f"Invalid signal: {text[:40]}")
    return int(found)
