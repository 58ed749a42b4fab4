"""Copies of a registry to a different storage (docs/internals.md, Copies)."""

from .report import CopyReport, Deleted, LeftOutTag
from .run import copy_storage
from .state import CopyRefused, CopyRunning

__all__ = ["CopyRefused", "CopyReport", "CopyRunning", "Deleted", "LeftOutTag", "copy_storage"]
