"""``v1registry repository``."""

from __future__ import annotations

import json

import pytest
from support.cheap_passwords import CheapPasswords

from v1registry import FileStorage
from v1registry.accounts.users import UserStore
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.registry.tags import TagRule

ID = "0123456789abcdef" * 4
NAME = RepositoryName("alice", "app")


@pytest.fixture
def repositories(url: str) -> Repositories:
    """A storage with the repository alice/app, and the accounts robert and carol."""
    users = UserStore(FileStorage.from_url(url), passwords=CheapPasswords())
    for name in ("robert", "carol"):
        users.create(name, "s3cret-one")
    made = Repositories(FileStorage.from_url(url))
    made.set_tag(NAME, "latest", ID, "docker/1.9.1")
    return made


def test_repository_is_described_hidden_shared_and_listed(
    url: str, repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in (
        (["describe", "alice/app", "Größe 42"], "description set, 8 characters"),
        (["stars", "alice/app", "42"], "stars set to 42"),
        (["private", "alice/app"], "now private"),
        (["grant", "alice/app", "robert"], "robert may read"),
        (["grant", "alice/app", "carol", "write"], "carol may read and push"),
        (["tags", "alice/app", "immutable-but-latest"], "tags are immutable-but-latest"),
    ):
        assert main(["repository", *arguments, "--storage", url]) == 0
        assert capsys.readouterr().out == f"repository alice/app: {told}\n"

    assert main(["repository", "list", "--storage", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "alice/app",
            "access": "private",
            "tags": ["latest"],
            "tag_rule": "immutable-but-latest",
            "collaborators": {"carol": "write", "robert": "read"},
            "description": "Größe 42",
            "stars": 42,
        }
    ]
    assert repositories.tag_rule(NAME) is TagRule.IMMUTABLE_BUT_LATEST


def test_list_for_people_has_one_line_a_repository(
    url: str, repositories: Repositories, capsys: pytest.CaptureFixture[str]
) -> None:
    repositories.describe(NAME, "an app")

    assert main(["repository", "list", "--storage", url]) == 0
    assert capsys.readouterr().out == (
        "alice/app\taccess=public\ttags=1\ttag_rule=free\tdescription=an app\n"
    )


def test_grant_and_privacy_are_removed(url: str, repositories: Repositories) -> None:
    for arguments in (["grant", "alice/app", "robert"], ["private", "alice/app", "on"]):
        assert main(["repository", *arguments, "--storage", url]) == 0
    for arguments in (["grant", "alice/app", "robert", "none"], ["private", "alice/app", "off"]):
        assert main(["repository", *arguments, "--storage", url]) == 0

    assert repositories.collaborators(NAME) == {}
    assert not repositories.is_private(NAME)


def test_unknown_repository_exits_with_5(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repository", "private", "alice/none", "--storage", url]) == 5
    assert "unknown repository alice/none" in capsys.readouterr().err
