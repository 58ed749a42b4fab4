"""Settings of the endpoints of OAuth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class OAuthSettings:
    """The endpoints of OAuth."""

    oauth_http: str = setting(
        "refuse",
        converters.one_of("refuse", "allow"),
        "OAuth over plain http: refuse; allow, for tests only",
    )


class OAuthOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    oauth_http: str
