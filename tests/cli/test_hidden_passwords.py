"""Passwords in the settings: no command and no log shows them, valid or not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from v1registry.access.index_client import IndexClient
from v1registry.assembly import assemble
from v1registry.cli.main import main
from v1registry.cli.startup import print_start
from v1registry.errors import IndexUnavailable
from v1registry.names import RepositoryName
from v1registry.settings import shown

#: Each part of a password.
PART = "s3cret"

PASSWORDS = [PART, *(f"{PART}{mark}{PART}" for mark in "/?#@:, &'"), f"1/{PART}", f"{PART}%zz", f"a,b={PART}"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("storage", "s3://mira:{}@bucket"),
        ("storage", "s3:mira:{}@bucket"),
        ("storage", "s3//mira:{}@bucket"),
        ("storage", "other://mira:{}@bucket"),
        ("auth", "ldap://mira:{}@ldap.example.org/dc=x"),
        ("auth", "htpasswd://mira:{}@host/file"),
        ("auth", "environ://mira:{}@host/file"),
        ("mail", "smtp://mira:{}@mail.example.org"),
        ("mail", "smpt://mira:{}@mail.example.org"),
        ("search", "postgres//mira:{}@database.example.org/search"),
        ("index", "https://mira:{}@index.example.org"),
        ("mirror", "https://mira:{}@registry.example.org"),
        ("public_url", "https://mira:{}@registry.example.org"),
        ("layer_redirect", "https://mira:{}@registry.example.org"),
    ],
)
def test_check_config_shows_no_password(
    key: str, value: str, password: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = tmp_path / "registry.ini"
    given = {"storage": "memory:", "public_url": "https://registry.example.org", key: value.format(password)}
    if key == "mail":
        given["auth"] = "users:"
    ini.write_text("[v1registry]\n" + "".join(f"{name} = {text}\n" for name, text in given.items()))

    main(["check-config", "--config", str(ini)])

    written = "".join(capsys.readouterr())
    assert key in written
    assert PART not in written


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "value",
    [
        "smtp://mira:{}@mail.example.org",
        "smtp://mira@example.org:{}@mail.example.org",
        "smtp://:{}@mail.example.org",
        "postgresql://mira:{}@database.example.org/search?sslmode=require",
        "postgresql://database.example.org/search?user=mira&password={}",
        "postgresql://database.example.org/search?user=mira&sslpassword={}",
        "users:,postgresql://mira:{}@database.example.org/users",
    ],
)
def test_setting_is_shown_without_its_password(value: str, password: str) -> None:
    text = shown(value.format(password))

    assert "..." in text
    assert "mira" in text or "smtp://:" in text
    assert PART not in text


def test_start_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"storage": "memory:", "index": f"https://mira:{PART}@index.example.org"}

    print_start(assemble(settings), settings["storage"], "http", 5000)

    written = "".join(capsys.readouterr())
    assert "https://mira:...@index.example.org" in written
    assert PART not in written


def test_failure_of_the_index_shows_no_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "v1registry")
    index = IndexClient(f"http://mira:{PART}@127.0.0.1:1")

    with pytest.raises(IndexUnavailable) as caught:
        index.may_use(RepositoryName("a", "b"), "0" * 64, "Token x")

    assert PART not in f"{caught.value} {caught.value.context} {caplog.text}"
