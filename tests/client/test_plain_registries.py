"""How the client finds a registry of this machine that speaks plain http, or TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from v1registry_fakes import FakeRegistry

from v1registry.client import Client, RegistryUnreachable


@pytest.fixture
def read_certificates(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The calls that read certificates to trust."""
    calls: list[str] = []
    for name in ("load_verify_locations", "load_default_certs"):
        original = getattr(ssl.SSLContext, name)

        def noted(context, *arguments, _name=name, _original=original, **options):  # type: ignore[no-untyped-def]
            calls.append(_name)
            return _original(context, *arguments, **options)

        monkeypatch.setattr(ssl.SSLContext, name, noted)
    return calls


def test_plain_registry_of_this_machine_needs_no_certificates(
    v1registry: FakeRegistry, read_certificates: list[str]
) -> None:
    with Client(v1registry.host) as client:
        assert client.ping().scheme == "http"
    assert read_certificates == []


@pytest.mark.v1registry(tls=True)
def test_registry_with_tls_is_verified_and_not_asked_in_plain_http(v1registry: FakeRegistry) -> None:
    with (
        Client(v1registry.host) as client,
        pytest.raises(RegistryUnreachable, match="certificate"),
    ):
        client.ping()
    assert list(v1registry.requests) == []
