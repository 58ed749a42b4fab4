"""The models of the distribution API, made from a storage and settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..storage.base import Storage
from .blobs import Blobs


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The models that the handlers of the distribution API work on."""

    blobs: Blobs


def distribution_of(storage: Storage) -> Distribution:
    """Return the models for a storage. Nothing is read yet."""
    return Distribution(blobs=Blobs(storage))
