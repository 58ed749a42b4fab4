"""``v1registry check-config``."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1registry.assembly import WITHOUT_OAUTH
from v1registry.cli.main import main
from v1registry.settings import descriptions


def test_values_sources_and_descriptions_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = tmp_path / "registry.ini"
    ini.write_text("[v1registry]\nstorage = memory:\nsecret = hunter2\nsearch_limit = 5\n")
    monkeypatch.setenv("V1REGISTRY_SEARCH_LIMIT", "7")

    assert main(["check-config", "--config", str(ini)]) == 0

    shown = capsys.readouterr().out
    assert f"storage = memory:  ({ini})" in shown
    meaning = descriptions()["search_limit"][1]
    assert f"search_limit = 7  (V1REGISTRY_SEARCH_LIMIT)\n    {meaning}\n" in shown
    assert "v2 = on  (default)" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("settings", "off"),
    [
        ("", ["accounts, private repositories and OAuth, because the setting auth is open:"]),
        (
            "policy = os.path:exists\n",
            [
                "accounts, private repositories and OAuth, because the setting auth is open:",
                "the policy, because the setting auth is open:",
            ],
        ),
        ("auth = users:\n", ["confirmation of addresses by mail, because the setting mail is empty"]),
        (
            "auth = users:\nregistration = closed\npages = off\nv2 = absent\nimages = elsewhere\n",
            [
                "uploads and downloads of images, because the setting images is elsewhere",
                "the pages for browsing, because the setting pages is off",
                "pushes and pulls below /v2/ by today's engines, because the setting v2 is absent",
                "confirmation of addresses by mail, because the setting mail is empty",
                "registration by users, because the setting registration is closed",
            ],
        ),
        (
            "auth = environ:REMOTE_USER\n",
            [
                f"OAuth, because {WITHOUT_OAUTH}",
                "confirmation of addresses by mail, because the setting mail is empty",
                "registration by users, because the users of the setting auth are created elsewhere",
            ],
        ),
        (
            "auth = environ:REMOTE_USER, users:\n",
            [
                "confirmation of addresses by mail, because the setting mail is empty",
                "registration by users, because a backend of the setting auth cannot look up names; "
                "registration = open opens it",
            ],
        ),
        (
            "index = https://index.example.com\n",
            [
                "the index, search, users, OAuth and pages, "
                "because the setting index names an external index",
                "pushes and pulls below /v2/ by today's engines, "
                "because the images or accounts are elsewhere",
            ],
        ),
        (
            "auth = users:\nv2 = pull\n",
            [
                "pushes and deletions below /v2/, because the setting v2 is pull",
                "confirmation of addresses by mail, because the setting mail is empty",
            ],
        ),
    ],
)
def test_parts_that_are_off_are_printed_with_the_reason(
    settings: str, off: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ini = tmp_path / "registry.ini"
    ini.write_text(f"[v1registry]\nstorage = memory:\n{settings}")

    assert main(["check-config", "--config", str(ini)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("off: ") for line in lines if line.startswith("off: ")] == off


def test_all_problems_are_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("V1REGISTRY_STORAGE", "file:relative")
    monkeypatch.setenv("V1REGISTRY_SEARCH_LIMT", "5")
    monkeypatch.setenv("V1REGISTRY_V2", "maybe")

    assert main(["check-config"]) == 2

    printed = capsys.readouterr()
    assert printed.out == "verdict: invalid, 3 problem(s); a server would not start\n"
    complaints = printed.err.splitlines()
    for key in ("search_limt", "v2", "storage"):
        assert [line for line in complaints if line.startswith(f"v1registry: {key}: ")]
    assert "did you mean search_limit?" in complaints[0]


def test_ini_file_without_the_section_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.ini").write_text("[other]\n")

    assert main(["check-config", "--config", str(tmp_path / "x.ini")]) == 2
    assert "section [v1registry]" in capsys.readouterr().err


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check-config", "--help"])

    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for key in ("storage", *descriptions()):
        assert f"\n  {key}" in shown
