"""Paths that name an open file of this process, such as ``/dev/stdin``.

Opening such a path again would begin at the start of a file, and fails for sockets. Renaming over it would
replace a link of the system.
"""

from __future__ import annotations

import os
import re

_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_NUMBERED = re.compile(r"(?:/dev/fd|/proc/(?:thread-)?self/fd)/([0-9]{1,9})")
_LINKS_FOLLOWED = 40


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """Return the number of the open file that ``path`` names, also over links; None for other paths."""
    current = os.fspath(path)
    for _ in range(_LINKS_FOLLOWED):
        if current in _STANDARD:
            return _STANDARD[current]
        if match := _NUMBERED.fullmatch(current):
            return int(match[1])
        if not os.path.islink(current):
            return None
        current = os.path.normpath(os.path.join(os.path.dirname(current), os.readlink(current)))
    return None
