"""Options that ``v1registry serve`` refuses. How it answers requests is tested in tests/servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trustme

from v1registry.cli.main import main


def test_several_workers_over_memory_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--storage", "memory:", "--workers", "2"]) == 2
    assert "each process would have its own storage in memory" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/store"])
def test_storage_that_is_a_file_or_below_one_is_refused(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert main(["serve", "--storage", f"file://{tmp_path}/{place}"]) == 2
    assert f"because {tmp_path}/file is not a folder" in capsys.readouterr().err


def test_missing_storage_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.startswith("v1registry: storage: ")


@pytest.mark.parametrize(("given", "missing"), [("--tls-cert", "tls_key"), ("--tls-key", "tls_cert")])
def test_certificate_without_key_or_key_alone_is_refused(
    given: str, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--storage", "memory:", given, "file.pem"]) == 2
    assert f"{missing} is missing: https needs both tls_cert and tls_key" in capsys.readouterr().err


def test_port_in_use_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert main(["serve", "--storage", "memory:", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}: " in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "5000"])
def test_host_of_another_machine_is_reported(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--storage", "memory:", "--host", "no-such-host.invalid", "--port", port]) == 2
    assert f"cannot listen on no-such-host.invalid:{port}: " in capsys.readouterr().err


def test_unusable_certificate_files_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    issued, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    certificate, key, text = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "readme.txt"
    issued.cert_chain_pems[0].write_to_path(certificate)
    other.private_key_pem.write_to_path(key)
    text.write_text("neither\n")

    for one, two, complaint in (
        (certificate, tmp_path / "missing.pem", "missing.pem cannot be read: No such file"),
        (tmp_path, key, f"{tmp_path} cannot be read: Is a directory"),
        (text, key, "must be a certificate and its key in PEM"),
        (certificate, text, "must be a certificate and its key in PEM"),
        (certificate, key, "must be a certificate and its key in PEM: KEY_VALUES_MISMATCH"),
    ):
        files = ["--tls-cert", str(one), "--tls-key", str(two)]
        assert main(["serve", "--storage", "memory:", "--port", "0", *files]) == 2
        assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--port", "x"], ["--workers", "0"], ["--storag", "memory:"]]
)
def test_invalid_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    assert stopped.value.code == 2
