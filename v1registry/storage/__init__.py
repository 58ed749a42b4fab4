"""Bytes under keys: the protocol, and the storages that come with the package."""

from .base import (
    ABSENT,
    ANY,
    Blob,
    Conflict,
    InvalidKey,
    NotFound,
    Stat,
    Storage,
    StorageError,
    StorageFull,
    StorageUnavailable,
    update,
)
from .filesystem import FileStorage
from .memory import MemoryStorage

__all__ = [
    "ABSENT",
    "ANY",
    "Blob",
    "Conflict",
    "FileStorage",
    "InvalidKey",
    "MemoryStorage",
    "NotFound",
    "Stat",
    "Storage",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "update",
]
