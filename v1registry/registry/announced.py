"""What a client announces of a layer when it completes an image (registry.md 4.4, 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

from .. import errors
from ..layers.checksums import equal_sums


@dataclass(frozen=True)
class AnnouncedSums:
    """The sums that a client announces with ``PUT checksum``; None for a header that was not sent."""

    payload: str | None  #: ``X-Docker-Checksum-Payload``
    tarsum: str | None  #: ``X-Docker-Checksum``
    is_old_engine: bool = False  #: docker before 0.10, whose payload sum covers other bytes

    def check(self) -> None:
        """Check that there is something to compare.

        :raises ChecksumHeaderMissing: neither header was sent.
        :raises ChecksumMissing: the headers are empty.
        """
        if self.payload is None and self.tarsum is None:
            raise errors.ChecksumHeaderMissing
        if not (self.payload or self.tarsum):
            raise errors.ChecksumMissing

    def fits(self, *sums: str) -> bool:
        """Tell whether one of the announced sums is one of these."""
        candidates = [sum_ for sum_ in (self.payload, self.tarsum) if sum_]
        return any(equal_sums(candidate, sum_) for candidate in candidates for sum_ in sums)

    @property
    def deciding_tarsum(self) -> str | None:
        """The TarSum that has to be computed; None if the payload sum decides.

        The TarSum decides in two cases: the client sent no payload sum, or it is docker before 0.10. The
        payload sum of such a client covers the tar before it was rewritten and compressed (registry.md 6.2).
        """
        tarsum = self.tarsum
        if not tarsum or not tarsum.startswith("tarsum") or (self.payload and not self.is_old_engine):
            return None
        return tarsum
