"""``v1registry repository``: descriptions, privacy, collaborators and tag rules.

The commands work on the storage. Every process over it sees the changes at its next request.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from .. import errors
from ..names import RepositoryName
from ..registry.repositories import Repositories
from ..registry.tags import TagRule
from ..rights import Action
from .exits import DONE, NOT_FOUND, USAGE, CommandFailed
from .options import Commands, Run, add_json_option, add_storage_options, open_shared_storage
from .output import print_rows


def add_commands(commands: Commands) -> None:
    """Add ``repository list``, ``describe``, ``private``, ``grant`` and ``tags``."""
    group = commands.group("repository", "manage repositories in the storage")

    command = group.add("list", list_repositories, "list the repositories")
    add_json_option(command, is_list=True)
    add_storage_options(command)

    def add(name: str, run: Run, summary: str) -> argparse.ArgumentParser:
        command = group.add(name, run, summary)
        command.add_argument("repository", metavar="NAMESPACE/NAME")
        add_storage_options(command)
        return command

    command = add("describe", describe, "set the description that search and pages show")
    command.add_argument("description", help='the new text; "" removes it')

    command = add("private", set_private, "hide a repository from all but its writers and collaborators")
    command.add_argument(
        "state",
        nargs="?",
        choices=("on", "off"),
        default="on",
        help="off: make it public (default: %(default)s)",
    )

    command = add("grant", grant, "make a user a collaborator of a repository")
    command.add_argument("user", help="the user's name")
    command.add_argument(
        "right",
        nargs="?",
        choices=("read", "write", "none"),
        default="read",
        help="none: remove the collaborator (default: %(default)s)",
    )

    command = add("tags", set_tag_rule, "set whether tags of a repository may be moved")
    command.add_argument("rule", choices=[rule.value for rule in TagRule])


def list_repositories(options: argparse.Namespace) -> int:
    """Print all repositories."""
    repositories = _repositories(options)
    rows: list[dict[str, object]] = [
        {
            "name": str(name),
            "access": "private" if repositories.is_private(name) else "public",
            "tags": len(repositories.tags_or_none(name)),
            "tag_rule": repositories.tag_rule(name).value,
            "collaborators": {
                user: action.value for user, action in sorted(repositories.collaborators(name).items())
            },
            "description": repositories.description(name),
        }
        for name in repositories.all()
    ]
    print_rows(rows, options.json)
    return DONE


def describe(options: argparse.Namespace) -> int:
    """Set the description of a repository."""
    return _change(options, lambda all_, name: all_.describe(name, options.description))


def set_private(options: argparse.Namespace) -> int:
    """Make a repository private or public."""
    return _change(options, lambda all_, name: all_.set_private(name, options.state == "on"))


def grant(options: argparse.Namespace) -> int:
    """Add, change or remove a collaborator."""
    action = None if options.right == "none" else Action(options.right)
    return _change(options, lambda all_, name: all_.set_collaborator(name, options.user, action))


def set_tag_rule(options: argparse.Namespace) -> int:
    """Set whether tags may be moved."""
    return _change(options, lambda all_, name: all_.set_tag_rule(name, TagRule(options.rule)))


def _change(options: argparse.Namespace, change: Callable[[Repositories, RepositoryName], None]) -> int:
    """Change the repository that the options name.

    :raises CommandFailed: the repository is unknown, or a value is invalid.
    """
    repositories, name = _repositories(options), RepositoryName.parse(options.repository)
    if not repositories.exists(name):
        raise CommandFailed(
            f'unknown repository {name}; "v1registry repository list" lists all repositories', NOT_FOUND
        )
    try:
        change(repositories, name)
    except errors.RegistryError as error:
        raise CommandFailed(f"{name}: {error.public}", USAGE) from error
    print(f"repository {name} changed")
    return DONE


def _repositories(options: argparse.Namespace) -> Repositories:
    return Repositories(open_shared_storage(options))
