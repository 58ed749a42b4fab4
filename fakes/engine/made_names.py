"""Names that an engine makes for containers that got none, the same in every run."""

from __future__ import annotations

from typing import Final

_QUALITIES: Final = (
    "brave", "calm", "clever", "eager", "fair", "gentle", "happy", "keen",
    "lively", "merry", "nimble", "proud", "quick", "quiet", "tidy", "wise",
)  # fmt: skip
_PEOPLE: Final = (
    "ada", "banach", "cantor", "darwin", "emmy", "fermi", "gauss", "hedy",
    "ivan", "jacobi", "kepler", "lamarr", "meitner", "noether", "otto", "pascal",
)  # fmt: skip


def made_name(number: int) -> str:
    """Return the name of the n-th container.

    >>> made_name(1), made_name(2), made_name(257)
    ('brave_ada', 'calm_banach', 'brave_ada2')
    """
    again, index = divmod(number - 1, len(_QUALITIES) * len(_PEOPLE))
    quality = _QUALITIES[(index + index // len(_PEOPLE)) % len(_QUALITIES)]
    return f"{quality}_{_PEOPLE[index % len(_PEOPLE)]}{again + 1 if again else ''}"
