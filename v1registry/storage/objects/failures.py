"""What exceptions of an object store mean, without what the store said: that may name credentials."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from ..base import StorageFull, StorageUnavailable

#: What errors of stores say: a status, and the code of S3 and Azure.
_STATUS: Final = re.compile(r"\b(?:status|response)[^0-9]{0,20}([45][0-9]{2})\b", re.IGNORECASE)
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_FULL: Final = frozenset(
    {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "AccountQuotaExceeded", "507"}
)


class StoreFailed(StorageUnavailable):
    """A call of the store failed. Other calls at this time will probably fail too."""


def fail(name: str, error: BaseException) -> NoReturn:
    """Raise what an exception of a store means, without its text.

    :raises StorageFull: no room is left.
    :raises StoreFailed: anything else.
    """
    text = str(error)
    status = _STATUS.search(text)
    code = _CODE.search(text)
    details = [found.group(1) for found in (status, code) if found is not None]
    said = f"{type(error).__name__}{''.join(f', {detail}' for detail in details)}"
    if not _FULL.isdisjoint(details):
        raise StorageFull(name, f"no room is left in the object store ({said})") from None
    raise StoreFailed(name, f"the object store failed ({said})") from None
