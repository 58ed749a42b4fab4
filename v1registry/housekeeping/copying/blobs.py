"""The bytes of the distribution API: each is compared with its digest."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from ...distribution import layout
from ...storage.base import Stat
from ..findings import MOVE
from .gauge import Gauge
from .values import Damaged, Values

_DATA: Final = re.compile(rf"{layout.BLOBS}/sha256/[0-9a-f]{{2}}/([0-9a-f]{{64}})/{layout.DATA}")


def sha256_in(key: str) -> str | None:
    """Return the hex digits of the digest of a blob from the key of its bytes, None for other keys."""
    found = _DATA.fullmatch(key)
    return None if found is None else found[1]


def copy_blob(values: Values, gauge: Gauge, found: Stat, there: Stat | None) -> None:
    """Copy a key below ``blobs/``.

    :raises Damaged: the bytes do not fit their digest, or cannot be read.
    :raises Changed: it was replaced or removed.
    """
    sha256 = sha256_in(found.key)
    if sha256 is None:
        values.copy(found, there)
        return
    if there is not None and there.size == found.size:
        # it was compared with its digest when it was written
        gauge.passed(found.size)
        return
    total = hashlib.sha256()

    def check() -> None:
        if total.hexdigest() != sha256:
            raise Damaged(found.key, f"the bytes do not fit the digest: {MOVE}")

    values.copy_large(found, total, check=check)
