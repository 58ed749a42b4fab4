"""``v1registry repository delete`` and ``v1registry tag delete``. Both work beside a running server."""

from __future__ import annotations

import argparse

from .. import errors
from ..access.holders import Holders
from ..names import RepositoryName
from ..registry.contents import Contents
from .exits import DONE, NOT_FOUND, CommandFailed
from .options import Commands, add_storage_options, open_shared_storage, searched_repositories, settings_of


def add_commands(commands: Commands) -> None:
    """Add ``tag delete``."""
    group = commands.group("tag", "manage tags in the storage")
    command = group.add("delete", delete_tag, "delete a tag, whatever the tag rule of the repository says")
    command.add_argument("repository", metavar="NAMESPACE/NAME")
    command.add_argument("tag", metavar="TAG")
    add_storage_options(command)


def add_to_repository_group(group: Commands) -> None:
    """Add ``repository delete``."""
    command = group.add(
        "delete",
        delete_repository,
        "delete a repository with its tags, its description and its collaborators",
        epilog="Images that other repositories hold stay there. The others stay in the storage, but no user\n"
        'can read them through this repository; "v1registry image remove" removes one.',
    )
    command.add_argument("repository", metavar="NAMESPACE/NAME")
    add_storage_options(command)


def delete_repository(options: argparse.Namespace) -> int:
    """Delete a repository, also one that is only marked as deleted.

    :raises CommandFailed: the repository is unknown.
    """
    storage, name = open_shared_storage(options), RepositoryName.parse(options.repository)
    repositories = searched_repositories(storage, options)[0]
    is_elsewhere = settings_of(options).get("images") == "elsewhere"
    tags = sorted(repositories.tags_or_none(name))
    try:
        Holders(storage, Contents(storage), repositories, registry_is_elsewhere=is_elsewhere).delete(name)
    except errors.RepositoryNotFound:
        raise _unknown(name) from None
    shown = f", with {len(tags)} tag(s): {', '.join(tags)}" if tags else "; it had no tags"
    print(f"repository {name} deleted{shown}")
    return DONE


def delete_tag(options: argparse.Namespace) -> int:
    """Delete a tag.

    :raises CommandFailed: the repository or the tag is unknown.
    """
    repositories = searched_repositories(open_shared_storage(options), options)[0]
    name = RepositoryName.parse(options.repository)
    if not repositories.exists(name):
        raise _unknown(name)
    try:
        image_id = repositories.tag(name, options.tag)
        repositories.delete_tag(name, options.tag)
    except errors.TagNotFound:
        known = ", ".join(sorted(repositories.tags_or_none(name))) or "none"
        raise CommandFailed(f"{name} has no tag {options.tag!r}; it has: {known}", NOT_FOUND) from None
    print(f"tag {name}:{options.tag} deleted; it named the image {image_id}")
    return DONE


def _unknown(name: RepositoryName) -> CommandFailed:
    return CommandFailed(
        f'unknown repository {name}; "v1registry repository list" lists all repositories', NOT_FOUND
    )
