"""The mark of a repository at an image: the value of a key below ``_held_by/`` (storage-layout.md 1)."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Final

from ..names import RepositoryName
from ..registry import layout
from ..storage.base import Storage
from ..storage.recent_values import ParsedValues

#: How the value of an incarnation ends if the repository was found in old data.
ADOPTED: Final = " adopted"

#: How many marks are kept in memory, and the longest of them, in bytes.
_KEPT: Final = 10_000
_LONGEST_KEPT_BYTES: Final = 512

#: The names of contents beside the first (see Contents.publish_variant).
_VARIANT: Final = re.compile(r"(?:[0-9a-f]{64}(?:-[0-9a-f]{16})?)?")

#: What no repository has as its incarnation: the mark counts for nothing, and may be replaced.
_NEVER: Final = "-"


@dataclass(frozen=True)
class Mark:
    """The value of a mark."""

    variant: str = ""  #: the name of the content; empty for the first one
    incarnation: str = ""  #: of the repository; empty in the marks of earlier versions
    is_published: bool = False  #: the content was published with this mark: older tags do not reach it

    @classmethod
    def parse(cls, stored: bytes) -> Mark:
        """Return what a stored value says.

        An empty value is a mark of an earlier version. A cut one, or one of an unknown form, counts for no
        repository, and may be replaced.
        """
        if not stored.strip():
            return cls()
        parsed = layout.parse_stored(stored)
        fields = parsed if isinstance(parsed, dict) else {}
        variant, incarnation = fields.get("variant", ""), fields.get("incarnation")
        if not isinstance(variant, str) or _VARIANT.fullmatch(variant) is None:
            return cls("", _NEVER)
        if not isinstance(incarnation, str) or not incarnation:
            return cls("", _NEVER)
        return cls(variant, incarnation, fields.get("is_published") is True)

    @property
    def is_damaged(self) -> bool:
        """Whether the stored value did not parse, so that the mark counts for no repository."""
        return self.incarnation == _NEVER

    def dump(self) -> bytes:
        """Return the value to store."""
        return json.dumps(asdict(self), sort_keys=True).encode("ascii")

    def counts(self, incarnation: str) -> bool:
        """Tell whether the mark counts for the repository with an incarnation; empty if it does not exist."""
        if not self.incarnation:
            return incarnation.endswith(ADOPTED)
        return self.incarnation == incarnation


def mark_values(storage: Storage) -> ParsedValues[Mark]:
    """Return the marks of a storage, of which those that were read lately are kept in parsed form."""
    return ParsedValues(storage, lambda key, stored: Mark.parse(stored), _KEPT, _LONGEST_KEPT_BYTES)


def mark_path(repository: RepositoryName) -> str:
    """Return the path of a repository's mark below the folder of an image."""
    return f"{layout.HELD}/{layout.stored_name(repository)}"


def mark_key(repository: RepositoryName, image_id: str) -> str:
    """Return the key of the mark of a repository at an image."""
    return f"{layout.image_folder(image_id)}/{mark_path(repository)}"
