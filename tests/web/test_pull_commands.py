"""The commands on the page of a repository, which users paste into a shell."""

from __future__ import annotations

import shlex

import pytest
from support.reader import Reader, checked, describe, rows_of, town, words
from v1registry_fakes import FakeRegistry

from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.web.views.pull_commands import pull_commands


def commands_in(page: object) -> list[str]:
    return [words(code) for code in page.select(".command code")]  # type: ignore[attr-defined]


def expected(host: str, name: str, tag: str, *options: str) -> list[str]:
    archive = f"{name.rpartition('/')[2]}.tar"
    return [
        f"docker pull {host}/{name}:{tag}",
        " ".join(["v1registry", "pull", f"{host}/{name}:{tag}", "-o", archive, *options]),
        f"docker load -i {archive}",
    ]


def test_docker_pull_comes_first(registry: FakeRegistry) -> None:
    registry.add_image("team/app:1")
    page = Reader(registry.app).page("/repositories/team/app")
    assert commands_in(page)[:3] == expected("localhost", "team/app", "1")
    assert "Docker versions up to 17.05" not in words(page.main)


def test_docker_pull_is_for_old_engines_without_v2() -> None:
    registry = FakeRegistry(v2="ping")
    registry.add_image("team/app:1")
    page = Reader(registry.app).page("/repositories/team/app")
    engine, archive, load = expected("localhost", "team/app", "1")
    assert commands_in(page)[:3] == [archive, load, engine]
    assert "Docker versions up to 17.05" in words(page.main)


def test_docker_pull_is_for_old_engines_with_names_that_v2_lacks(registry: FakeRegistry) -> None:
    registry.add_image("team/App:1")
    page = Reader(registry.app).page("/repositories/team/App")
    assert commands_in(page)[-1] == "docker pull localhost/team/App:1"
    assert "Docker versions up to 17.05" in words(page.main)


def test_every_command_can_be_copied(registry: FakeRegistry) -> None:
    for tag in ("1.0", "latest", "2.0"):
        registry.add_image(f"team/app:{tag}")
    host = "registry.example.com:5000"
    page = Reader(registry.app, HTTP_HOST=host).page("/repositories/team/app")
    assert commands_in(page)[:3] == expected(host, "team/app", "latest", "--insecure")
    wanted = {
        command
        for tag in ("1.0", "2.0", "latest")
        for command in expected(host, "team/app", tag, "--insecure")
    }
    assert set(commands_in(page)) == wanted
    for group in page.select(".command"):
        button = group.button
        assert button.has_attr("hidden"), "it does nothing without a script"
        assert button["data-copy"] == words(group.code)


def test_the_command_of_library_has_the_namespace(registry: FakeRegistry) -> None:
    registry.add_image("debian:8")
    page = Reader(registry.app).page("/repositories/debian")
    assert commands_in(page)[:3] == expected("localhost", "library/debian", "8")


def test_the_pull_command_has_the_public_host() -> None:
    registry = FakeRegistry(public_url="https://hub.example.com/below")
    registry.add_image("team/app:1")
    page = Reader(registry.app).page("/repositories/team/app")
    assert commands_in(page)[:3] == expected("hub.example.com", "team/app", "1")


def test_the_command_of_a_private_repository_logs_in() -> None:
    registry = town()
    page = Reader(registry.app, "tomas").page("/repositories/mira_k/ledger")
    commands = expected("localhost", "mira_k/ledger", "2015", "--username tomas")
    assert commands_in(page)[:4] == ["docker login --username tomas localhost", *commands]
    page = Reader(registry.app, "tomas").page("/repositories/mira_k/shop")
    assert commands_in(page)[:3] == expected("localhost", "mira_k/shop", "1.0")


@pytest.mark.parametrize("username", ["$(reboot)", "a b", "'; reboot", "-x"])
def test_names_of_users_are_quoted_for_a_shell(username: str) -> None:
    commands = pull_commands("h", RepositoryName("a", "b"), "1", is_secure=True, username=username)
    assert commands is not None
    assert shlex.split(commands.archive)[-2:] == ["--username", username]


@pytest.mark.parametrize("name", ["$(reboot)", "a;reboot", "`id`", "a b", "a\nb", "&&x", "-o"])
def test_names_unsafe_in_a_shell_give_no_command(registry: FakeRegistry, name: str) -> None:
    image = registry.add_image("team/app:1")
    folder = layout.repository_folders(RepositoryName("team", name))[-1]
    registry.storage.write(f"{folder}/tag_latest", image.id.encode())
    registry.storage.write(layout.tag_key("repositories/team/app", name), image.id.encode())
    reader = Reader(registry.app)
    page = reader.page(f"/repositories/team/{name}")
    assert commands_in(page) == []
    assert "cannot be pulled" in words(page.main)
    page = reader.page("/repositories/team/app")
    assert len(rows_of(page)) == 2
    for command in commands_in(page):
        assert shlex.split(command) == command.split(" ")
    assert set(commands_in(page)) <= set(expected("localhost", "team/app", "1"))


@pytest.mark.parametrize("host", ["evil.example/x", "a b", "<script>", "x;reboot", "'"])
def test_an_invalid_host_gives_no_command(registry: FakeRegistry, host: str) -> None:
    registry.add_image("team/app:1")
    answer = Reader(registry.app).ask("/repositories/team/app", HTTP_HOST=host)
    assert answer.status == 400
    checked(answer.body)


def test_a_table_in_a_description_can_be_scrolled_by_keyboard(registry: FakeRegistry) -> None:
    registry.add_repository("team/app")
    reader = Reader(registry.app)
    describe(registry, "team/app", "| a | b |\n|---|---|\n| 1 | 2 |")
    assert reader.page("/repositories/team/app").select_one(".prose")["tabindex"] == "0"
    describe(registry, "team/app", "no table")
    assert not reader.page("/repositories/team/app").select_one(".prose").has_attr("tabindex")
