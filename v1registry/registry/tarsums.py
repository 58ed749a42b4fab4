"""Whether an announced TarSum fits a layer that a push has sent: each layer is looked into once.

Engines that have no other sum get theirs computed while the layer arrives, and ``PUT checksum`` then needs no
look. For other clients a look is taken, and what it found is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..layers.checksums import equal_sums
from ..layers.compression import ExpansionLimitExceeded, LookTooLong, UnreadableLayer
from ..layers.remembered import Remembered
from ..layers.tarsum import Label, right_tarsums
from ..storage.base import KeyNotFound, Storage
from .looks import PUSHER, TOO_LONG, Looks

#: How many bytes the remembered sums may take, and one sum, about.
_KNOWN_BYTES: Final = 8 << 20
_SUM_BYTES: Final = 200


@dataclass(frozen=True)
class _Known:
    """What looks into one layer found out."""

    texts: Mapping[str, tuple[str, ...]]  #: digest of a JSON -> the TarSums of the layer with it
    is_whole: bool  #: whether there are no others

    def digest_for(self, announced: str) -> str | None:
        """Return the digest of the JSON with which an announced TarSum is right; None if there is none."""
        for digest, texts in self.texts.items():
            if any(equal_sums(announced, text) for text in texts):
                return digest
        return None


class TarSums:
    """The TarSums of layers that pushes have sent. Safe for threads."""

    def __init__(self, storage: Storage, looks: Looks):
        self._storage = storage
        self._looks = looks
        self._known = Remembered[_Known](
            _KNOWN_BYTES, lambda known: _SUM_BYTES * (1 + sum(map(len, known.texts.values())))
        )

    def digest_for(
        self,
        announced: str,
        image_id: str,
        layer_key: str,
        digests: Sequence[str],
        read: Callable[[str], bytes | None],
        computed: Mapping[str, tuple[str, ...]],
    ) -> str | None:
        """Return the digest of the JSON with which an announced TarSum fits a layer; None if there is none.

        :param announced: any text that a client sent.
        :param layer_key: where the layer is. No other layer has this key, ever.
        :param digests: of the JSONs that count.
        :param read: returns the JSON for a digest, None if it was removed meanwhile.
        :param computed: what was computed while the layer arrived: digest -> TarSums.
        :raises LayerTooLarge: the layer is beyond the bounds of a look.
        :raises LayerBusy: other looks take too long.
        """
        label = Label.of(announced)
        if label is None:
            return None
        found = _Known(computed, is_whole=False).digest_for(announced)
        if found is None:
            place = layer_key, label
            known = self._remembered(place, digests)
            if known is None or not (known.is_whole or known.digest_for(announced)):
                with self._looks.look(image_id, PUSHER) as check:
                    known = self._remembered(place, digests)
                    if known is None or not (known.is_whole or known.digest_for(announced)):
                        known = self._look(announced, label, image_id, layer_key, digests, read, check)
            found = known.digest_for(announced)
        return found if found in digests else None

    def _remembered(self, place: tuple[str, Label], digests: Sequence[str]) -> _Known | None:
        """Return what was found before about all of these JSONs.

        :raises LayerTooLarge: a look before found that.
        """
        self._looks.failures.check(place)
        known = self._known.find(place)
        return known if known is not None and known.texts.keys() >= set(digests) else None

    def _look(
        self,
        announced: str,
        label: Label,
        image_id: str,
        layer_key: str,
        digests: Sequence[str],
        read: Callable[[str], bytes | None],
        check: Callable[[], None],
    ) -> _Known:
        """Look into a layer until an announced sum fits or no sum is left, and remember what was found."""
        known, bounds, place = _Known({}, is_whole=True), self._looks.bounds, (layer_key, label)
        try:
            size_bytes = self._storage.stat(layer_key).size
            passes = right_tarsums(
                label,
                lambda: self._storage.open(layer_key),
                limit_bytes=bounds.expansion(size_bytes),
                limit_records=bounds.records,
                check=check,
            )
            for right_sums in passes:
                texts = dict(known.texts)
                for digest in digests:
                    document = read(digest)
                    if document is not None:
                        texts[digest] = texts.get(digest, ()) + right_sums(document)
                known = _Known(texts, is_whole=False)
                if known.digest_for(announced) is not None:
                    break
            else:
                known = _Known(known.texts, is_whole=True)
        except ExpansionLimitExceeded as error:
            text = TOO_LONG if isinstance(error, LookTooLong) else None
            failure = errors.LayerTooLarge(text, image_id=image_id)
            failure.__cause__ = error
            self._looks.failures.keep(place, failure)
            raise failure from error
        except (UnreadableLayer, KeyNotFound):
            known = _Known(known.texts or dict.fromkeys(digests, ()), is_whole=True)
        self._known.keep(place, known)
        return known
