"""``v1registry repository delete`` and ``v1registry tag delete``."""

from __future__ import annotations

import pytest
from support.accounts_world import READ, AccountsWorld, image_of
from support.backends import People

from v1registry import FileStorage
from v1registry.cli.main import main
from v1registry.registry import layout
from v1registry.rights import User

ALICE = User("alice")
BASE = image_of("base")
TOP = image_of("top", BASE)


@pytest.fixture
def world(url: str) -> AccountsWorld:
    """A running server with accounts over the storage of the commands."""
    world = AccountsWorld(People.of(ALICE), FileStorage.from_url(url))
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    assert alice.tag("alice/app", BASE, "1.0") == 200
    return world


def test_repository_is_deleted_below_a_running_server(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = world.bearer("alice/app", READ, ALICE)
    assert reader.image(TOP) == 200
    assert main(["repository", "delete", "alice/app", "--storage", url]) == 0
    assert capsys.readouterr().out == "repository alice/app deleted, with 2 tag(s): 1.0, latest\n"
    assert reader.image(TOP) == 404
    assert world.person("alice").get("/v1/repositories/alice/app/tags").status_int == 404
    world.person("alice").push("alice/app", BASE)
    assert [reader.image(BASE), reader.image(TOP)] == [200, 404]


def test_repository_that_is_marked_as_deleted_is_removed(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.person("alice").delete("alice/app", wants_token=True).status_int == 202
    assert main(["repository", "delete", "alice/app", "--storage", url]) == 0
    assert capsys.readouterr().out == "repository alice/app deleted; it had no tags\n"
    assert not list(world.storage.list("repositories/"))


def test_repository_with_an_odd_name_is_deleted(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage.from_url(url)
    storage.write(f"repositories/Team/with+blank/{layout.TAG_PREFIX}1", BASE.image_id.encode())
    assert main(["tag", "delete", "Team/with blank", "1", "--storage", url]) == 0
    storage.write(f"repositories/Team/with+blank/{layout.TAG_PREFIX}1", BASE.image_id.encode())
    assert main(["repository", "delete", "Team/with blank", "--storage", url]) == 0
    assert not list(storage.list("repositories/"))


def test_tag_is_deleted_whatever_the_tag_rule_says(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["repository", "tags", "alice/app", "immutable", "--storage", url]) == 0
    capsys.readouterr()
    assert main(["tag", "delete", "alice/app", "1.0", "--storage", url]) == 0
    assert capsys.readouterr().out == f"tag alice/app:1.0 deleted; it named the image {BASE.image_id}\n"
    assert world.person("alice").get("/v1/repositories/alice/app/tags").json == {"latest": TOP.image_id}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["repository", "delete", "alice/other"], "unknown repository alice/other; "),
        (["tag", "delete", "alice/other", "1.0"], "unknown repository alice/other; "),
        (["tag", "delete", "alice/app", "2.0"], "alice/app has no tag '2.0'; it has: 1.0, latest"),
    ],
)
def test_what_does_not_exist_is_said_and_exits_with_5(
    world: AccountsWorld, url: str, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main([*arguments, "--storage", url]) == 5
    assert text in capsys.readouterr().err
    assert len(list(world.storage.list("repositories/alice/app/tag_"))) == 2
