"""Uploads of blobs. Interrupted ones continue at the offset that the registry names (distribution.md 1)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote

from ...archives.documents import Descriptor
from ...archives.load import UnreadableArchive
from ...layers.compression import CHUNK_BYTES
from ...names import Digest
from ..answers import TRANSIENT_STATUSES, Answer
from ..errors import ApiNotOffered, BadArchive, ProtocolError, RegistryUnreachable, TransferFailed
from ..http_session import check_redirect
from ..parallel import Workers
from ..progress import Meter
from ..transfer import Transfer
from .repository import V2Repository

_BYTES = {"Content-Type": "application/octet-stream"}

#: What has arrived, as registries write it: ``0-LAST``, in front of it perhaps the unit.
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class PreparedBlob:
    """A blob whose digest is known."""

    descriptor: Descriptor
    #: Opens the bytes at their start; may be called again. The file must be seekable.
    open: Callable[[], AbstractContextManager[IO[bytes]]]


class _Interrupted(Exception):
    """The upload broke; it may go on, or begin again."""


class BlobUploads:
    """Uploads to one repository. Safe for threads.

    :param mount_from: repositories of the same registry in which a blob may be; the registry looks there
        before it takes the bytes.
    :param workers: the threads of this push.
    """

    def __init__(
        self,
        transfer: Transfer,
        repository: V2Repository,
        workers: Workers,
        mount_from: Callable[[Digest], Sequence[str]],
    ):
        self.sent: list[Digest] = []  #: uploaded or mounted
        self.present: list[Digest] = []  #: not sent, because the repository had them
        self.sent_bytes = 0  #: failed attempts included
        self._transfer = transfer
        self._repository = repository
        self._workers = workers
        self._mount_from = mount_from
        self._claimed: set[Digest] = set()
        self._lock = threading.Lock()

    def send(self, blob: PreparedBlob) -> None:
        """Send a blob unless the repository has it, or another thread sends it.

        :raises TransferFailed: all attempts failed.
        :raises ApiNotOffered: the registry does not accept uploads by this API.
        :raises ClientError: the registry refused the blob.
        """
        digest = blob.descriptor.digest
        with self._lock:
            if digest in self._claimed:
                return
            self._claimed.add(digest)
        self._workers.check()
        if self._repository.has_blob(digest):
            with self._lock:
                self.present.append(digest)
            return
        label = f"push {digest.hex[:12]}"
        with Meter(self._transfer.progress, label, blob.descriptor.size_bytes) as meter:
            _Upload(self, blob, meter).run()
        with self._lock:
            self.sent.append(digest)

    def count(self, size_bytes: int) -> None:
        """Add to the bytes that were sent, and end this thread if another one failed."""
        self._workers.check()
        with self._lock:
            self.sent_bytes += size_bytes

    def begin(self, digest: Digest) -> str | None:
        """Begin an upload and return its URL; None if the blob was mounted from another repository.

        :raises ClientError: the registry refused it.
        """
        url = f"{self._repository.url}blobs/uploads/"
        for name in self._mount_from(digest):
            answer = self._repository.call("POST", f"{url}?mount={digest}&from={quote(name, safe='')}")
            if answer.status == 201:
                return None
            if answer.status == 202:
                return self.location(answer, url)
        return self.location(self._expect("POST", url, (202,)), url)

    def location(self, answer: Answer, url: str) -> str:
        """Return the URL with which an upload goes on.

        :raises ProtocolError: it is missing, or leaves https.
        """
        target = answer.headers.get("Location")
        if not target:
            raise ProtocolError(f"{answer.shown} must answer the Location of an upload")
        return check_redirect(url, target)

    def ask(self, url: str) -> Answer:
        """Ask for the state of an upload."""
        return self._repository.call("GET", url)

    def patch(self, url: str, chunks: Callable[[], _Rest], offset: int, end: int) -> Answer:
        """Send the bytes from an offset on."""
        # servers that do not know the header for the first bytes of a stream, such as old ones, ignore it
        part = {"Content-Range": f"{offset}-{end - 1}"} if offset else {}
        return self._repository.call("PATCH", url, headers={**_BYTES, **part}, chunks=chunks)

    def finish(self, url: str, digest: Digest) -> Answer:
        """Complete an upload."""
        mark = "&" if "?" in url else "?"
        return self._repository.call(
            "PUT", f"{url}{mark}digest={quote(str(digest))}", headers=_BYTES, body=b""
        )

    def has(self, digest: Digest) -> bool:
        """Tell whether the repository has a blob."""
        return self._repository.has_blob(digest)

    def pause(self, failures: int) -> None:
        """Wait before the next attempt."""
        self._transfer.connection.pause(failures)
        self._workers.check()

    @property
    def attempts(self) -> int:
        """How often a blob is tried without progress."""
        return self._transfer.connection.attempts

    def _expect(self, method: str, url: str, statuses: Sequence[int]) -> Answer:
        answer = self._repository.call(method, url)
        if answer.status in statuses:
            return answer
        if answer.error_code == "UNSUPPORTED":
            raise ApiNotOffered(
                f"{self._transfer.connection.host} accepts no pushes by the distribution API (v2)"
            )
        raise answer.failure(f"push {self._transfer.reference}")


class _Upload:
    """The upload of one blob."""

    def __init__(self, uploads: BlobUploads, blob: PreparedBlob, meter: Meter):
        self._uploads = uploads
        self._blob = blob
        self._digest = blob.descriptor.digest
        self._size_bytes = blob.descriptor.size_bytes
        self._meter = meter
        self._url = ""  # of the upload; empty if there is none

    def run(self) -> None:
        """Send the blob.

        :raises ClientError: it could not be sent.
        """
        failures, most_bytes = 0, 0
        while True:
            try:
                offset = self._recover() if failures else 0
                if offset is None:
                    return
                if offset > most_bytes:
                    failures, most_bytes = 0, offset
                if self._send_from(offset):
                    return
                self._finish()
                return
            except _Interrupted as exc:
                failures += 1
                if failures >= self._uploads.attempts:
                    raise TransferFailed(
                        f"the blob {self._digest} was interrupted after {most_bytes} of {self._size_bytes} "
                        f"bytes: {exc}; push again, complete blobs are skipped"
                    ) from exc
            self._uploads.pause(failures)

    def _send_from(self, offset: int) -> bool:
        """Send the bytes from an offset on. Return whether the blob was mounted instead.

        :raises _Interrupted: they did not arrive.
        """
        if not self._url:
            url = self._uploads.begin(self._digest)
            if url is None:
                self._meter.set(self._size_bytes)
                return True
            self._url = url
        self._meter.set(offset)
        if offset == self._size_bytes:
            return False
        try:
            answer = self._uploads.patch(self._url, self._rest_from(offset), offset, self._size_bytes)
        except RegistryUnreachable as exc:
            raise _Interrupted(str(exc)) from exc
        if answer.status not in (201, 202, 204):
            self._fail(answer)
        self._url = self._uploads.location(answer, self._url)
        received = _RECEIVED.fullmatch(answer.headers.get("Range", ""))
        if received and int(received[1]) + 1 < self._size_bytes:
            raise _Interrupted(f"the registry has received {int(received[1]) + 1} bytes only")
        return False

    def _rest_from(self, offset: int) -> Callable[[], _Rest]:
        return lambda: _Rest(self._blob, offset, self._size_bytes - offset, self._note)

    def _note(self, size_bytes: int) -> None:
        self._uploads.count(size_bytes)
        self._meter.advance(size_bytes)

    def _finish(self) -> None:
        answer = self._uploads.finish(self._url, self._digest)
        if answer.status not in (201, 204):
            self._fail(answer)

    def _fail(self, answer: Answer) -> None:
        failure = answer.failure(f"push the blob {self._digest}")
        if answer.status in TRANSIENT_STATUSES or answer.status in (404, 416):
            raise _Interrupted(str(failure)) from failure
        raise failure

    def _recover(self) -> int | None:
        """Return the offset at which the upload goes on; None if the blob is complete.

        Without a usable answer, the next attempt begins a new upload.
        """
        url, self._url = self._url, ""
        if self._uploads.has(self._digest):  # only the answer to the last call was lost
            self._meter.set(self._size_bytes)
            return None
        answer = self._uploads.ask(url) if url else None
        if answer is None or answer.status not in (200, 204):
            return 0
        received = _RECEIVED.fullmatch(answer.headers.get("Range", ""))
        # 0-0 means no byte or one: a new upload costs nothing
        offset = int(received[1]) + 1 if received and received[1] != "0" else 0
        if not 0 < offset <= self._size_bytes:
            return 0
        self._url = self._uploads.location(answer, url) if answer.headers.get("Location") else url
        return offset


class _Rest:
    """The bytes of a blob from an offset on, as the body of a request with a length."""

    def __init__(self, blob: PreparedBlob, offset: int, size_bytes: int, note: Callable[[int], None]):
        self._blob = blob
        self._offset = offset
        self._size_bytes = size_bytes
        self._note = note

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        left = self._size_bytes
        try:
            with self._blob.open() as file:
                file.seek(self._offset)
                while left:
                    chunk = file.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise BadArchive(f"the blob {self._blob.descriptor.digest} became shorter")
                    left -= len(chunk)
                    yield chunk
                    self._note(len(chunk))
        except (UnreadableArchive, OSError) as exc:
            raise BadArchive(f"the archive cannot be read: {exc}") from exc
