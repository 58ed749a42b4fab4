"""The commands ``v1registry application …``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from v1registry import FileStorage
from v1registry.cli.main import main
from v1registry.oauth.applications import Applications

BACK = "https://ci.example.org/back"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


@pytest.fixture
def applications(url: str) -> Applications:
    return Applications(FileStorage.from_url(url))


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Run a command, which must succeed, and return the JSON that it prints."""
    capsys.readouterr()
    assert main(["application", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_add_shows_the_secret_once(
    url: str, applications: Applications, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["application", "add", "Example CI", BACK, "--client-id", "ci-bot", "--storage", url]) == 0
    shown = capsys.readouterr().out
    assert "application Example CI registered\n" in shown
    assert "client_id:     ci-bot\n" in shown
    secret = shown.partition("client_secret: ")[2].split()[0]
    assert applications.authenticated("ci-bot", secret) is not None

    assert main(["application", "list", "--storage", url]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith(f"ci-bot\tname=Example CI\tredirect_uris={BACK}\t")
    assert secret not in listed


def test_add_accepts_every_field_and_list_prints_json(
    url: str, applications: Applications, capsys: pytest.CaptureFixture[str]
) -> None:
    added = run_json(
        capsys,
        "add",
        "Builder",
        BACK,
        "http://localhost:8000/",
        "--client-id",
        "builder",
        "--description",
        "Builds.",
        "--scope",
        "repo_write",
        "--scope",
        "repo_read",
        "--trusted",
        "--storage",
        url,
    )
    assert applications.authenticated("builder", added.pop("client_secret")) is not None
    (listed,) = run_json(capsys, "list", "--storage", url)
    assert listed == added
    assert listed.pop("created_at").endswith("+00:00")
    assert listed == {
        "client_id": "builder",
        "name": "Builder",
        "description": "Builds.",
        "redirect_uris": [BACK, "http://localhost:8000/"],
        "scopes": ["repo_write", "repo_read"],
        "is_public": False,
        "is_trusted": True,
    }


def test_public_application_gets_no_secret(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = ["add", "App", "org.example.app:/back", "--public", "--storage", url]
    added = run_json(capsys, *app)
    assert (added["client_secret"], added["is_public"]) == (None, True)
    assert main(["application", *app]) == 0
    assert "client_secret: none: public applications have no secret" in capsys.readouterr().out
    assert main(["application", "rotate-secret", added["client_id"], "--storage", url]) == 2
    assert "has no secret" in capsys.readouterr().err


def test_rotate_replaces_the_secret(
    url: str, applications: Applications, capsys: pytest.CaptureFixture[str]
) -> None:
    _, old = applications.add("CI", [BACK], client_id="ci-bot")
    new = run_json(capsys, "rotate-secret", "ci-bot", "--storage", url)
    assert new["client_id"] == "ci-bot"
    assert applications.authenticated("ci-bot", new["client_secret"]) is not None
    assert applications.authenticated("ci-bot", old) is None

    assert main(["application", "rotate-secret", "ci-bot", "--storage", url]) == 0
    newest = capsys.readouterr().out.partition("client_secret: ")[2].split()[0]
    assert applications.authenticated("ci-bot", newest) is not None


def test_remove_removes_the_application(
    url: str, applications: Applications, capsys: pytest.CaptureFixture[str]
) -> None:
    applications.add("CI", [BACK], client_id="ci-bot")
    assert main(["application", "remove", "ci-bot", "--storage", url]) == 0
    assert "application ci-bot removed" in capsys.readouterr().out
    assert list(applications.list()) == []


@pytest.mark.parametrize("command", ["remove", "rotate-secret"])
def test_unknown_application_exits_with_5(command: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["application", command, "nobody", "--storage", url]) == 5
    assert "There is no application 'nobody'" in capsys.readouterr().err


def test_add_reports_all_problems_and_adds_nothing(
    url: str, applications: Applications, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["application", "add", " ", "http://x/", "--client-id", "a b", "--storage", url]) == 2
    complaints = capsys.readouterr().err
    for word in ("client_id: ", "name: ", "redirect_uris: "):
        assert word in complaints

    applications.add("CI", [BACK], client_id="ci-bot")
    assert main(["application", "add", "CI", BACK, "--client-id", "ci-bot", "--storage", url]) == 2
    assert "The application 'ci-bot' exists already" in capsys.readouterr().err
    assert len(list(applications.list())) == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["add"], ["add", "CI"], ["add", "CI", BACK, "--scope", "all"], ["remove"], ["drop", "x"]],
)
def test_invalid_arguments_exit_with_2(arguments: list[str], url: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["application", *arguments])
    assert stopped.value.code == 2


def test_memory_storage_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["application", "list", "--storage", "memory:"]) == 2
    assert "storage: must be shared by processes" in capsys.readouterr().err
