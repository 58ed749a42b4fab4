"""Moments in the forms of the Remote API."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

from .errors import InvalidParameter

#: The moment that stands for none.
NEVER: Final = "0001-01-01T00:00:00Z"

_SECONDS: Final = re.compile(r"-?\d{1,12}(\.\d{1,9})?")


def nanoseconds(moment: datetime) -> str:
    """Return a moment as the engine writes it: RFC 3339 with nine digits, in UTC.

    >>> nanoseconds(datetime(2024, 5, 1, 12, tzinfo=timezone.utc))
    '2024-05-01T12:00:00.000000000Z'
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def moment_s(text: str | None) -> float | None:
    """Return the seconds since the epoch that a parameter such as ``since`` means, None without one.

    >>> moment_s("1400000000.5"), moment_s("2014-05-13T16:53:20Z")
    (1400000000.5, 1400000000.0)

    :raises InvalidParameter: the text is neither seconds nor RFC 3339.
    """
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        # Python 3.10 reads neither Z nor nine digits
        plain = re.sub(r"(\.\d{6})\d+", r"\1", text[:40]).replace("Z", "+00:00")
        found = datetime.fromisoformat(plain)
    except ValueError:
        raise InvalidParameter(f'failed to parse value as time or duration: "{text[:40]}"') from None
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
