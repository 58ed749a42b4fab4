"""How requests keep what the garbage collection is about to remove (docs/internals.md, Garbage collection).

A request that has written a reference, such as a tag, looks at the key ``housekeeping/sweep`` afterwards. If
a collection runs, or has ended lately, it keeps everything that it refers to, or takes its reference back.

The bytes that are kept have a claim, the key ``_kept`` beside them: ``{"kept": <nonce>}`` by a request, or
``{"removing": <run>}`` by the collection. The first to write it decides. A value that is a small JSON object,
such as a mark, is kept by writing it again with a nonce.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..rights import Content
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from . import layout

#: The key that says whether a collection runs.
SWEEP: Final = "housekeeping/sweep"

#: The name of the claim beside a blob, or in the folder of a content.
CLAIM: Final = "_kept"

#: How long after the end of a collection requests look at what they refer to, in seconds. No request takes
#: longer from its look at an image to the reference that it writes.
ENDED_FOR_S: Final = 3600

#: A collection that has not written its key for so long was killed, in seconds.
DEAD_AFTER_S: Final = 600

#: How often a claim is written again because other requests changed it.
_ATTEMPTS: Final = 100

#: How long a request waits for the end of a removal, and how often it looks, in seconds.
_WAIT_S: Final = 2.0
_LOOK_EACH_S: Final = 0.02


def sweep_of(value: bytes) -> dict[str, Any]:
    """Return what the key of the collection says; an empty object if it is damaged."""
    parsed = layout.parse_stored(value)
    return parsed if isinstance(parsed, dict) else {}


def host_of_pids() -> str:
    """Return a text that two processes share if each can see whether the other one is alive.

    Containers may have the name of their host, and process ids of their own.
    """
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {secrets.token_hex(8)}"


def is_dead(value: bytes, stat: Stat, now_s: float) -> bool:
    """Tell whether the collection that wrote the key has ended or was killed.

    :param value: of the key.
    :param now_s: in seconds since the epoch.
    """
    sweep = sweep_of(value)
    if "ended_s" in sweep or now_s - stat.modified.timestamp() > DEAD_AFTER_S:
        return True
    pid = sweep.get("pid")
    if sweep.get("host") != host_of_pids() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def is_removing(claim: bytes) -> bool:
    """Tell whether a claim is that of the collection."""
    parsed = layout.parse_stored(claim)
    return isinstance(parsed, dict) and "removing" in parsed


class Keeping:
    """What requests keep in one storage. Safe for threads and processes.

    :param sleep: waits for a number of seconds.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK, sleep: Callable[[float], None] = time.sleep
    ):
        self._storage = storage
        self._clock = clock
        self._sleep = sleep

    def now(self) -> Keeper | None:
        """Return what keeps things for a request that has just written a reference.

        :return: None if no collection runs, and none has ended lately: nothing has to be done.
        """
        try:
            ended_s = sweep_of(self._storage.read(SWEEP)[0]).get("ended_s")
        except KeyNotFound:
            return None
        if not isinstance(ended_s, (int, float)):
            return Keeper(self, self._storage, is_ended=False)
        if self._clock.time_s() - ended_s >= ENDED_FOR_S:
            return None
        return Keeper(self, self._storage, is_ended=True)

    def wait_for_removal(self, folder: str) -> None:
        """Wait until no collection removes the bytes in a folder, so that they can be stored again.

        :raises StorageUnavailable: that takes too long.
        """
        claim, waited_s = f"{folder}/{CLAIM}", 0.0
        while waited_s < _WAIT_S:
            found = _read(self._storage, claim)
            if found is None or not is_removing(found[0]):
                return
            if self._is_dead():
                with suppress(KeyNotFound, KeyConflict):
                    self._storage.delete(claim, expect=found[1].etag)
                return
            self._sleep(_LOOK_EACH_S)
            waited_s += _LOOK_EACH_S
        raise StorageUnavailable(folder, "the garbage collection removes it at this moment")

    def _is_dead(self) -> bool:
        """Tell whether the collection that removes something was killed."""
        found = _read(self._storage, SWEEP)
        return found is None or is_dead(*found, self._clock.time_s())


class Keeper:
    """Keeps what one request refers to.

    :param is_ended: the collection has ended, so nothing is removed any more.
    """

    def __init__(self, keeping: Keeping, storage: Storage, *, is_ended: bool):
        self._keeping = keeping
        self._storage = storage
        self._is_ended = is_ended

    def keep_content(self, content: Content) -> bool:
        """Keep a content of an image; tell whether it is there."""
        return self.keep(layout.content_folder(content), layout.JSON)

    def keep(self, folder: str, name: str) -> bool:
        """Keep the bytes in a folder; tell whether they are there.

        :param name: the key in the folder that is removed first.
        """
        claim = f"{folder}/{CLAIM}"
        for _ in range(_ATTEMPTS):
            if self._is_ended or not self._has(f"{folder}/{name}"):
                return self._has(f"{folder}/{name}")
            found = _read(self._storage, claim)
            if found is not None and is_removing(found[0]) and not self._is_released(folder):
                return False
            expect = ABSENT if found is None else found[1].etag
            value = json.dumps({"kept": secrets.token_hex(8)}).encode("ascii")
            try:
                written = self._storage.write(claim, value, expect=expect)
            except KeyConflict:
                continue
            if self._has(f"{folder}/{name}"):
                return True
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(claim, expect=written.etag)
            return False
        raise StorageUnavailable(claim, "it is changed again and again")

    def keep_value(self, key: str) -> bool:
        """Keep a value, which is a JSON object or blank; tell whether it is there."""
        for _ in range(_ATTEMPTS):
            found = _read(self._storage, key)
            if found is None or self._is_ended:
                return found is not None
            value, stat = found
            parsed = layout.parse_stored(value)
            if isinstance(parsed, dict):
                value = json.dumps({**parsed, "kept": secrets.token_hex(8)}).encode("ascii")
            else:
                # a mark of an earlier version: a blank more means nothing
                value = b"" if value else b" "
            with suppress(KeyConflict):
                self._storage.write(key, value, expect=stat.etag)
                return True
        raise StorageUnavailable(key, "it is changed again and again")

    def _is_released(self, folder: str) -> bool:
        """Wait for the end of a removal; tell whether it ended."""
        try:
            self._keeping.wait_for_removal(folder)
        except StorageUnavailable:
            return False
        return True

    def _has(self, key: str) -> bool:
        try:
            self._storage.stat(key)
        except KeyNotFound:
            return False
        return True


def _read(storage: Storage, key: str) -> tuple[bytes, Stat] | None:
    try:
        return storage.read(key)
    except KeyNotFound:
        return None
