"""The models of the distribution API, made from a storage and settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..registry.contents import Contents
from ..registry.holding import Holding
from ..registry.looks import Looks
from ..settings import Settings
from ..storage.base import Storage
from .blobs import Blobs
from .to_v1 import ToV1
from .uploads import Uploads


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The models that the handlers of the distribution API work on."""

    blobs: Blobs
    uploads: Uploads
    to_v1: ToV1


def distribution_of(
    storage: Storage, settings: Settings, contents: Contents, holding: Holding, looks: Looks
) -> Distribution:
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
        to_v1=ToV1(
            storage,
            blobs,
            contents,
            holding,
            looks,
            most_config_bytes=settings.max_document_bytes,
            most_in_chain=settings.max_chain_images,
        ),
    )
