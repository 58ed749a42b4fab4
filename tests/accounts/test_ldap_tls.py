"""LDAP over TLS, against a real slapd with certificates of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from support.slapd import BASE, PEOPLE, READER, Slapd

from v1registry.accounts.backends.ldap import Ldap, LdapOptions
from v1registry.accounts.base import BackendUnavailable
from v1registry.rights import User

pytestmark = pytest.mark.real

LOGIN = {"bind_dn": READER, "bind_password": "reader-password"}


class Certificates:
    """A certificate authority, and what a server needs that has a certificate for ``name``."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        authority = trustme.CA()
        certificate = authority.issue_cert(name)
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(folder / "certificate.pem"), append=True)
        self.lines = [
            f"TLSCACertificateFile {self.ca_file}",
            f"TLSCertificateFile {folder}/certificate.pem",
            f"TLSCertificateKeyFile {folder}/key.pem",
        ]


Start = Callable[..., tuple[Slapd, Certificates]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server with TLS whose only user is mira; return it with its certificates."""
    servers: list[Slapd] = []

    def started(scheme: str, name: str = "127.0.0.1") -> tuple[Slapd, Certificates]:
        certificates = Certificates(tmp_path / "tls", name)
        server = Slapd(tmp_path / "slapd")
        servers.append(server)
        server.fill()
        server.add_person("mira", "correct horse")
        server.restart(certificates.lines, scheme=scheme)
        return server, certificates

    yield started
    for server in servers:
        server.stop()


@pytest.mark.parametrize(("scheme", "start_tls"), [("ldap", True), ("ldaps", False)])
def test_users_log_in_over_tls(start: Start, scheme: str, start_tls: bool) -> None:
    server, certificates = start(scheme)
    with Ldap(
        LdapOptions(server.url, PEOPLE, start_tls=start_tls, ca_file=certificates.ca_file, **LOGIN)
    ) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")
        assert backend.authenticate("mira", "wrong") is None
        assert backend.find("mira") == User("mira")
        server.stop()
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            backend.find("mira")
        server.start()
        assert backend.authenticate("mira", "correct horse") == User("mira")


def test_url_contains_the_tls_options(start: Start) -> None:
    server, certificates = start("ldap")
    reader = READER.replace(",", "%2C")
    url = f"{server.url}/{PEOPLE}????start_tls=yes,ca_file={certificates.ca_file},bind_dn={reader}"
    with Ldap.from_url(f"{url},bind_password=reader-password") as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")


def test_server_that_requires_tls_gets_passwords_over_tls_only(start: Start) -> None:
    server, certificates = start("ldap")
    server.restart([*certificates.lines, "security simple_bind=56"])
    with Ldap(
        LdapOptions(server.url, BASE, start_tls=True, ca_file=certificates.ca_file, **LOGIN)
    ) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")
    with Ldap(LdapOptions(server.url, BASE, **LOGIN)) as backend, pytest.raises(BackendUnavailable):
        backend.authenticate("mira", "correct horse")


@pytest.mark.parametrize(("scheme", "start_tls"), [("ldap", True), ("ldaps", False)])
@pytest.mark.parametrize("problem", ["unknown authority", "another name"])
def test_server_with_a_wrong_certificate_gets_no_password(
    start: Start, scheme: str, start_tls: bool, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, certificates = start(scheme, "ldap.example" if problem == "another name" else "127.0.0.1")
    ca_file = certificates.ca_file if problem == "another name" else ""
    with Ldap(LdapOptions(server.url, PEOPLE, start_tls=start_tls, ca_file=ca_file, **LOGIN)) as backend:
        for question in (
            lambda: backend.authenticate("mira", "correct horse"),
            lambda: backend.find("mira"),
        ):
            with pytest.raises(
                BackendUnavailable, match=r"^A safe connection to the LDAP server cannot be made$"
            ):
                question()
    assert "certificate verify failed" in caplog.text


def test_server_without_tls_gets_no_password(start: Start, tmp_path: Path) -> None:
    server, _ = start("ldap")
    server.restart([])
    with (
        Ldap(LdapOptions(server.url, PEOPLE, start_tls=True, **LOGIN)) as backend,
        pytest.raises(BackendUnavailable, match="A safe connection"),
    ):
        backend.authenticate("mira", "correct horse")
    ldaps = Ldap(LdapOptions(server.url.replace("ldap:", "ldaps:"), PEOPLE, timeout_s=2, **LOGIN))
    with ldaps, pytest.raises(BackendUnavailable, match=r"The LDAP server|A safe connection"):
        ldaps.authenticate("mira", "correct horse")


def test_missing_certificates_are_reported(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = start("ldaps")
    with (
        Ldap(LdapOptions(server.url, PEOPLE, ca_file=tmp_path / "lost.pem", **LOGIN)) as backend,
        pytest.raises(BackendUnavailable, match="A safe connection"),
    ):
        backend.find("mira")
    assert "lost.pem" in caplog.text


def test_server_that_hangs_in_the_handshake_is_unavailable(start: Start) -> None:
    server, certificates = start("ldaps")
    server.hang()
    with (
        Ldap(LdapOptions(server.url, PEOPLE, ca_file=certificates.ca_file, timeout_s=1, **LOGIN)) as backend,
        pytest.raises(BackendUnavailable, match="does not answer"),
    ):
        backend.find("mira")
    server.go_on()
