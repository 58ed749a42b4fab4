"""The key of the destination that says of what it is a copy, and how far that copy is."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any, Final

from ...clock import Clock
from ...registry.keeping import host_of_pids, is_dead
from ...registry.layout import parse_stored
from ...storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage
from ..checkpoints import COPY, HOUSEKEEPING, SAVED_EACH_S

_KEY: Final = f"{HOUSEKEEPING}/{COPY}"

#: The runs of this process. The end of a run cannot be stored if the destination is full.
_running: Final = set[str]()


class CopyRefused(Exception):
    """The copy was not begun, and nothing was changed. The text says why, and what to do."""


class CopyRunning(Exception):
    """Another copy to the destination runs, or has taken over."""


class CopyState:
    """The state of one copy. For one thread.

    :param source_name: what tells the source from others.
    :param is_shared: the destination may have other data.
    :param deletes: what the source has lost is removed, even if a copy was complete.
    :raises CopyRefused: the destination is not empty, and not a copy of the source.
    :raises CopyRunning: another copy runs.
    """

    def __init__(
        self, destination: Storage, source_name: str, *, is_shared: bool, deletes: bool, clock: Clock
    ):
        self._destination = destination
        self._clock = clock
        value, stat = self._read()
        fields: Any = parse_stored(value) if stat is not None else {}
        if not isinstance(fields, dict):
            fields = {}
        if stat is not None and not _has_ended(value, stat, clock.time_s()):
            raise CopyRunning
        is_same = fields.get("source") == source_name
        if not is_same and not is_shared:
            self._require_empty(fields)
        self._stat = stat
        #: whether the destination has other data, which stays
        self.is_shared = bool(fields.get("is_shared")) if is_same else not self._is_empty()
        if deletes and self.is_shared:
            raise CopyRefused(
                "the destination had other data when the copy began, so nothing is removed from it: "
                "leave out --delete"
            )
        #: whether what the source has lost is removed
        self.deletes = not self.is_shared and (deletes or fields.get("is_complete") is not True)
        #: when the last pass of an earlier run began, in seconds since the epoch; None if there was none
        pass_s = fields.get("pass_s")
        self.last_pass_s = pass_s if is_same and isinstance(pass_s, (int, float)) else None
        #: what is younger in the destination was not copied by an earlier run, in nanoseconds since the
        #: epoch; None if the destination was empty
        self.copied_until_ns = None if stat is None else stat.modified_ns
        self._run = secrets.token_hex(8)
        self._fields = {
            "source": source_name,
            "is_shared": self.is_shared,
            "is_complete": fields.get("is_complete") is True and is_same,
            "is_compared": fields.get("is_compared") is True and is_same,
            "run": self._run,
            "host": host_of_pids(),
            "pid": os.getpid(),
        }

    def _read(self) -> tuple[bytes, Stat | None]:
        try:
            return self._destination.read(_KEY)
        except KeyNotFound:
            return b"", None

    def _is_empty(self) -> bool:
        keys = self._destination.list("")
        return next((stat for stat in keys if stat.key != _KEY), None) is None

    def _require_empty(self, fields: dict[str, Any]) -> None:
        if fields.get("source"):
            raise CopyRefused(
                f"the destination is a copy of {fields['source']}: name that source, or an empty destination"
            )
        if not self._is_empty():
            raise CopyRefused(
                "the destination has data of its own: name an empty one, or add to it with --into-existing"
            )

    def begin_pass(self, *, is_complete: bool) -> None:
        """Note that a pass begins.

        :param is_complete: whether the destination had everything when an earlier pass ended.
        """
        self._fields["is_complete"] = is_complete
        self._fields["is_compared"] = False
        _running.add(self._run)
        self.last_pass_s = self._clock.time_s()
        self._fields["pass_s"] = self.last_pass_s
        self._save()

    @property
    def is_complete(self) -> bool:
        """Whether a pass found that the destination had everything."""
        return self._fields["is_complete"] is True

    @property
    def is_compared(self) -> bool:
        """Whether all that was written was compared. A killed run may leave values that were not."""
        return self._fields["is_compared"] is True

    def note_compared(self) -> None:
        """Note that all that the last pass has written was compared."""
        self._fields["is_compared"] = True

    def refresh(self) -> None:
        """Let others know that the copy still runs. Called often.

        :raises CopyRunning: another copy has taken over, because this one was stopped for a long time.
        """
        if self._clock.monotonic_s() - self._saved_at_s >= SAVED_EACH_S:
            self._save()

    def end(self, *, is_complete: bool) -> None:
        """Note that the run ends, or was interrupted."""
        _running.discard(self._run)
        self._fields["is_complete"] = is_complete
        self._fields["ended_s"] = self._clock.time_s()
        self._save()

    def _save(self) -> None:
        value = json.dumps({**self._fields, "nonce": secrets.token_hex(8)}).encode("ascii")
        expect = ABSENT if self._stat is None else self._stat.etag
        try:
            self._stat = self._destination.write(_KEY, value, expect=expect)
        except KeyConflict:
            raise CopyRunning from None
        self._saved_at_s = self._clock.monotonic_s()


def _has_ended(value: bytes, stat: Stat, now_s: float) -> bool:
    """Tell whether the copy that wrote the key has ended or was killed."""
    fields: Any = parse_stored(value)
    if isinstance(fields, dict) and (fields.get("host"), fields.get("pid")) == (host_of_pids(), os.getpid()):
        return fields.get("run") not in _running
    return is_dead(value, stat, now_s)
