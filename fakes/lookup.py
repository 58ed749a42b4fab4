"""Looking something up that is not there: the error says what is."""

from __future__ import annotations

from collections.abc import Iterable

#: How many names a message lists before it only counts the rest.
_SHOWN = 12


class NotThere(KeyError):
    """An image, a tag or a repository was asked for and is not there. The text lists what there is."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which is made for keys and not for sentences
        return str(self.args[0])


def not_there(what: str, there_are: Iterable[str]) -> NotThere:
    """Return the error for ``what`` with the names that exist.

    >>> str(not_there("no tag 'x' in alice/app", ["latest", "1.0"]))
    "no tag 'x' in alice/app; there are: 1.0, latest"
    >>> str(not_there("no repository 'x'", []))
    "no repository 'x'; there are none"
    """
    names = sorted(there_are)
    if not names:
        return NotThere(f"{what}; there are none")
    shown = ", ".join(names[:_SHOWN])
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    return NotThere(f"{what}; there are: {shown}")
