"""``v1registry user …`` and ``v1registry repository …``: what administrators do, on any storage, beside a running registry.

The commands work on the storage itself. What they change counts at once in every process over it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from getpass import getpass

from .. import errors
from ..accounts.base import AccountExists, UnknownUser
from ..accounts.registration import checked_password
from ..accounts.users import UserStore
from ..names import RepositoryName, is_email, is_username
from ..registry.repositories import Repositories, TagRule
from ..rights import Action
from ..storage.base import Storage

#: Opens the storage that the options of a command name.
OpenStorage = Callable[[argparse.Namespace], Storage]

#: Makes the parser of one command and gives it the options that all have.
AddCommand = Callable[
    ["argparse._SubParsersAction[argparse.ArgumentParser]", str, str], argparse.ArgumentParser
]

#: What a command returns when it is done, was told something wrong, or did not find what it was told.
DONE, USAGE, NOT_FOUND = 0, 2, 5


class Administration:
    """The commands, over the storage that ``open_storage`` opens for the options of one."""

    def __init__(self, open_storage: OpenStorage):
        self._open_storage = open_storage

    def add_user_commands(
        self, commands: argparse._SubParsersAction[argparse.ArgumentParser], add: AddCommand
    ) -> None:
        """Give a parser the commands on accounts."""
        new = add(commands, "add", "make an account; its password is asked for, without echo")
        new.add_argument("name")
        new.add_argument("--email", default="", metavar="ADDRESS")
        new.add_argument("--administrator", action="store_true", help="may do everything")
        new.add_argument(
            "--group",
            action="append",
            default=[],
            metavar="NAMESPACE",
            help="may write there too; repeatable",
        )
        _add_password_option(new)
        new.set_defaults(run=self.add_user)

        password = add(commands, "passwd", "give an account another password")
        password.add_argument("name")
        _add_password_option(password)
        password.set_defaults(run=self.set_password)

        listing = add(commands, "list", "list the accounts")
        add_json_option(listing)
        listing.set_defaults(run=self.list_users)

        for name, is_active in (("disable", False), ("enable", True)):
            change = add(
                commands, name, f"{name} an account" + ("; its tokens end too" if not is_active else " again")
            )
            change.add_argument("name")
            change.set_defaults(run=self.set_active, is_active=is_active)

    def add_repository_commands(
        self, commands: argparse._SubParsersAction[argparse.ArgumentParser], add: AddCommand
    ) -> None:
        """Give a parser the commands on repositories."""
        listing = add(commands, "list", "list the repositories")
        add_json_option(listing)
        listing.set_defaults(run=self.list_repositories)

        describe = add(commands, "describe", "set what search shows beside a repository's name")
        describe.add_argument("repository", metavar="NAMESPACE/NAME")
        describe.add_argument("description")
        describe.set_defaults(run=self.describe)

        private = add(
            commands, "private", "show a repository only to those who may write it, and to collaborators"
        )
        private.add_argument("repository", metavar="NAMESPACE/NAME")
        private.add_argument("state", nargs="?", choices=("on", "off"), default="on")
        private.set_defaults(run=self.set_private)

        grant = add(commands, "grant", "let somebody use a repository: make a collaborator")
        grant.add_argument("repository", metavar="NAMESPACE/NAME")
        grant.add_argument("user")
        grant.add_argument("right", nargs="?", choices=("read", "write", "none"), default="read")
        grant.set_defaults(run=self.grant)

        tags = add(commands, "tags", "say whether a repository's tags may be moved once they are set")
        tags.add_argument("repository", metavar="NAMESPACE/NAME")
        tags.add_argument("rule", choices=[rule.value for rule in TagRule])
        tags.set_defaults(run=self.set_tag_rule)

    # -- accounts

    def add_user(self, options: argparse.Namespace) -> int:
        if not is_username(options.name):
            return complain(f"a name has 4 to 30 of a-z, 0-9 and _, unlike {options.name!r}", USAGE)
        if options.email and not is_email(options.email):
            return complain(f"{options.email!r} is no address", USAGE)
        users = self._users(options)
        try:
            users.create(
                options.name, _password(options), options.email, is_administrator=options.administrator
            )
        except AccountExists as error:
            return complain(str(error), USAGE)
        if options.group:
            users.set_groups(options.name, options.group)
        print(f"{options.name} may log in")
        return DONE

    def set_password(self, options: argparse.Namespace) -> int:
        users = self._users(options)
        if users.find(options.name) is None:
            return complain(f"there is no user {options.name!r}", NOT_FOUND)
        users.set_password(options.name, _password(options))
        print(f"{options.name} has another password")
        return DONE

    def set_active(self, options: argparse.Namespace) -> int:
        try:
            self._users(options).set_active(options.name, options.is_active)
        except UnknownUser:
            return complain(f"there is no user {options.name!r}", NOT_FOUND)
        print(f"{options.name} is {'enabled' if options.is_active else 'disabled'}")
        return DONE

    def list_users(self, options: argparse.Namespace) -> int:
        users = self._users(options)
        rows: list[dict[str, object]] = [
            {
                "name": user.name,
                "is_active": user.is_active,
                "is_administrator": user.is_administrator,
                "groups": sorted(user.groups),
                "emails": [email.email for email in users.emails(user.name)],
            }
            for user in users.users()
        ]
        print_rows(rows, options.json)
        return DONE

    # -- repositories

    def list_repositories(self, options: argparse.Namespace) -> int:
        repositories = self._repositories(options)
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

    def describe(self, options: argparse.Namespace) -> int:
        return self._change(options, lambda all_, name: all_.describe(name, options.description))

    def set_private(self, options: argparse.Namespace) -> int:
        return self._change(options, lambda all_, name: all_.set_private(name, options.state == "on"))

    def grant(self, options: argparse.Namespace) -> int:
        action = None if options.right == "none" else Action(options.right)
        return self._change(options, lambda all_, name: all_.set_collaborator(name, options.user, action))

    def set_tag_rule(self, options: argparse.Namespace) -> int:
        return self._change(options, lambda all_, name: all_.set_tag_rule(name, TagRule(options.rule)))

    def _change(
        self, options: argparse.Namespace, change: Callable[[Repositories, RepositoryName], None]
    ) -> int:
        repositories, name = self._repositories(options), RepositoryName.parse(options.repository)
        if not repositories.exists(name):
            return complain(f"there is no repository {name}", NOT_FOUND)
        try:
            change(repositories, name)
        except errors.RegistryError as error:
            return complain(f"{name}: {error.public}", USAGE)
        print(f"{name} is changed")
        return DONE

    def _users(self, options: argparse.Namespace) -> UserStore:
        return UserStore(self._open_storage(options))

    def _repositories(self, options: argparse.Namespace) -> Repositories:
        return Repositories(self._open_storage(options))


def _add_password_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input, one line"
    )


def add_json_option(command: argparse.ArgumentParser) -> None:
    """Give the parser of a listing the option to be machine-readable."""
    command.add_argument("--json", action="store_true", help="machine-readable: an array of objects")


def _password(options: argparse.Namespace) -> str:
    """Return the new password: from standard input, or asked for twice. SystemExit where it is none."""
    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass(f"New password of {options.name}: ")
        if getpass("Once more: ") != password:
            raise SystemExit(complain("the two differ; nothing was changed", USAGE))
    try:
        return checked_password(password)
    except errors.InvalidAccountField as error:
        raise SystemExit(complain(f"{error.public}; nothing was changed", USAGE)) from None


def print_rows(rows: Iterable[dict[str, object]], as_json: bool) -> None:
    """Print rows, one a line, the first field by itself; or an array of JSON objects."""
    if as_json:
        json.dump(list(rows), sys.stdout, indent=2)
        print()
        return
    for row in rows:
        name, *others = row.items()
        print(name[1], *(f"{key}={_shown(value)}" for key, value in others if _shown(value)), sep="\t")


def _shown(value: object) -> str:
    """Return a value of a row in one word or a few; nothing where it says nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ",".join(f"{key}:{item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def complain(text: str, code: int) -> int:
    """Tell on standard error what is wrong; return ``code``."""
    print(f"v1registry: {text}", file=sys.stderr)
    return code
