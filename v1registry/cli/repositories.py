"""``v1registry repository``: descriptions, stars, privacy, collaborators and tag rules.

The commands work on the storage. Every process over it sees the changes at its next request.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .. import errors
from ..accounts.backends.from_text import open_auth
from ..accounts.base import Backend, NotSupported
from ..accounts.users import UserStore
from ..housekeeping.reach import Reach
from ..names import RepositoryName
from ..registry.repositories import MOST_STARS, Repositories
from ..registry.tags import TagRule
from ..rights import Action, User
from . import deletions, sync_lists
from .exits import DONE, NOT_FOUND, USAGE, CommandFailed
from .options import (
    Commands,
    Run,
    add_json_option,
    add_storage_options,
    open_shared_storage,
    searched_repositories,
    settings_of,
)
from .output import print_rows


def add_commands(commands: Commands) -> None:
    """Add ``repository list``, ``describe``, ``stars``, ``private``, ``grant``, ``tags``, and those of other
    modules.
    """
    group = commands.group("repository", "manage repositories in the storage")

    command = group.add("list", list_repositories, "list the repositories")
    add_json_option(command, is_list=True)
    add_storage_options(command, writes=False)

    def add(name: str, run: Run, summary: str) -> argparse.ArgumentParser:
        command = group.add(name, run, summary)
        command.add_argument("repository", metavar="NAMESPACE/NAME")
        add_storage_options(command)
        return command

    command = add("describe", describe, "set the description that search and pages show")
    text = command.add_mutually_exclusive_group(required=True)
    text.add_argument(
        "description", nargs="?", help='the new text, Markdown; "" removes it; - reads standard input'
    )
    text.add_argument("--file", metavar="PATH", help="a file with the new text, UTF-8")

    command = add("stars", set_stars, "set the number of stars that search and pages show")
    command.add_argument("stars", type=int, help="the new number; search sorts by it")

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

    command.add_argument(
        "--force",
        action="store_true",
        help="record the right even if the users cannot be looked up by name",
    )

    command = add("tags", set_tag_rule, "set whether tags of a repository may be moved")
    command.add_argument("rule", choices=[rule.value for rule in TagRule])
    deletions.add_to_repository_group(group)
    sync_lists.add_to_repository_group(group)


def list_repositories(options: argparse.Namespace) -> int:
    """Print all repositories."""
    storage = open_shared_storage(options)
    repositories = Repositories(storage)
    reach = Reach(storage)
    rows: list[dict[str, object]] = [
        {
            "name": str(name),
            "access": "private" if repositories.is_private(name) else "public",
            "tags": reach.tag_names(reach.place(name)),
            "tag_rule": repositories.tag_rule(name).value,
            "collaborators": {
                user: action.value for user, action in sorted(repositories.collaborators(name).items())
            },
            "description": repositories.description(name),
            "stars": repositories.stars(name),
        }
        for name in repositories.all()
    ]
    if not options.json:
        rows = [
            {
                **row,
                "tags": len(tags) if isinstance(tags := row["tags"], list) else 0,
                "stars": row["stars"] or "",
            }
            for row in rows
        ]
    print_rows(rows, options.json)
    return DONE


def describe(options: argparse.Namespace) -> int:
    """Set the description of a repository.

    :raises CommandFailed: the file cannot be read, or is not UTF-8.
    """
    text = _description(options)
    what = f"set, {len(text)} characters" if text else "removed"
    return _change(options, lambda all_, name: all_.describe(name, text), f"description {what}")


def _description(options: argparse.Namespace) -> str:
    if options.file is None and options.description != "-":
        return str(options.description)
    try:
        data = sys.stdin.buffer.read() if options.file is None else Path(options.file).read_bytes()
        return data.decode("utf-8").strip()
    except OSError as error:
        raise CommandFailed(f"--file: {options.file!r} cannot be read: {error.strerror}", USAGE) from error
    except UnicodeDecodeError as error:
        raise CommandFailed("the description must be UTF-8; nothing was changed", USAGE) from error


def set_stars(options: argparse.Namespace) -> int:
    """Set the number of stars of a repository.

    :raises CommandFailed: the number is out of range.
    """
    stars: int = options.stars
    if not 0 <= stars <= MOST_STARS:
        raise CommandFailed(f"stars: must be between 0 and {MOST_STARS}, not {stars}", USAGE)
    return _change(options, lambda all_, name: all_.set_stars(name, stars), f"stars set to {stars}")


def set_private(options: argparse.Namespace) -> int:
    """Make a repository private or public."""
    is_private = options.state == "on"
    note = "; auth = open: has no users, so everyone may still read it"
    auth = settings_of(options).get("auth", "open:" if options.config else None)
    is_open = auth in ("open:", "open")
    what = f"now private{note if is_open else ''}" if is_private else "now public"
    return _change(options, lambda all_, name: all_.set_private(name, is_private), what)


def grant(options: argparse.Namespace) -> int:
    """Add, change or remove a collaborator.

    :raises CommandFailed: the backend does not know the user, or cannot look up names.
    """
    action = None if options.right == "none" else Action(options.right)
    if action is None:
        # rights of users who are gone can be taken back too
        return _change(
            options,
            lambda all_, name: all_.set_collaborator(name, options.user, None),
            f"{options.user} is no collaborator",
        )
    backend = _backend(options)
    user = _grantee(backend, options)
    word = "read" if action is Action.READ else "read and push"
    return _change(
        options,
        lambda all_, name: all_.set_collaborator(
            name,
            user.name,
            action,
            id_of=lambda username: _id_of(backend, username),
            is_active=user.is_active,
        ),
        f"{user.name} may {word}",
    )


def _backend(options: argparse.Namespace) -> Backend:
    """Return the users that the settings name; without the setting auth the accounts in the storage.

    :raises CommandFailed: the setting is invalid, or there are no users.
    """
    storage, auth = open_shared_storage(options), settings_of(options).get("auth")
    if auth is None:
        return UserStore(storage)
    if auth in ("open:", "open"):
        raise CommandFailed("auth = open: has no users, so rights have no effect; nothing was changed", USAGE)
    try:
        return open_auth(auth, storage)
    except ValueError as error:
        raise CommandFailed(f"auth: {error}", USAGE) from error


def _grantee(backend: Backend, options: argparse.Namespace) -> User:
    """Return the user who gets a right.

    :raises CommandFailed: the backend does not know the user, or cannot look up names.
    """
    is_known_backend = "auth" in settings_of(options)
    try:
        found = backend.find(options.user)
    except NotSupported:
        found, is_known_backend = None, False
    if found is not None:
        return found
    if options.force and not is_known_backend:
        return User(options.user)
    hint = "" if is_known_backend else "; --config names these users, --force records the right for the name"
    raise CommandFailed(
        f"unknown user {options.user!r}: must be the name of a user of the setting auth{hint}; "
        "nothing was changed",
        NOT_FOUND,
    )


def _id_of(backend: Backend, username: str) -> str:
    """Return the id of the account of a name, empty if there is none."""
    try:
        found = backend.find(username)
    except NotSupported:
        return ""
    return "" if found is None else found.id


def set_tag_rule(options: argparse.Namespace) -> int:
    """Set whether tags may be moved."""
    rule = TagRule(options.rule)
    return _change(options, lambda all_, name: all_.set_tag_rule(name, rule), f"tags are {rule.value}")


def _change(
    options: argparse.Namespace, change: Callable[[Repositories, RepositoryName], None], what: str
) -> int:
    """Change the repository that the options name.

    :param what: says what was changed.

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
    print(f"repository {name}: {what}")
    return DONE


def _repositories(options: argparse.Namespace) -> Repositories:
    return searched_repositories(open_shared_storage(options), options)[0]
