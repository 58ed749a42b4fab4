"""Push a tag by the distribution API: blobs in parallel, then the manifests, that of the tag last."""

from __future__ import annotations

from collections.abc import Sequence

from ...names import Digest
from ..parallel import Workers
from ..push import PushResult
from ..transfer import Transfer
from .content import Content
from .known import KnownBlobs
from .repository import V2Repository
from .upload import BlobUploads


class V2Push:
    """One push.

    :param mount_from: repositories of this registry in which blobs may be already.
    :param known: what earlier pushes and pulls have shown of the registry; the push adds to it.
    """

    def __init__(self, transfer: Transfer, known: KnownBlobs, *, mount_from: Sequence[str] = ()):
        self._transfer = transfer
        self._reference = transfer.reference
        self._known = known
        self._mount_from = tuple(mount_from)

    def run(self, content: Content) -> PushResult:
        """Push ``content`` and set the tag.

        :raises ApiNotOffered: the registry does not have the API, or does not accept pushes by it.
        :raises ClientError: the push failed; complete blobs stay.
        """
        places = (*self._mount_from, *self._known.repositories)
        repository = V2Repository(self._transfer, actions="pull,push", mount_from=places)
        repository.require_more_than_ping()
        makers = content.layers()
        with Workers(self._transfer.parallel) as workers:
            uploads = BlobUploads(self._transfer, repository, workers, self._places_of)
            workers.map(lambda maker: maker(uploads.send), makers)
            for blob in content.documents():
                uploads.send(blob)
        *children, (top, data) = content.manifests()
        for descriptor, child in children:
            repository.put_manifest(descriptor.digest, child, descriptor.media_type)
        repository.put_manifest(self._reference.tag, data, top.media_type)
        self._known.add(self._reference.v2_name, (*uploads.sent, *uploads.present))
        return PushResult(
            self._reference,
            top.digest.hex,
            tuple(map(str, uploads.sent)),
            tuple(map(str, uploads.present)),
            uploads.sent_bytes,
            str(top.digest),
        )

    def _places_of(self, digest: Digest) -> Sequence[str]:
        names = dict.fromkeys((*self._known.places(digest), *self._mount_from))
        return [name for name in names if name != self._reference.v2_name]
