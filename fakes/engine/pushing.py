"""Push an image of an engine to a registry (remote.md 4.7)."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final

from v1registry.archives import convert
from v1registry.archives.documents import Descriptor
from v1registry.archives.history import with_history
from v1registry.archives.images import ChainImage
from v1registry.archives.load import ArchivedChain
from v1registry.client import ClientError
from v1registry.client.api_choice import by_api
from v1registry.client.push import ImagePush
from v1registry.client.reference import Reference
from v1registry.client.transfer import Transfer
from v1registry.client.v2.content import ChainContent
from v1registry.client.v2.known import KnownBlobs
from v1registry.client.v2.push import V2Push

from .errors import EngineError
from .image_store import EngineImage, StoredLayer
from .messages import Messages
from .references import ImageReference
from .state import EngineState

_GZIP_LEVEL: Final = 6


class _Content(ChainContent):
    """A chain that tells which layers its blobs are, and how large its manifest is."""

    manifest_bytes = 0  #: once the manifest was made

    def layer_of(self, digest: str) -> str | None:
        """Return the diff id of the layer with a blob, None if the blob is no layer.

        :param digest: of the blob, or the beginning of its digits.
        """
        for descriptor, diff_id in list(self._layers.values()):
            if str(descriptor.digest) == digest or descriptor.digest.hex.startswith(digest):
                return diff_id
        return None

    def manifests(self) -> Sequence[tuple[Descriptor, bytes]]:
        """Return the manifest."""
        found = super().manifests()
        self.manifest_bytes = len(found[-1][1])
        return found


class EnginePush:
    """One push of a tag."""

    def __init__(
        self,
        state: EngineState,
        reference: ImageReference,
        credentials: dict[str, str],
        messages: Messages,
    ):
        self._state = state
        self._reference = reference
        self._credentials = credentials
        self._messages = messages

    def run(self) -> None:
        """Push the image.

        :raises EngineError: there is no such image, or the registry refuses it or cannot be reached.
        """
        state, reference = self._state, self._reference
        with state.lock:
            image = state.images.find(str(reference))
            layers = state.images.shared_layers(image)
        try:
            for layer in layers:
                self._messages.add_layer("Preparing", _short(layer.diff_id))
            digest = self._send(_chain_of(image, layers))
        except ClientError as error:
            raise EngineError(f"denied: {error}") from error
        finally:
            for layer in layers:
                layer.close()
        with state.lock:
            if digest:
                state.images.name(reference.with_digest(digest), image)
            state.pushed[str(reference)] = None
        state.events.add("image", "push", str(reference), {"name": reference.name, **image.labels})

    def _send(self, chain: ArchivedChain) -> str | None:
        registries = self._state.registries
        there = Reference.parse(registries.name_there(self._reference))
        with registries.connected(self._reference.host) as connection:
            transfer = registries.transfer(connection, self._credentials, there, self._messages)
            return by_api(
                connection,
                registries.api,
                there,
                by_v2=lambda: self._by_v2(transfer, chain),
                by_v1=lambda: self._by_v1(transfer, chain),
            )

    def _by_v2(self, transfer: Transfer, chain: ArchivedChain) -> str:
        content = _Content(chain, gzip_level=_GZIP_LEVEL, limit_bytes=transfer.layer_limit_bytes)

        def shown(blob: str) -> str | None:
            diff_id = content.layer_of(blob)
            return None if diff_id is None else _short(diff_id)

        self._messages.name_layers(shown)
        pushed = V2Push(transfer, KnownBlobs()).run(content)
        skipped = {shown(blob) for blob in pushed.skipped}
        for image in chain.images:
            layer = _short(image.diff_id or "")
            if layer in skipped:
                self._messages.add_layer("Layer already exists", layer)
        digest, size_bytes = str(pushed.digest), content.manifest_bytes
        self._messages.add(f"{self._reference.tag}: digest: {digest} size: {size_bytes}")
        self._messages.add_aux(Tag=self._reference.tag, Digest=digest, Size=size_bytes)
        return digest

    def _by_v1(self, transfer: Transfer, chain: ArchivedChain) -> None:
        pushed = ImagePush(transfer, gzip_level=_GZIP_LEVEL).run(chain)
        for image_id in pushed.skipped:
            self._messages.add_layer("Layer already exists", image_id[:12])


def _chain_of(image: EngineImage, layers: Sequence[StoredLayer]) -> ArchivedChain:
    """Return an image as the images of v1 that engines make of it."""
    documents = with_history(convert.chain_from_config(image.config_bytes), image.config_bytes)
    openers = [layer.open for layer in layers] or [lambda: BytesIO(convert.EMPTY_TAR)]
    return ArchivedChain(
        tuple(
            ChainImage(document.image_id, document.json, opener, None, document.diff_id, has_content_id=True)
            for document, opener in zip(documents, openers, strict=True)
        ),
        (),
        image.config_bytes,
    )


def _short(diff_id: str) -> str:
    return diff_id.removeprefix("sha256:")[:12]
