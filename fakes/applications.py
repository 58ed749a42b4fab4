"""OAuth applications of a fake."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FakeApplication:
    """An application that may ask users for access, with its secret."""

    client_id: str
    client_secret: str | None = field(repr=False)  #: None for a public one
    redirect_uris: tuple[str, ...]  #: the default first
