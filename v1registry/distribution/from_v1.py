"""Images of v1 as manifests (distribution.md 2.3, engine-formats.md 4 and 7).

The result is stored by the payload sums of the chain: equal images have equal digests, whichever repository
holds them, and contents of one id in two repositories never mix. Nothing of v1 changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from threading import Lock
from typing import Any, Final

from cachetools import TTLCache

from .. import errors
from ..archives.convert import Unconvertible, config_from_chain
from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..names import Digest
from ..registry import layout as registry_layout
from ..registry.images import Images
from ..registry.layout import parse_stored
from ..rights import Content, ImageState, Rights
from ..storage.base import KeyNotFound, Storage
from . import layout
from .blobs import Blobs
from .image_manifests import LayerEntry, docker_manifest, has_docker_form, oci_manifest
from .layer_blobs import LayerBlobs, StoredLayer
from .layer_reading import ReadLayer
from .manifest_records import ManifestRecords, Record
from .manifests import DOCKER_MANIFEST, OCI_MANIFEST
from .places import Place
from .shared_work import SharedWork

log = get_logger(__name__)

#: How many images a chain may have; manifests may have as many layers (distribution.md 5).
_MOST_IMAGES: Final = 1000

#: How large the JSON of all images of a chain may be together, in bytes. Parts of it become the config.
_MOST_DOCUMENT_BYTES: Final = 32 << 20

#: For how many images the result is remembered, and how long, in seconds, as what repositories hold is.
_CAPACITY: Final = 10_000
_KEPT_S: Final = 60


@dataclass(frozen=True)
class Conversion:
    """What a chain of v1 images became. Digests are the hex digits of SHA-256."""

    config: str
    oci: str  #: the OCI manifest
    oci_size: int  #: bytes
    docker: str | None  #: the manifest of Docker's schema 2; None if it has no media type for a layer
    docker_size: int  #: bytes
    layers: tuple[str, ...]  #: root first

    @classmethod
    def parse(cls, fields: Any) -> Conversion | None:
        """Return what was stored; None if it is damaged."""
        try:
            layers = tuple(fields["layers"])
            return cls(**{**fields, "layers": layers})
        except (TypeError, KeyError):
            return None

    def form(self, is_oci: bool) -> tuple[str, str, int]:
        """Return digest, media type and size of a manifest: OCI if Docker's form is missing."""
        if is_oci or self.docker is None:
            return self.oci, OCI_MANIFEST, self.oci_size
        return self.docker, DOCKER_MANIFEST, self.docker_size


@dataclass(frozen=True)
class _Known:
    """What an image of a repository became, and the etags of that image."""

    conversion: Conversion
    etags: tuple[tuple[str, str], ...]  #: keys of the storage, and their etags

    @classmethod
    def of(cls, content: Content, conversion: Conversion) -> _Known:
        """Return it for a content with its parts."""
        parts = content.parts
        assert parts is not None
        assert parts.layer is not None
        document = registry_layout.content_key(content, registry_layout.JSON), parts.etag
        return cls(conversion, (document, (parts.layer.key, parts.layer.etag)))


class FromV1:
    """Makes manifests of the images of one storage. Safe for threads and processes.

    :param layers: the layers as blobs.
    :param work: does what takes long.
    :param wait_s: how long a request waits for its layers, in seconds; None for ever.
    """

    def __init__(
        self,
        storage: Storage,
        images: Images,
        blobs: Blobs,
        records: ManifestRecords,
        layers: LayerBlobs,
        work: SharedWork[ReadLayer],
        *,
        wait_s: float | None,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._storage = storage
        self._contents = images.contents
        self._chains = images.chains
        self._blobs = blobs
        self._records = records
        self._layers = layers
        self._work = work
        self._wait_s = wait_s
        self._known: TTLCache[Hashable, _Known] = TTLCache(_CAPACITY, _KEPT_S, timer=clock.monotonic_s)
        self._lock = Lock()  # cachetools is not safe for threads

    def manifest_of(
        self, rights: Rights, place: Place, image_id: str, *, is_oci: bool, client: str = ""
    ) -> Record:
        """Return the manifest of an image that the repository holds. It is made at the first time.

        The repository contains it afterwards, with its config and layers.

        :param rights: of a caller who may read the repository.
        :param is_oci: in the OCI form; False for Docker's schema 2, or OCI if a layer needs it.
        :param client: whose share of the work is used; empty if the caller has none.
        :raises ImageNotConvertible: the image is missing or incomplete, or engines of v2 cannot use it.
        :raises ManifestUnknown: the repository was deleted meanwhile.
        :raises ImageBusy: it takes longer than a request waits, or there is too much to do. The work goes on.
        :raises StorageUnavailable: the storage failed, or is full.
        """
        name = place.repository
        key = name.namespace, name.repository, place.incarnation, image_id
        with self._lock:
            known = self._known.get(key)
        if known is not None and self._is_valid(known):
            record = self._records.find(place, known.conversion.form(is_oci)[0])
            if record is not None:
                return record
        content = self._whole(rights.content_in(name, image_id), image_id)
        conversion = self._convert(rights, place, content, client)
        self._note(place, conversion, image_id)
        if not self._are_kept(place, conversion):
            # the garbage collection removes what earlier repositories needed: the next request makes it
            raise errors.ImageBusy(image_id=image_id)
        record = self._records.find(place, conversion.form(is_oci)[0])
        if record is None or rights.incarnation_of(name) != place.incarnation:
            raise errors.ManifestUnknown(image_id=image_id)
        # on an open server the first content counts as soon as it is complete, so others are looked for
        if not place.is_open or not content.variant:
            with self._lock:
                self._known[key] = _Known.of(content, conversion)
        return record

    def _is_valid(self, known: _Known) -> bool:
        """Tell whether the JSON and the layer of an image are those that were converted.

        An old server that gets an image again marks it first, and then writes its JSON.
        """
        try:
            return all(self._storage.stat(key).etag == etag for key, etag in known.etags)
        except KeyNotFound:
            return False

    # -- the chain

    def _whole(self, content: Content | None, image_id: str) -> Content:
        """Return a content with its parts.

        :raises ImageNotConvertible: it is missing, damaged, or being pushed by an old server.
        """
        found = None if content is None else self._contents.whole(content)
        if found is None:
            raise _unknown(image_id, "the image is missing or incomplete")
        return found

    def _convert(self, rights: Rights, place: Place, content: Content, client: str) -> Conversion:
        """Return what the chain of an image became; read and convert what is not known yet."""
        state = ImageState(content, None if place.is_open else place.repository)
        try:
            chain = [*reversed(self._chains.contents(rights, state))]
        except errors.ImageNotFound as error:
            raise _unknown(content.image_id, str(error)) from None
        if len(chain) > _MOST_IMAGES:
            reason = f"the chain has {len(chain)} images; at most {_MOST_IMAGES} are converted"
            raise _unknown(content.image_id, reason)
        stored = [self._stored_layer(found) for found in chain]
        layers = self._read(stored, client)
        sums = "\n".join(layer.payload for layer in layers)
        key = layout.conversion_key(hashlib.sha256(sums.encode("ascii")).hexdigest())
        known = self._stored(key)
        if known is not None and known.layers == tuple(layer.sha256 for layer in layers):
            return known
        return self._make(key, chain, layers)

    def _stored_layer(self, content: Content) -> StoredLayer:
        """Return the layer of a complete image.

        :raises ImageNotConvertible: the image is incomplete.
        """
        if not content.variant and self._contents.has_mark(content.image_id):
            raise _unknown(content.image_id, "the push of the image has not ended")
        parts = self._whole(content, content.image_id).parts
        assert parts is not None
        if parts.layer is None:
            raise _unknown(content.image_id, "the layer of the image is not stored")
        return StoredLayer(Content(content.image_id, content.variant), parts.layer)

    def _read(self, stored: Sequence[StoredLayer], client: str) -> list[ReadLayer]:
        """Return what is known of layers; read those that were not read yet, in threads."""
        for layer in stored:
            self._layers.check(layer)
        found = {layer.place: self._layers.known(layer) for layer in stored}
        work: dict[Hashable, Callable[[], ReadLayer]] = {
            layer.place: partial(self._read_once, layer) for layer in stored if found[layer.place] is None
        }
        read = self._work.run(work, self._wait_s, client) if work else {}
        return [found[layer.place] or read[layer.place] for layer in stored]

    def _read_once(self, layer: StoredLayer) -> ReadLayer:
        # another process, or work that ended a moment ago, may have read it
        self._layers.check(layer)
        return self._layers.known(layer) or self._layers.read(layer)

    # -- the result

    def _make(self, key: str, chain: Sequence[Content], layers: Sequence[ReadLayer]) -> Conversion:
        try:
            config = config_from_chain(list(self._documents(chain)), [layer.diff_id for layer in layers])
        except Unconvertible as error:
            raise _unknown(chain[-1].image_id, str(error)) from None
        entries = [
            LayerEntry(Digest("sha256", layer.sha256), layer.size, layer.compression) for layer in layers
        ]
        oci = oci_manifest(config, entries)
        docker = docker_manifest(config, entries) if has_docker_form(entries) else b""
        conversion = Conversion(
            config=self._blobs.put(config).hex,
            oci=self._blobs.put(oci).hex,
            oci_size=len(oci),
            docker=self._blobs.put(docker).hex if docker else None,
            docker_size=len(docker),
            layers=tuple(layer.sha256 for layer in layers),
        )
        self._storage.write(key, json.dumps(asdict(conversion)).encode("ascii"))
        return conversion

    def _documents(self, chain: Sequence[Content]) -> Iterator[bytes]:
        size_bytes = 0
        for content in chain:
            document = self._contents.document(content)
            size_bytes += len(document)
            if size_bytes > _MOST_DOCUMENT_BYTES:
                raise _unknown(
                    chain[-1].image_id,
                    f"the JSON of the chain has more than {_MOST_DOCUMENT_BYTES} bytes",
                )
            yield document

    def _stored(self, key: str) -> Conversion | None:
        """Return a stored result whose config and manifests are there; None if there is none."""
        try:
            found = Conversion.parse(parse_stored(self._storage.read(key)[0]))
        except KeyNotFound:
            return None
        if found is None:
            return None
        needed = [digest for digest in (found.config, found.oci, found.docker) if digest is not None]
        return found if all(self._blobs.stat(digest) is not None for digest in needed) else None

    # -- the repository

    def _note(self, place: Place, conversion: Conversion, image_id: str) -> None:
        """Note that the repository contains a result: what the manifests need before the manifests."""
        for digest in dict.fromkeys((conversion.config, *conversion.layers)):
            self._blobs.mark(place, digest)
        for is_oci in (True, False):
            self._records.note(place, Record(*conversion.form(is_oci), image_id))

    def _are_kept(self, place: Place, conversion: Conversion) -> bool:
        """Keep a result from the garbage collection; tell whether all of it is there."""
        keeper = self._blobs.keeping.now()
        if keeper is None:
            return True
        manifests = {conversion.form(is_oci)[0] for is_oci in (True, False)}
        blobs = dict.fromkeys((conversion.config, *conversion.layers))
        return all(self._records.keep(keeper, place, sha256) for sha256 in manifests) and all(
            self._blobs.keep(keeper, place, sha256) for sha256 in blobs
        )


def _unknown(image_id: str, reason: str) -> errors.ImageNotConvertible:
    log.info("image %s is not shown below /v2/: %s", image_id, reason)
    return errors.ImageNotConvertible(image_id=image_id, reason=reason)
