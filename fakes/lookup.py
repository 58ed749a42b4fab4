"""The error for a missing image, tag or repository. It lists the existing ones."""

from __future__ import annotations

from collections.abc import Iterable

#: How many names a message lists before it only counts the rest.
_SHOWN = 12


class NotThere(KeyError):
    """The image, tag or repository does not exist. The text lists the existing ones."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which suits keys, not sentences
        return str(self.args[0])


def not_there(what: str, there_are: Iterable[str]) -> NotThere:
    """Return the error for a missing thing.

    :param what: such as ``no tag 'x' in alice/app``.
    :param there_are: the existing names.


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
