"""Settings of the addresses at which clients reach the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class AddressSettings:
    """The addresses at which clients reach the registry."""

    public_url: str = setting(
        "",
        converters.public_url,
        "the URL that clients use, if it differs from that of the request (behind a proxy)",
    )
    endpoints: str = setting(
        "",
        converters.hosts,
        "host[:port] of the registry to which the index sends clients; if empty, the host of the request",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        converters.networks,
        "addresses of proxies whose X-Forwarded-Host, X-Forwarded-Proto and X-Forwarded-For are trusted",
    )
    message: str = setting("docker-registry server", converters.text, "the answer to GET /, as a JSON string")
    cors_origins: tuple[str, ...] = setting(
        (),
        converters.origins,
        "origins of web sites whose scripts may use the APIs, such as https://ui.example.com; * for all",
    )


class AddressOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    public_url: str
    endpoints: str
    trusted_proxies: Sequence[str] | str
    message: str
    cors_origins: Sequence[str] | str
