"""Keeps the bodies of a transcript: small ones in its lines, large ones as files beside it."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from ..transcripts.masking import MOST_MASKED_BYTES, Masker
from ..transcripts.transcripts import MOST_INLINE_BYTES, TranscriptBody, digest_of

#: How many bytes of bodies are kept beside one transcript.
MOST_KEPT_BYTES: Final = 4 << 30


class BodyStore:
    """The folder of the large bodies of one transcript. Safe for threads.

    :param folder: is made with the first body.
    :param max_body_bytes: of longer bodies, only length and digest are kept.
    """

    def __init__(self, folder: Path, max_body_bytes: int):
        self.folder = folder
        self.max_body_bytes = max_body_bytes
        self._lock = threading.Lock()
        self._kept_bytes = 0

    def may_keep(self, size: int) -> bool:
        """Tell whether so many more bytes may be kept, and count them."""
        with self._lock:
            is_kept = self._kept_bytes + size <= MOST_KEPT_BYTES
            if is_kept:
                self._kept_bytes += size
            return is_kept


class BodyCapture:
    """The bytes of a body on their way: in memory at first, later in a file."""

    def __init__(self, store: BodyStore):
        self._store = store
        self._digest = hashlib.sha256()
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._file_path: Path | None = None
        self._is_kept = True
        self.length = 0

    def add(self, data: bytes) -> None:
        """Add bytes."""
        if not data:
            return
        self._digest.update(data)
        self.length += len(data)
        if not self._is_kept:
            return
        if self.length > self._store.max_body_bytes:
            self._drop()
        elif self._file is not None:
            self._write(data)
        else:
            self._memory += data
            if self.length > MOST_MASKED_BYTES:
                self._store.folder.mkdir(exist_ok=True)
                self._file_path = self._store.folder / f".{os.urandom(8).hex()}.tmp"
                self._file = self._file_path.open("wb")
                self._write(bytes(self._memory))
                self._memory.clear()

    def _write(self, data: bytes) -> None:
        if not self._store.may_keep(len(data)):
            self._drop()
        elif self._file is not None:
            self._file.write(data)

    def _drop(self) -> None:
        self._is_kept = False
        self._memory.clear()
        if self._file is not None and self._file_path is not None:
            self._file.close()
            with suppress(FileNotFoundError):
                self._file_path.unlink()
        self._file = None

    def body(self, masker: Masker, content_type: str, path: str) -> TranscriptBody:
        """Return the body as it is kept, and end the capture."""
        sha256 = self._digest.hexdigest()
        if not self._is_kept:
            return TranscriptBody(self.length, sha256, None)
        if self._file is not None and self._file_path is not None:
            self._file.close()
            self._file = None
            self._is_kept = False
            place = self._store.folder / sha256
            os.replace(self._file_path, place)
            return TranscriptBody(self.length, sha256, place)
        data = bytes(self._memory)
        masked = masker.body(data, content_type, path)
        body = TranscriptBody(len(masked), digest_of(masked), masked, is_masked=masked != data)
        if len(masked) <= MOST_INLINE_BYTES:
            return body
        place = self._store.folder / digest_of(masked)
        if not place.exists():
            if not self._store.may_keep(len(masked)):
                return replace(body, content=None)
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(masked)
        return replace(body, content=place)
