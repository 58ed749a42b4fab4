"""Bytes under keys: the storage protocol, and the storages that come with the package."""

from .base import (
    ABSENT,
    ANY,
    Blob,
    DataMissing,
    InvalidKey,
    KeyConflict,
    KeyNotFound,
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
    "DataMissing",
    "FileStorage",
    "InvalidKey",
    "KeyConflict",
    "KeyNotFound",
    "MemoryStorage",
    "Stat",
    "Storage",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "update",
]
