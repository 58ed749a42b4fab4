"""Pull a tag or a digest by the distribution API into an OCI layout."""

from __future__ import annotations

from collections.abc import Sequence

from ...archives.documents import Descriptor, ImageManifest
from ...names import Digest
from ..layout_output import LayoutOutput, LayoutTarget
from ..pull import PullResult
from ..reference import Reference
from .pull import Found, V2Pull


class V2LayoutPull:
    """A pull of blobs, manifests and indexes as they are, into a layout.

    :param is_whole: an index is pulled with all its images; otherwise one image is chosen.
    """

    def __init__(self, pull: V2Pull, reference: Reference, *, is_whole: bool):
        self._pull = pull
        self._reference = reference
        self._is_whole = is_whole

    def run(self, output: LayoutOutput) -> PullResult:
        """Pull the reference. A digest without a tag is the name of the image in the layout.

        :raises ClientError: the pull failed; fetched blobs stay.
        :raises OSError: the output cannot be written.
        """
        top = self._pull.find_top() if self._is_whole else self._pull.find_image()[0]
        everything = list(self._pull.find_all(top))
        with output.open() as target:
            self._fetch_blobs(everything, target)
            for found in everything:
                target.layout.add(found.descriptor, found.data)
            target.layout.finish(top.descriptor, self._reference.tag or str(self._reference.digest))
            size_bytes = output.deliver(target)
        config = top.document.config if isinstance(top.document, ImageManifest) else None
        is_image = isinstance(top.document, ImageManifest) and top.document.is_image
        return PullResult(
            self._reference,
            "",
            (),
            str(config.digest) if config and is_image else "",
            output.path,
            size_bytes,
            self._pull.fetched_bytes,
            self._pull.kept_bytes,
            str(top.descriptor.digest),
        )

    def _fetch_blobs(self, everything: Sequence[Found], target: LayoutTarget) -> None:
        """Download the blobs that the layout does not have whole. Foreign layers may be missing."""
        blobs: dict[Digest, Descriptor] = {}
        for found in everything:
            if isinstance(found.document, ImageManifest):
                blobs.update((blob.digest, blob) for blob in found.document.blobs if not blob.is_foreign)
        missing = [blob for blob in blobs.values() if not target.layout.has(blob)]
        self._pull.fetch(missing, target.spool)
        for blob in missing:
            target.layout.add_file(blob, target.spool.layer(blob.digest.hex))
