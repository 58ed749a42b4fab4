"""The records of accounts in a storage."""

from __future__ import annotations

import json

from v1registry.accounts.records import user_key
from v1registry.storage.base import Storage


def record_of(storage: Storage, username: str) -> dict[str, object]:
    record = json.loads(storage.read(user_key(username))[0])
    assert isinstance(record, dict)
    return record
