"""Settings of ``v1registry serve``: where it listens. Other servers ignore them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class ServeSettings:
    """Where ``v1registry serve`` listens."""

    host: str = setting("127.0.0.1", converters.host_to_bind, "the address to listen on; 0.0.0.0 for all")
    port: int = setting(5000, converters.port, "the port to listen on; 0 is any free one")
    workers: int = setting(1, converters.count, "the number of processes that answer requests")
    tls_cert: str = setting(
        "",
        converters.text,
        "a certificate chain in PEM, with which serve speaks https (TLS 1.2 or later); if empty, plain http",
    )
    tls_key: str = setting(
        "", converters.text, "the private key of the certificate in PEM, without a passphrase"
    )


class ServeOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    host: str
    port: int | str
    workers: int | str
    tls_cert: str
    tls_key: str
