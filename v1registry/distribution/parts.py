"""The models of the distribution API, made from a storage and settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from ..clock import SYSTEM_CLOCK, Clock
from ..registry.holding import Holding
from ..registry.images import Images
from ..registry.looks import Bounds, Looks
from ..registry.repositories import Repositories
from ..search.base import SearchIndex
from ..settings import Settings
from ..storage.base import Storage
from .blobs import Blobs
from .deletions import Deletions
from .from_v1 import FromV1
from .layer_blobs import LayerBlobs, Watcher
from .layer_reading import ReadLayer
from .manifest_records import ManifestRecords
from .referrers import Referrers
from .shared_work import SharedWork
from .stored_manifests import Manifests
from .tag_lists import Catalog, TagLists
from .tags import TagPointers
from .to_v1 import ToV1
from .upload_bounds import UploadLimits
from .uploads import Uploads
from .view_choice import ViewChoice
from .view_facts import FactsOfLayers, unnoticed


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The models that the handlers of the distribution API work on."""

    blobs: Blobs
    uploads: Uploads
    to_v1: ToV1
    from_v1: FromV1
    records: ManifestRecords
    referrers: Referrers
    manifests: Manifests
    tag_lists: TagLists
    catalog: Catalog
    deletions: Deletions


def distribution_of(
    storage: Storage,
    settings: Settings,
    images: Images,
    repositories: Repositories,
    holding: Holding,
    search: SearchIndex,
    clock: Clock = SYSTEM_CLOCK,
) -> Distribution:
    """Return the models for a storage. Nothing is read yet."""
    blobs = Blobs(storage, clock=clock)
    limits = UploadLimits(
        user_bytes=settings.max_unfinished_bytes,
        user_uploads=settings.max_unfinished_pushes,
        repository_bytes=settings.max_repository_unfinished_bytes,
        repository_uploads=settings.max_repository_uploads,
        total_bytes=settings.max_unfinished_total_bytes if settings.is_open else None,
    )
    to_v1 = to_v1_of(storage, settings, images, holding, blobs, clock=clock)
    records, referrers = ManifestRecords(storage, blobs), Referrers(storage)
    from_v1 = from_v1_of(storage, settings, images, blobs, records, clock=clock)
    tags = TagPointers(storage, repositories, records)
    return Distribution(
        blobs=blobs,
        uploads=Uploads(storage, blobs, limits, clock=clock),
        to_v1=to_v1,
        from_v1=from_v1,
        records=records,
        referrers=referrers,
        manifests=Manifests(blobs, records, tags, referrers, repositories, holding, to_v1, from_v1),
        tag_lists=TagLists(storage, repositories, tags, clock=clock),
        catalog=Catalog(search),
        deletions=Deletions(),
    )


def to_v1_of(
    storage: Storage,
    settings: Settings,
    images: Images,
    holding: Holding,
    blobs: Blobs,
    *,
    clock: Clock = SYSTEM_CLOCK,
    seconds: int | None = None,
    on_read: Callable[[str, int], None] = unnoticed,
) -> ToV1:
    """Return what makes v1 images of manifests.

    :param seconds: how long the layers of one image may be read, however large they are; None for a server,
        whose settings bound that.
    :param on_read: called with the digest and the size of each layer before it is read.
    """
    bounds = Bounds(
        settings.max_expanded_bytes, settings.max_expansion_ratio, seconds=settings.v1_view_time_s
    )
    if seconds is not None:
        bounds = Bounds(sys.maxsize, sys.maxsize, seconds=seconds)
    choice = ViewChoice(
        blobs,
        platform=settings.v1_platform,
        most_config_bytes=settings.max_document_bytes,
        most_in_chain=settings.max_chain_images,
    )
    # a turn of its own, because pages and lists wait for a few seconds only
    facts = FactsOfLayers(
        storage,
        blobs,
        Looks(bounds, clock=clock),
        most_layer_bytes=settings.max_v1_view_bytes if seconds is None else None,
        on_read=on_read,
    )
    return ToV1(
        storage,
        images.contents,
        holding,
        choice,
        facts,
        is_on=settings.v1_view,
        seconds=bounds.seconds,
    )


def from_v1_of(
    storage: Storage,
    settings: Settings,
    images: Images,
    blobs: Blobs,
    records: ManifestRecords,
    *,
    clock: Clock = SYSTEM_CLOCK,
    jobs: int | None = None,
    watcher: Watcher | None = None,
) -> FromV1:
    """Return what makes manifests of v1 images.

    :param jobs: how many threads work and how many callers wait, as long as it takes; None for a server,
        whose settings bound that.
    :param watcher: shows the progress; None if it is not shown.
    """
    bounds = Bounds(
        settings.max_expanded_bytes, settings.max_expansion_ratio, seconds=settings.v2_layer_time_s
    )
    layers = LayerBlobs(storage, images.contents, blobs, bounds, watcher=watcher, clock=clock)
    if jobs is None:
        work = SharedWork[ReadLayer](settings.v2_conversion_threads)
        wait_s = settings.v2_conversion_wait_s
        return FromV1(storage, images, blobs, records, layers, work, wait_s=wait_s, clock=clock)
    # its callers bound how much is queued
    work = SharedWork[ReadLayer](jobs, most_waiting=jobs, most_queued=sys.maxsize)
    return FromV1(storage, images, blobs, records, layers, work, wait_s=None, clock=clock)
