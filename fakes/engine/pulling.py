"""Pull an image from a registry into the store of an engine (remote.md 4.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from v1registry.archives import convert
from v1registry.archives.documents import Descriptor
from v1registry.archives.platforms import Platform
from v1registry.client import ClientError
from v1registry.client.api_choice import by_api
from v1registry.client.errors import ProtocolError
from v1registry.client.pull import ImagePull
from v1registry.client.reference import Reference
from v1registry.client.spool import MemorySpool
from v1registry.client.transfer import Transfer
from v1registry.client.v2.pull import V2Pull
from v1registry.layers.compression import Readable, UnreadableLayer, open_decompressed

from .image_store import EngineImage, StoredLayer, read_layer
from .messages import Messages
from .references import ImageReference
from .registries import pull_failure
from .state import EngineState

_CHUNK_BYTES: Final = 256 << 10

#: Larger layers are in a temporary file while they are fetched, in bytes.
_IN_MEMORY_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class _Pulled:
    config: bytes
    layers: Sequence[StoredLayer]  #: lowest first
    digest: str | None = None  #: of the manifest; None by v1


class EnginePull:
    """One pull by a tag or a digest.

    :param platform: which image of an index is pulled; None for this machine.
    :param check_disk: raises EngineError if there is no room.
    """

    def __init__(
        self,
        state: EngineState,
        reference: ImageReference,
        credentials: dict[str, str],
        messages: Messages,
        platform: Platform | None,
        check_disk: Callable[[], None],
    ):
        self._state = state
        self._reference = reference
        self._credentials = credentials
        self._messages = messages
        self._platform = platform
        self._check_disk = check_disk

    def run(self) -> EngineImage:
        """Pull the image, and return it.

        :raises EngineError: the registry does not have it or cannot be reached; the text is docker's.
        """
        state, reference, messages = self._state, self._reference, self._messages
        # engines tell of the pull when the registry has answered a manifest
        messages.begin(f"Pulling from {reference.path}", reference.tag or reference.digest)
        try:
            pulled = self._fetch()
        except ClientError as error:
            raise pull_failure(error, reference) from error
        messages.open()
        with state.lock:
            known = state.images.names().get(reference)
            image = state.images.add(pulled.config, pulled.layers)
            state.images.name(reference, image)
            if pulled.digest:
                state.images.name(reference.with_digest(pulled.digest), image)
            state.pulled[str(reference)] = None
        if pulled.digest:
            messages.add(f"Digest: {pulled.digest}")
        what = "Image is up to date" if known == image.id else "Downloaded newer image"
        messages.add(f"Status: {what} for {reference}")
        state.events.add("image", "pull", str(reference), {"name": reference.name, **image.labels})
        return image

    def _fetch(self) -> _Pulled:
        registries = self._state.registries
        there = Reference.parse(registries.name_there(self._reference))
        with (
            registries.connected(self._reference.host) as connection,
            MemorySpool(_IN_MEMORY_BYTES) as spool,
        ):
            transfer = registries.transfer(connection, self._credentials, there, self._messages)
            return by_api(
                connection,
                registries.api,
                there,
                by_v2=lambda: self._by_v2(transfer, spool),
                by_v1=lambda: self._by_v1(transfer, spool),
            )

    # -- by /v2/

    def _by_v2(self, transfer: Transfer, spool: MemorySpool) -> _Pulled:
        pull = V2Pull(transfer, platform=self._platform)
        found, manifest = pull.find_image()
        self._messages.open()
        digest = str(found.descriptor.digest)
        with self._state.lock:
            image = self._state.images.get(str(manifest.config.digest))
            if image is not None:
                return _Pulled(image.config_bytes, self._state.images.shared_layers(image), digest)
        config, _ = pull.find_config(found, manifest)
        diff_ids = convert.read_diff_ids(config)
        known = self._known_layers(manifest.layers, diff_ids)
        missing = manifest.layers[len(known) :]
        for descriptor in missing:
            self._messages.add_layer("Pulling fs layer", _short(descriptor))
        layers = known
        try:
            if missing:
                pull.fetch(list({descriptor.digest: descriptor for descriptor in missing}.values()), spool)
                self._check_disk()
            for descriptor, diff_id in zip(missing, diff_ids[len(known) :], strict=True):
                self._messages.add_extraction(_short(descriptor), descriptor.size_bytes)
                with spool.open_layer(descriptor.digest.hex) as file:
                    layers.append(_expanded(file, transfer))
                if layers[-1].diff_id != diff_id:
                    raise ProtocolError(
                        f"{transfer.reference} is damaged in the registry: layer {len(layers)} has the "
                        f"diff id {layers[-1].diff_id}, but its config names {diff_id}"
                    )
                self._messages.add_layer("Pull complete", _short(descriptor))
        except BaseException:
            _close(layers)
            raise
        with self._state.lock:
            self._state.images.note_blobs(
                {str(layer.digest): diff_id for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)}
            )
        return _Pulled(config, layers, digest)

    def _known_layers(self, descriptors: Sequence[Descriptor], diff_ids: Sequence[str]) -> list[StoredLayer]:
        """Return the lowest layers, as far as images of the engine have them on top of each other."""
        images = self._state.images
        with self._state.lock:
            count = images.known_layers([str(descriptor.digest) for descriptor in descriptors], diff_ids)
            layers = [images.shared_layer(diff_id) for diff_id in diff_ids[:count]]
        for descriptor in descriptors[:count]:
            self._messages.add_layer("Already exists", _short(descriptor))
        return layers

    # -- by v1

    def _by_v1(self, transfer: Transfer, spool: MemorySpool) -> _Pulled:
        images = ImagePull(transfer).fetch(spool)
        self._check_disk()
        layers: list[StoredLayer] = []
        try:
            for image in images:
                with image.open_layer() as stream:
                    layers.append(_expanded(stream, transfer))
                self._messages.add_layer("Pull complete", image.image_id[:12])
            config = convert.config_from_chain(
                [image.json for image in images], [layer.diff_id for layer in layers]
            )
        except convert.Unconvertible as error:
            _close(layers)
            raise ProtocolError(f"image {images[-1].image_id} is damaged in the registry: {error}") from error
        except BaseException:
            _close(layers)
            raise
        return _Pulled(config, layers)


def _expanded(file: Readable, transfer: Transfer) -> StoredLayer:
    """Return a layer as it is without compression. One of no bytes becomes an empty archive."""
    try:
        layer = read_layer(_pieces(open_decompressed(file, limit_bytes=transfer.layer_limit_bytes)))
    except UnreadableLayer as error:
        raise ProtocolError(f"{transfer.reference} is damaged in the registry: {error}") from error
    return layer if layer.size_bytes else read_layer(iter([convert.EMPTY_TAR]))


def _pieces(stream: Readable) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _short(descriptor: Descriptor) -> str:
    """Return the name of a layer in messages."""
    return descriptor.digest.hex[:12]


def _close(layers: Sequence[StoredLayer]) -> None:
    for layer in layers:
        layer.close()
