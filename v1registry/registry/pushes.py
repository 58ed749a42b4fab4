"""Pushes: JSON, layer, checksum, until an image is complete (registry.md 4.3 to 4.5, 5; decisions.md 5, 17).

What a push sends is kept apart from other pushes of the same id, below ``uploads/``. When its checksum fits,
the image is completed in one step. Nothing below ``images/`` changes before, and no step waits for another
request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from .. import errors
from ..layers.checksums import PayloadChecksum
from ..layers.streamed_tarsum import TarSumStreams
from ..log import get_logger
from ..names import RepositoryName, check_image_id
from ..rights import Action, Content, PushGrant, Rights
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Storage, StorageError
from ..storage.patience import cleanup
from . import layout
from .announced import AnnouncedSums
from .contents import Contents
from .holding import Holding
from .images import checked_parent
from .sent import SentJson, SentLayer, StagedPush, facts_for
from .sent_pushes import AddedLayer
from .staging import Staging
from .tarsums import TarSums

log = get_logger(__name__)


@dataclass(frozen=True)
class _Pair:
    """A JSON and a layer of one push that an announced sum fits."""

    sent: SentJson
    layer: SentLayer
    sums: tuple[str, ...]  #: to be stored: the payload sum, and the TarSum if that was compared


class Pushes:
    """The pushes to one storage. Safe for threads and processes.

    :param most_in_chain: how many images an image and its ancestors may be.
    """

    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        holding: Holding,
        staging: Staging,
        tarsums: TarSums,
        *,
        most_in_chain: int = 400,
    ):
        self._storage = storage
        self._contents = contents
        self._holding = holding
        self._staging = staging
        self._tarsums = tarsums
        self._streams = TarSumStreams()
        self._most_in_chain = most_in_chain

    # -- JSON

    def put_json(self, image_id: str, document: bytes, parsed: object, rights: Rights) -> None:
        """Begin a push with the JSON as sent (registry.md 4.5).

        :param parsed: what ``document`` says; None if it is not JSON.
        :raises InvalidJson: it is not the JSON of an image.
        :raises BadRequest: its id is missing or different, or the image would be its own ancestor.
        :raises ImageNotListed: no repository of the push lists the image.
        :raises ParentNotFound: the parent does not count (decisions.md 17).
        :raises ChainTooLong: the image would have too many ancestors.
        :raises ParentNotAuthorized: the index that the registry trusts does not allow the parent.
        :raises ImageExists: the caller may read the complete image, and this push has not sent a JSON before.
        :raises TooManyUnfinishedBytes: the user has too many bytes of unfinished pushes.
        :raises TooManyUnfinishedPushes: the push is new, and the user has too many unfinished pushes.
        """
        check_image_id(image_id)
        parent = checked_parent(image_id, parsed)
        self._staging.expiry.tidy()
        grant = rights.push_grant(image_id)
        for repository in grant.repositories:
            self._holding.begin(repository)
        ancestry = self._ancestry(image_id, parent, grant, rights)
        push = self._staging.find_or_expire(image_id, grant.key)
        if not push.jsons and rights.image_state(image_id).content is not None:
            raise errors.ImageExists(image_id=image_id)
        self._staging.add_json(push, document, facts_for(grant, ancestry))

    def _ancestry(self, image_id: str, parent: str | None, grant: PushGrant, rights: Rights) -> list[str]:
        """Return the ancestry that an image has on a parent, as far as the parent counts for the push.

        :raises ParentNotFound: the parent does not count.
        :raises ParentNotAuthorized: the index does not allow it.
        :raises BadRequest: the image would be its own ancestor.
        :raises ChainTooLong: it would have too many ancestors.
        """
        if parent is None:
            return [image_id]
        above = self._ancestry_of_parent(parent, grant, rights)
        if above is None:
            raise rights.parent_error(parent)
        if image_id in above:
            raise errors.BadRequest("Image depends on itself through its parent", image_id=image_id)
        if len(above) >= self._most_in_chain:
            raise errors.ChainTooLong(self._most_in_chain)
        return [image_id, *above]

    def _ancestry_of_parent(self, parent: str, grant: PushGrant, rights: Rights) -> list[str] | None:
        for repository in grant.repositories or (None,):
            content = rights.content_in(repository, parent)
            if content is not None:
                return self._contents.ancestry(content)
        sent = self._staging.find(parent, grant.key).jsons
        facts = self._staging.facts(sent[-1]) if sent else None
        if facts is not None:
            return list(facts.ancestry)
        for repository in grant.repositories:
            content = rights.state_for(repository, parent, is_named=True).content
            if content is not None:
                return self._contents.ancestry(content)
        if grant.repositories:
            return None
        # on an open server any unfinished push counts, that of an old server too
        facts = next(self._staging.any_facts(parent), None)
        if facts is not None:
            return list(facts.ancestry)
        return self._contents.known_ancestry(Content(parent)) if self._contents.has_mark(parent) else None

    # -- layer

    def put_layer(
        self,
        image_id: str,
        chunks: Iterable[bytes],
        rights: Rights,
        *,
        announced_bytes: int | None = None,
        has_tarsum_alone: bool = False,
    ) -> None:
        """Keep a layer as it is sent. Nothing is kept if ``chunks`` raises.

        :param announced_bytes: the size of the layer; None if it is unknown.
        :param has_tarsum_alone: the client is an engine that will announce no sum but a TarSum. It is
            computed while the layer arrives.
        :raises ImageNotFound: the push has sent no JSON, and the caller may not read the image.
        :raises ImageExists: the image is complete with a different layer, and the push did not begin before.
        :raises ImageReplaced: the push has sent a different JSON meanwhile.
        :raises TooManyUnfinishedBytes: the user has too many bytes of unfinished pushes.
        """
        check_image_id(image_id)
        doubtful = self._put_layer(image_id, chunks, rights, announced_bytes, has_tarsum_alone)
        if doubtful is not None:
            # it counts as one that comes now
            try:
                with self._staging.open_layer(doubtful) as blob:
                    self._put_layer(image_id, blob, rights, blob.stat.size, is_guess=False)
            finally:
                with cleanup(), suppress(StorageError):
                    self._staging.drop_layer(doubtful)

    def _put_layer(
        self,
        image_id: str,
        chunks: Iterable[bytes],
        rights: Rights,
        announced_bytes: int | None,
        has_tarsum_alone: bool = False,
        *,
        is_guess: bool = True,
    ) -> AddedLayer | None:
        """Keep a layer as it is sent. See :meth:`put_layer`.

        :param is_guess: what the push has sent before may be guessed.
        :return: the layer if the guess was wrong, or if another instance got a JSON meanwhile.
        """
        key = rights.push_key()
        push, payloads = self._staging.probable(image_id, key) if is_guess else (None, {})
        if push is None or not payloads:
            is_guess, push = False, self._staging.find(image_id, key)
            payloads = self._staging.payloads(push)
        if not payloads:
            rights.push_grant(image_id)
            self._put_layer_again(image_id, chunks, rights)
            return None
        with self._streams.open() if has_tarsum_alone else nullcontext() as stream:
            added = self._staging.add_layer(
                push, payloads, chunks, announced_bytes, stream, is_probable=is_guess
            )
        if added.is_doubtful:
            return added
        self._check_still_sent(image_id, payloads, added, rights)
        return None

    def _check_still_sent(
        self, image_id: str, payloads: Iterable[str], added: AddedLayer, rights: Rights
    ) -> None:
        """Check that a layer belongs to what the push has sent, or equals that of the complete image.

        :raises ImageReplaced: the push has sent a different JSON meanwhile.
        :raises ImageExists: the image is complete with a different layer.
        """
        after = added.after
        if after.key.is_shared or after.digests == list(payloads):
            return
        # another request of the push was faster
        if after.digests:
            raise errors.ImageReplaced(image_id=image_id)
        content = rights.image_state(image_id).content
        stored = self._contents.payload_sums(content) if content is not None else ()
        if not any(f"sha256:{sum_}" in stored for sum_ in added.sums.values()):
            raise errors.ImageExists(image_id=image_id)

    def _put_layer_again(self, image_id: str, chunks: Iterable[bytes], rights: Rights) -> None:
        """Compare a layer with the stored one of a complete image; keep it if a mirror has not fetched it."""
        content = rights.image_state(image_id).content
        if content is None:
            raise errors.ImageNotFound(image_id=image_id)
        payload = PayloadChecksum(self._contents.document(content))

        def summed() -> Iterable[bytes]:
            for chunk in chunks:
                payload.update(chunk)
                yield chunk

        key = layout.content_key(content, layout.LAYER)
        try:
            self._storage.stat(key)
        except KeyNotFound:
            if not rights.is_open:
                # others may hold this content too, and nothing tells whether these are its bytes
                raise errors.ImageExists(image_id=image_id) from None
            try:
                self._storage.write(key, summed(), expect=ABSENT)
                sums = json.dumps([payload.text()]).encode("ascii")
                self._storage.write(layout.content_key(content, layout.CHECKSUM), sums)
                return
            except KeyConflict:
                pass  # another client was faster; all was read
        for _ in summed():
            pass
        if payload.text() not in self._contents.payload_sums(content):
            raise errors.ImageExists(image_id=image_id)

    # -- checksum

    def put_checksum(self, image_id: str, announced: AnnouncedSums, rights: Rights) -> None:
        """Complete the image if one of the announced sums fits what the push has sent (registry.md 4.4, 6.3).

        :raises ChecksumHeaderMissing: neither header was sent.
        :raises ChecksumMissing: the headers are empty.
        :raises ImageNotFound: the push has sent no JSON, and the caller may not read the image.
        :raises ChecksumRefused: the image is complete with a different sum, and the push did not begin
            before.
        :raises LayerMissing: no layer came after the JSON.
        :raises ChecksumMismatch: the sum fits nothing that the push has sent.
        :raises ParentNotFound: the parent does not count any more.
        """
        push = self._staging.find(check_image_id(image_id), rights.push_key())
        if not push.jsons:
            rights.push_grant(image_id)
        announced.check()
        if not push.jsons:
            content = rights.image_state(image_id).content
            if content is None:
                raise errors.ImageNotFound(image_id=image_id)
            if not announced.fits(*self._contents.checksums(content)):
                raise errors.ChecksumRefused(image_id=image_id)
            return
        pair = self._pair(push, announced)
        if self._complete(push, pair, rights):
            return
        after = self._staging.find(image_id, push.key)
        is_json_gone = pair.sent.key not in {sent.key for sent in after.jsons}
        if is_json_gone and pair.sent.digest in after.digests:
            # another client of a shared key used up its JSON, which equals that of this client
            self.put_checksum(image_id, announced, rights)
            return
        # a request for the same sum was faster, or was interrupted
        self._staging.drop(push, [pair.layer])
        content = rights.image_state(image_id).content
        if content is None or not announced.fits(*self._contents.checksums(content)):
            self.put_checksum(image_id, announced, rights)

    def _pair(self, push: StagedPush, announced: AnnouncedSums) -> _Pair:
        """Return the JSON and the layer that an announced sum fits.

        The oldest layer goes first: an older one fits fewer JSONs, so that others are left for other clients.

        :raises LayerMissing: no layer came after the JSON.
        :raises ChecksumMismatch: the sum fits none.
        """
        layers = [self._staging.with_sums(layer) for layer in push.layers]
        jsons = list({sent.digest: sent for sent in reversed(push.jsons)}.values())
        pairs = [(sent, layer) for layer in layers for sent in jsons if sent.digest in layer.sums]
        if not pairs:
            raise errors.LayerMissing(image_id=push.image_id)
        for sent, layer in pairs:
            payload = f"sha256:{layer.sums[sent.digest]}"
            if announced.fits(payload):
                return _Pair(sent, layer, (payload,))
        tarsum = announced.deciding_tarsum
        for layer in layers:
            digest = None if tarsum is None else self._digest_for(push, jsons, layer, tarsum)
            if tarsum is not None and digest is not None:
                sent = next(sent for sent in jsons if sent.digest == digest)
                return _Pair(sent, layer, (f"sha256:{layer.sums[digest]}", tarsum))
        raise errors.ChecksumMismatch(image_id=push.image_id, announced=(announced.payload, announced.tarsum))

    def _complete(self, push: StagedPush, pair: _Pair, rights: Rights) -> bool:
        """Complete the image with a pair; False if it was removed meanwhile."""
        found = self._staging.read(pair.sent)
        if found is None:
            return False
        facts, document = found
        repositories = tuple(name for name in facts.repositories if rights.allows(Action.WRITE, name))
        if facts.repositories and not repositories:
            raise errors.ImageNotListed(image_id=push.image_id)
        # the parent may have got a different ancestry since the JSON was sent
        grant = PushGrant(push.key, repositories)
        ancestry = self._ancestry(push.image_id, facts.parent, grant, rights)
        staged = self._staging.prepare(
            push, pair.layer, pair.sent.digest, document, ancestry, list(pair.sums)
        )
        if staged is None:
            return False
        self._hold_parents(rights, repositories, ancestry)
        if not self._holding.complete(rights, repositories, push.image_id, staged):
            log.info("%s was completed by another push; %s is dropped", push.image_id, pair.sums[0])
        self._keep_parent(rights, repositories, ancestry)
        self._staging.end(push, pair.sent, pair.layer, staged)
        return True

    def _hold_parents(
        self, rights: Rights, repositories: Iterable[RepositoryName], ancestry: list[str]
    ) -> None:
        """Let the repositories hold the parent, unless it is unfinished."""
        for repository in repositories:
            if len(ancestry) > 1 and rights.content_in(repository, ancestry[1]) is None:
                self._holding.take_over(rights, repository, ancestry[1], is_named=True)

    def _keep_parent(
        self, rights: Rights, repositories: Iterable[RepositoryName], ancestry: list[str]
    ) -> None:
        """Keep the ancestors of an image that is complete now from the garbage collection.

        :raises ParentNotFound: the collection was faster. A push of the parent repairs the image.
        """
        if len(ancestry) == 1:
            return
        for repository in tuple(repositories) or (None,):
            if not self._holding.keep(repository, ancestry[1]) and not self._is_unfinished(ancestry[1]):
                raise rights.parent_error(ancestry[1])

    def _is_unfinished(self, image_id: str) -> bool:
        return self._staging.has_any(image_id) or self._contents.has_mark(image_id)

    def _digest_for(
        self, push: StagedPush, jsons: Iterable[SentJson], layer: SentLayer, tarsum: str
    ) -> str | None:
        """Return the digest of the JSON with which a TarSum fits a layer; None if there is none.

        :raises LayerTooLarge: the layer is beyond the bounds of a look.
        :raises LayerBusy: other looks take too long.
        """
        sent_jsons = {sent.digest: sent for sent in jsons if sent.digest in layer.sums}

        def read(digest: str) -> bytes | None:
            return self._staging.document(sent_jsons[digest])

        key = f"{push.folder}/layers/{layer.name}/{layout.LAYER}"
        return self._tarsums.digest_for(tarsum, push.image_id, key, list(sent_jsons), read, layer.tarsums)
