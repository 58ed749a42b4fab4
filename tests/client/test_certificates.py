"""Client certificates, and authorities for one host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.tls_server import TlsServer

from v1registry.cli.main import main
from v1registry.client import BadCertificate, Client, HostCertificates, RegistryUnreachable, host_certificates


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[TlsServer]:
    """A server that requires a client certificate."""
    with TlsServer(authority, clients=authority) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    """A folder with ``ca.crt``, ``mira.cert`` and ``mira.key``."""
    folder = tmp_path / "files"
    folder.mkdir()
    write_certificates(folder, authority)
    return folder


def write_certificates(folder: Path, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("mira@example.org", common_name="mira")
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "mira.cert"))
    certificate.private_key_pem.write_to_path(str(folder / "mira.key"))


def pair_in(folder: Path) -> tuple[str, str]:
    return str(folder / "mira.cert"), str(folder / "mira.key")


class TestClient:
    def test_certificate_and_authority_are_used(self, server: TlsServer, folder: Path) -> None:
        with Client(
            server.host, authorities=[folder / "ca.crt"], client_certificate=pair_in(folder)
        ) as client:
            assert client.ping().scheme == "https"
        assert server.seen == ["mira"]

    def test_certificate_with_its_key_in_one_file_is_used(self, server: TlsServer, folder: Path) -> None:
        both = folder / "both.pem"
        both.write_bytes((folder / "mira.cert").read_bytes() + (folder / "mira.key").read_bytes())
        with Client(server.host, verify=folder / "ca.crt", client_certificate=str(both)) as client:
            client.ping()
        assert server.seen == ["mira"]

    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    def test_certificate_is_used_without_verification(self, server: TlsServer, folder: Path) -> None:
        with Client(server.host, insecure=True, client_certificate=pair_in(folder)) as client:
            client.ping()
        assert server.seen == ["mira"]

    def test_missing_certificate_is_unreachable(self, server: TlsServer, folder: Path) -> None:
        with Client(server.host, verify=folder / "ca.crt") as client, pytest.raises(RegistryUnreachable):
            client.ping()
        assert server.seen == []

    def test_other_host_gets_neither_certificate_nor_trust(self, authority: trustme.CA, folder: Path) -> None:
        with TlsServer(authority) as named, TlsServer(authority, clients=authority) as other:
            named.redirect = f"https://{other.host}/v1/_ping"
            with (
                Client(
                    named.host, authorities=[folder / "ca.crt"], client_certificate=pair_in(folder)
                ) as client,
                pytest.raises(RegistryUnreachable, match="not trusted"),
            ):
                client.ping()
            with (
                Client(named.host, verify=folder / "ca.crt", client_certificate=pair_in(folder)) as client,
                pytest.raises(RegistryUnreachable),
            ):
                client.ping()
        assert named.seen == [None, None]
        assert other.seen == []

    @pytest.mark.parametrize("name", ["missing.pem", "text.pem", "mira.cert"])
    def test_file_that_is_no_certificate_with_a_key_is_refused(self, name: str, folder: Path) -> None:
        (folder / "text.pem").write_text("no certificate")
        with pytest.raises(BadCertificate, match=f"{name} must be readable PEM"):
            Client("localhost", client_certificate=str(folder / name))

    def test_file_that_is_no_authority_is_refused(self, folder: Path) -> None:
        (folder / "text.pem").write_text("no certificate")
        with pytest.raises(BadCertificate, match=r"text\.pem must be readable PEM"):
            Client("localhost", authorities=[folder / "text.pem"])


class TestFolders:
    def test_files_of_the_host_are_found(self, tmp_path: Path, authority: trustme.CA) -> None:
        folder = tmp_path / "localhost:5000"
        folder.mkdir()
        write_certificates(folder, authority)
        (folder / "README").touch()
        assert host_certificates("localhost:5000", [tmp_path / "missing", tmp_path]) == HostCertificates(
            (str(folder / "ca.crt"),), pair_in(folder)
        )
        assert host_certificates("localhost", [tmp_path]) == HostCertificates()

    def test_folder_of_the_user_takes_precedence(self, tmp_path: Path) -> None:
        for name in ("user", "system"):
            (tmp_path / name / "localhost").mkdir(parents=True)
        (tmp_path / "system" / "localhost" / "ca.crt").touch()
        assert host_certificates("localhost", [tmp_path / "user", tmp_path / "system"]) == HostCertificates()

    @pytest.mark.parametrize(("name", "other"), [("mira.cert", "mira.key"), ("mira.key", "mira.cert")])
    def test_half_of_a_pair_is_refused(self, name: str, other: str, tmp_path: Path) -> None:
        (tmp_path / "localhost").mkdir()
        (tmp_path / "localhost" / name).touch()
        with pytest.raises(BadCertificate, match=f"{name} must have {other} beside it"):
            host_certificates("localhost", [tmp_path])


class TestCommands:
    """The small server has no repositories, so 404 of a pull shows that TLS worked."""

    @pytest.fixture(autouse=True)
    def _docker_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))

    def test_options_are_used(self, server: TlsServer, folder: Path, tmp_path: Path) -> None:
        certificate, key = pair_in(folder)
        command = ["pull", f"{server.host}/a/b", "-o", str(tmp_path / "x.tar"), "--quiet"]
        assert main([*command, "--ca-cert", str(folder / "ca.crt"), "--cert", certificate, "--key", key]) == 1
        assert set(server.seen) == {"mira"}

    def test_folder_of_docker_is_used(self, server: TlsServer, authority: trustme.CA, tmp_path: Path) -> None:
        folder = tmp_path / "docker" / "certs.d" / server.host
        folder.mkdir(parents=True)
        write_certificates(folder, authority)
        assert main(["pull", f"{server.host}/a/b", "-o", str(tmp_path / "x.tar"), "--quiet"]) == 1
        assert set(server.seen) == {"mira"}

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (["--key", "x.key"], "--key needs --cert"),
            (["--cert", "x.pem"], "--cert: must be a readable file, not 'x.pem'"),
            (["--cert", __file__, "--key", "x.key"], "--key: must be a readable file, not 'x.key'"),
        ],
    )
    def test_wrong_options_exit_with_2(
        self, options: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["pull", "localhost/a/b", "-o", str(tmp_path / "x.tar"), *options]) == 2
        assert text in capsys.readouterr().err

    def test_file_that_is_no_certificate_is_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ["pull", "localhost/a/b", "-o", str(tmp_path / "x.tar"), "--cert", __file__]
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "must be readable PEM" in line
