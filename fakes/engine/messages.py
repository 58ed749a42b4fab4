"""The JSON messages that engines stream while they pull and push, one in a line (remote.md 4.7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Final

from v1registry.client import ClientError

from ..socket_files import Followed
from .errors import EngineError

#: A layer is reported again when this share of it was transferred, as engines do not report each byte.
_STEPS: Final = 8

#: What engines extract before they tell of it, in bytes.
_PIECE_BYTES: Final = 32 << 10

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


class Messages:
    """Collects the messages of a transfer, from several threads, for the stream that the client reads.

    :param moving: ``Downloading`` or ``Pushing``.
    :param finished: the message about a layer that was transferred.
    """

    def __init__(self, moving: str, *finished: str):
        self._moving = moving
        self._finished = finished
        self._queue: Queue[dict[str, object] | EngineError | None] = Queue()
        self._opening: tuple[str, str | None] | None = None
        self._lock = Lock()  # guards the opening
        self._name_of: Callable[[str], str | None] = lambda label: label

    def begin(self, status: str, layer: str | None = None) -> None:
        """Set the message that comes before the next one. A failure before that has a status of its own."""
        with self._lock:
            self._opening = (status, layer)

    def open(self) -> None:
        """Add the message that was set by :meth:`begin`, unless that was done."""
        with self._lock:
            opening, self._opening = self._opening, None
        if opening is not None:
            self._put(*opening)

    def add(self, status: str) -> None:
        """Add a message."""
        self.open()
        self._put(status)

    def add_layer(self, status: str, layer: str) -> None:
        """Add a message on a layer.

        :param layer: the first 12 digits of the layer's digest, or another id.
        """
        self.open()
        self._queue.put({"status": status, "progressDetail": {}, "id": layer})

    def add_extraction(self, layer: str, size_bytes: int) -> None:
        """Add what engines tell while they extract a layer: a first piece, and the end."""
        self._add_progress("Extracting", layer, min(size_bytes, _PIECE_BYTES), size_bytes)
        self._add_progress("Extracting", layer, size_bytes, size_bytes)

    def _put(self, status: str, layer: str | None = None) -> None:
        self._queue.put({"status": status} if layer is None else {"status": status, "id": layer})

    def _add_progress(self, status: str, layer: str, done_bytes: int, total_bytes: int) -> None:
        self._queue.put({
            "status": status,
            "progressDetail": {"current": done_bytes, "total": total_bytes},
            "progress": _bar(done_bytes, total_bytes),
            "id": layer,
        })  # fmt: skip

    def add_aux(self, **values: object) -> None:
        """Add a message for programs, such as the digest of a push."""
        self._queue.put({"progressDetail": {}, "aux": values})

    # -- the progress of the client

    def name_layers(self, name_of: Callable[[str], str | None]) -> None:
        """Let the progress of layers have other names.

        :param name_of: gets the name that the client gives to a layer, and returns its name in messages; None
            if it is not told.
        """
        self._name_of = name_of

    def start(self, label: str, total_bytes: int | None, /) -> _Layer:
        """Begin the transfer of a layer.

        :param label: ``pull 0123456789ab`` and the like.
        """
        kind, _, layer = label.partition(" ")
        name = self._name_of(layer)
        self.open()
        # writing an archive is no transfer
        is_told = kind in ("pull", "push") and name is not None
        return _Layer(self if is_told else None, name or layer, total_bytes or 0)

    # -- the stream

    def streamed(self, work: Callable[[], object]) -> Iterator[bytes]:
        """Do the work in a thread, and return its messages as lines. A later failure is the last message.

        :raises EngineError: the work fails before its first message.
        """

        def run() -> None:
            try:
                work()
            except EngineError as error:
                self._queue.put(error)
            except (ClientError, OSError) as error:
                self._queue.put(EngineError(str(error)))
            finally:
                self._queue.put(None)

        worker = Thread(target=run, name="v1registry fake engine", daemon=True)
        worker.start()
        first = self._queue.get()
        if isinstance(first, EngineError):
            worker.join()
            raise first
        return self._lines(first, worker)

    def _lines(self, message: dict[str, object] | EngineError | None, worker: Thread) -> Iterator[bytes]:
        try:
            while message is not None:
                if isinstance(message, EngineError):
                    message = {"errorDetail": {"message": message.message}, "error": message.message}
                line = json.dumps(message).encode("utf-8") + b"\r\n"
                try:
                    message = self._queue.get_nowait()
                except Empty:
                    yield line
                    message = self._queue.get()
                else:
                    yield line if message is None else Followed(line)
        finally:
            worker.join()


class _Layer:
    """The transfer of one layer."""

    def __init__(self, messages: Messages | None, layer: str, total_bytes: int):
        self._messages = messages
        self._layer = layer
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._reported_bytes = 0

    def advance(self, size_bytes: int, /) -> None:
        """Add transferred bytes."""
        self._done_bytes += size_bytes
        is_far = self._done_bytes - self._reported_bytes >= max(self._total_bytes // _STEPS, 1)
        if self._messages is not None and is_far:
            self._reported_bytes = self._done_bytes
            self._messages._add_progress(
                self._messages._moving, self._layer, self._done_bytes, self._total_bytes
            )

    def finish(self) -> None:
        """Report the end of the transfer."""
        if self._messages is not None and self._done_bytes >= self._total_bytes:
            for status in self._messages._finished:
                self._messages.add_layer(status, self._layer)


def _bar(done_bytes: int, total_bytes: int) -> str:
    """Return the progress in the form of docker's command line."""
    width = 50 * done_bytes // max(total_bytes, 1)
    return f"[{'=' * width}>{' ' * (50 - width)}] {_size(done_bytes):>8}/{_size(total_bytes)}"


def _size(size_bytes: float) -> str:
    """Return a size with four digits, as docker writes it.

    >>> _size(3_004_674), _size(106)
    ('3.005MB', '106B')
    """
    unit = 0
    while size_bytes >= 1000 and unit < len(_UNITS) - 1:
        size_bytes /= 1000
        unit += 1
    return f"{size_bytes:.4g}{_UNITS[unit]}"
