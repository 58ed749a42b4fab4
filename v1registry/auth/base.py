"""The rights that a row of a routing table may ask for."""

from __future__ import annotations

import enum


class Action(enum.Enum):
    """What a request does to a repository or an image."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
