"""Pull v1 images into an OCI layout, as the image that engines from 1.10 on would make of them."""

from __future__ import annotations

from ..archives.documents import Descriptor
from ..archives.load import ArchivedChain
from ..layers.compression import CHUNK_BYTES
from .layout_output import LayoutOutput, LayoutTarget
from .pull import ImagePull, PullResult
from .transfer import Transfer
from .v2.content import ChainContent
from .v2.upload import PreparedBlob


def pull_into_layout(transfer: Transfer, output: LayoutOutput, *, gzip_level: int) -> PullResult:
    """Pull a tag.

    :raises ClientError: the pull failed; fetched layers stay.
    :raises OSError: the output cannot be written.
    """
    pull = ImagePull(transfer)
    with output.open() as target:
        images = pull.fetch(target.spool)
        content = ChainContent(
            ArchivedChain(images, ()),
            gzip_level=gzip_level,
            limit_bytes=transfer.layer_limit_bytes,
            is_oci=True,  # skopeo reads nothing else in a layout
        )
        for make in content.layers():
            make(lambda blob: _store(blob, target))
        config: Descriptor | None = None
        for blob in content.documents():
            _store(blob, target)
            config = blob.descriptor
        ((manifest, data),) = content.manifests()
        target.layout.add(manifest, data)
        target.layout.finish(manifest, transfer.reference.tag)
        size_bytes = output.deliver(target)
    return PullResult(
        transfer.reference,
        images[-1].image_id,
        tuple(image.image_id for image in images),
        str(config.digest) if config else "",
        output.path,
        size_bytes,
        pull.fetched_bytes,
        pull.kept_bytes,
        str(manifest.digest),
    )


def _store(blob: PreparedBlob, target: LayoutTarget) -> None:
    path = target.spool.folder / "blob"
    with blob.open() as source, open(path, "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            file.write(chunk)
    target.layout.add_file(blob.descriptor, path)
