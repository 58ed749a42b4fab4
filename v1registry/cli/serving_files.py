"""The certificate and the key with which ``serve`` speaks https."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..settings import Settings


def problems_of_certificate(settings: Settings) -> list[str]:
    """Return why the certificate and its key cannot be used; nothing if there is none."""
    if not settings.tls_cert:
        return []
    certificate, key = Path(settings.tls_cert), Path(settings.tls_key)

    def no_passphrase() -> str:
        raise ValueError(
            f"{key} has a passphrase, but workers start unattended; give a key without a passphrase"
        )

    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            return [f"{path} cannot be read: {error.strerror}"]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        return [f"{certificate} and {key} must be a certificate and its key in PEM: {error.reason or error}"]
    except ValueError as error:
        return [str(error)]
    return []
