"""``v1registry routes``."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1registry.cli.main import main


def lines_of(settings: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    ini = tmp_path / "registry.ini"
    ini.write_text(f"[v1registry]\nstorage = memory:\n{settings}")
    assert main(["routes", "--config", str(ini)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_routes_prints_method_path_needs_api_and_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of("auth = users:\n", tmp_path, capsys)

    assert ["PUT", "/v1/images/{image_id}/layer", "write", "registry", "put_layer"] in lines
    assert ["GET", "/v1/search[/]", "read", "hub", "get_search"] in lines
    assert ["PUT", "/v1/users/{username}[/]", "-", "users", "put_user"] in lines
    assert ["POST", "/api/v1.1/o/token[/]", "-", "oauth", "post_token"] in lines
    assert {line[3] for line in lines} == {
        "registry", "hub", "users", "accounts", "grants", "oauth", "pages", "distribution",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "apis"),
    [
        ("", {"registry", "hub", "users", "pages", "distribution"}),
        ("pages = off\nv2 = absent\n", {"registry", "hub", "users"}),
        ("index = https://index.example.com\n", {"registry", "distribution"}),
    ],
)
def test_routes_prints_only_what_a_configuration_serves(
    settings: str, apis: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {line[3] for line in lines_of(settings, tmp_path, capsys)} == apis


def test_routes_with_an_invalid_setting_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ini = tmp_path / "registry.ini"
    ini.write_text("[v1registry]\nstorage = memory:\nv2 = maybe\n")

    assert main(["routes", "--config", str(ini)]) == 2
    assert "v2: must be one of on, pull, ping, absent, pass, not 'maybe'" in capsys.readouterr().err
