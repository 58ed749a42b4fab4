"""The models of the distribution API, made from a storage and settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Settings
from ..storage.base import Storage
from .blobs import Blobs
from .uploads import Uploads


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The models that the handlers of the distribution API work on."""

    blobs: Blobs
    uploads: Uploads


def distribution_of(storage: Storage, settings: Settings) -> Distribution:
    """Return the models for a storage. Nothing is read yet."""
    blobs = Blobs(storage)
    return Distribution(
        blobs=blobs,
        uploads=Uploads(
            storage,
            blobs,
            most_bytes=settings.max_unfinished_bytes,
            most_uploads=settings.max_unfinished_pushes,
        ),
    )
