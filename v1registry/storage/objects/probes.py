"""What an object store does with conditional writes, found out by writing a small object.

Stores differ, and some ignore conditions: they would let two servers overwrite each other's changes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..base import StorageUnavailable
from .failures import fail

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: The folder of the objects that probes write and delete.
PROBES: Final = "probes"

#: An etag and a version that no object has. Google Cloud Storage compares versions, which are numbers there.
_OTHER_ETAG: Final = '"00000000000000000000000000000000"'
_OTHER_VERSION: Final = "1"

#: What the texts of exceptions have if a store does not know a condition: a status, or a code of S3.
_REFUSALS: Final = ("501 Not Implemented", "<Code>NotImplemented", "<Code>InvalidRequest")


class Answer(Enum):
    """What a store does with a condition."""

    HONOURED = "honoured"
    REFUSED = "refused"
    IGNORED = "ignored"


class UnfitStore(StorageUnavailable):
    """Several processes cannot share the store, and the administrator has not said that only one writes."""


class Conditions(NamedTuple):
    """What a store does with conditional writes."""

    creation: Answer  #: of ``If-None-Match: *``
    update: Answer  #: of ``If-Match``
    has_quotes: bool = True  #: whether an etag in a condition stands in quotes

    @property
    def are_honoured(self) -> bool:
        """Whether several processes may write."""
        return self.creation is self.update is Answer.HONOURED

    @property
    def etag_form(self) -> Callable[[str], str]:
        """A function that makes the text of a condition of the etag that the store gave."""
        return str if self.has_quotes else _without_quotes

    def __str__(self) -> str:
        is_bare = self.update is Answer.HONOURED and not self.has_quotes
        return (
            f"If-None-Match is {self.creation.value}, "
            f"If-Match is {self.update.value}{' (etags without quotes)' if is_bare else ''}"
        )


def probe(store: ObjectStore) -> Conditions:
    """Find out what a store does with conditional writes.

    :raises StorageUnavailable: the store failed. The text has nothing that the store said.
    """
    import obstore
    from obstore.exceptions import BaseError

    scratch = _Scratch(store)
    try:
        first = scratch.write()
        creation = scratch.attempt("create")
        # a store that writes whatever the condition is says nothing about the form of etags
        update = scratch.attempt(update_mode(_OTHER_ETAG, first.version and _OTHER_VERSION))
        if update is not Answer.HONOURED:
            return Conditions(creation, update)
        if creation is Answer.IGNORED:
            first = scratch.write()
        for has_quotes in (True, False):
            e_tag = (first.e_tag or "") if has_quotes else _without_quotes(first.e_tag or "")
            # the right etag: the write happens
            if scratch.attempt(update_mode(e_tag, first.version)) is Answer.IGNORED:
                return Conditions(creation, update, has_quotes)
        return Conditions(creation, Answer.REFUSED)
    finally:
        # what is left is one tiny object, and the probe has its answer
        with suppress(BaseError, OSError):
            obstore.delete(store, scratch.name)


def require_conditions(conditions: Conditions) -> None:
    """Check that several processes may write.

    :raises UnfitStore: they may not.
    """
    if not conditions.are_honoured:
        raise UnfitStore(
            PROBES,
            "the object store must honour conditional writes, so that servers do not overwrite each other's "
            f"changes, but {conditions}. If only one server process writes to the bucket, add "
            "single_writer=true to the URL of the storage",
        )


class Version(NamedTuple):
    """What identifies the state of an object for conditional calls."""

    e_tag: str | None
    version: str | None  #: of stores that have one


def update_mode(e_tag: str, version: str | None) -> dict[str, str]:
    """Return the condition that an object has a state, as obstore expects it.

    Stores compare the etag or the version, whichever is the field of their protocol.
    """
    return {"e_tag": e_tag} if version is None else {"e_tag": e_tag, "version": version}


class _Scratch:
    """A small object of one probe."""

    def __init__(self, store: ObjectStore) -> None:
        self.name = f"{PROBES}/{secrets.token_hex(8)}"
        self._store = store

    def write(self) -> Version:
        """Write a value on no condition; return its state.

        :raises StorageUnavailable: the store failed.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            result = obstore.put(self._store, self.name, secrets.token_bytes(8), use_multipart=False)
        except (BaseError, OSError) as error:
            fail(self.name, error)
        return Version(result["e_tag"], result["version"])

    def attempt(self, mode: Any) -> Answer:
        """Write a different value on a condition; return IGNORED if it was written.

        :param mode: the condition, as obstore expects it.
        :raises StorageUnavailable: the store failed.
        """
        import obstore
        from obstore.exceptions import (
            AlreadyExistsError,
            BaseError,
            NotSupportedError,
            PreconditionError,
        )

        value = secrets.token_bytes(8)
        try:
            obstore.put(self._store, self.name, value, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            # a call that was sent twice meets what it has written itself
            return Answer.IGNORED if self._read() == value else Answer.HONOURED
        except (NotSupportedError, NotImplementedError):
            return Answer.REFUSED
        except (BaseError, OSError) as error:
            if any(refusal in str(error) for refusal in _REFUSALS):
                return Answer.REFUSED
            fail(self.name, error)
        return Answer.IGNORED

    def _read(self) -> bytes:
        import obstore
        from obstore.exceptions import BaseError

        try:
            return bytes(obstore.get(self._store, self.name).bytes())
        except (BaseError, OSError) as error:
            fail(self.name, error)


def _without_quotes(e_tag: str) -> str:
    return e_tag.strip('"')
