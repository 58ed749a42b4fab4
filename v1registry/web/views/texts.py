"""Format numbers, sizes and times as text. Templates use these pure functions as filters."""

from __future__ import annotations

import re
from datetime import datetime

#: Characters that are invisible or misleading: controls, surrogates, and marks that change the writing
#: direction.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]"
)

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_STEPS = ((365 * 86400, "year"), (30 * 86400, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))


def bytes_text(size_bytes: int) -> str:
    """Return a size in a unit that gives one to three digits before the point.

    >>> bytes_text(0), bytes_text(1), bytes_text(2048), bytes_text(1_300_000), bytes_text(5 << 40)
    ('0 bytes', '1 byte', '2.0 KiB', '1.2 MiB', '5.0 TiB')
    """
    if size_bytes < 1024:
        return count_text(size_bytes, "byte")
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {_UNITS[unit]}"


def count_text(number: int, word: str, plural: str | None = None) -> str:
    """Return a number with its word.

    >>> count_text(1, "layer"), count_text(12345, "layer"), count_text(2, "repository", "repositories")
    ('1 layer', '12,345 layers', '2 repositories')
    """
    return f"{number:,} {word if number == 1 else plural or f'{word}s'}"


def thousands(number: int) -> str:
    """Return a number with commas.

    >>> thousands(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def date_text(moment: datetime) -> str:
    """Return a time to the minute, in UTC.

    >>> date_text(datetime(2014, 5, 3, 8, 15, 30))
    '2014-05-03 08:15 UTC'
    """
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago something was, in its largest unit.

    >>> age(datetime(2014, 1, 1), datetime(2016, 2, 1)), age(datetime(2014, 1, 1), datetime(2014, 1, 1))
    ('2 years ago', 'just now')
    """
    seconds = (now - moment).total_seconds()
    for length, word in _STEPS:
        if seconds >= length:
            return f"{count_text(int(seconds // length), word)} ago"
    return "just now"


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that compares runs of digits as numbers.

    >>> sorted(["1.10", "1.9", "1.2-rc10", "1.2-rc9", "beta"], key=natural_key)
    ['1.2-rc9', '1.2-rc10', '1.9', '1.10', 'beta']
    """
    # digits sort by their number of digits, because int() refuses thousands of them
    parts = re.split("([0-9]+)", text)
    return [
        (0, len(part.lstrip("0")), part.lstrip("0")) if number % 2 else (1, 0, part)
        for number, part in enumerate(parts)
        if part
    ]


def short_digest(digest: str) -> str:
    """Return the beginning of a digest, with its algorithm.

    >>> short_digest("sha256:0123456789abcdef0123")
    'sha256:0123456789ab'
    """
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm}:{digits[:12]}"


def short_id(image_id: str) -> str:
    """Return the first 12 digits, as engines display image ids."""
    return image_id[:12]


def shown(text: str, longest: int, *, is_line: bool = True) -> str:
    """Return a text of a user in a form that is safe to display, cut to a length.

    Invisible and misleading characters are replaced by U+FFFD.

    :param longest: in characters.
    :param is_line: replace line ends too.

    >>> shown("a\u202eb", 9), shown("long text", 4), shown("two\\nlines", 9)
    ('a\ufffdb', 'long…', 'two\ufffdlines')
    """
    short = cut(text, longest)
    if not is_line:
        return _UNSHOWABLE.sub("\ufffd", short.replace("\r\n", "\n"))
    return _UNSHOWABLE.sub("\ufffd", short).replace("\n", "\ufffd").replace("\t", " ")


def cut(text: str, longest: int) -> str:
    """Return a text, or its first ``longest`` characters and an ellipsis.

    >>> cut("long text", 4), cut("long", 4)
    ('long…', 'long')
    """
    return text if len(text) <= longest else f"{text[:longest]}…"
