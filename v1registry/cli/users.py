"""``v1registry user``: the accounts in a storage (``auth = users:``).

The commands work on the storage. Every process over it sees the changes at its next request.
"""

from __future__ import annotations

import argparse
from getpass import getpass

from .. import errors
from ..accounts.base import AccountExists, UnknownUser
from ..accounts.fields import checked_password
from ..accounts.users import UserStore
from ..names import is_email, is_username
from .exits import DONE, NOT_FOUND, USAGE, CommandFailed
from .options import (
    Commands,
    add_json_option,
    add_password_option,
    add_storage_options,
    open_shared_storage,
    read_password,
)
from .output import print_rows


def add_commands(commands: Commands) -> None:
    """Add ``user add``, ``passwd``, ``list``, ``disable`` and ``enable``."""
    group = commands.group("user", "manage accounts in the storage (auth = users:)")

    command = group.add("add", add_user, "create an account")
    command.add_argument("name", help="the user's name: 4 to 30 of a-z, 0-9 and _")
    command.add_argument("--email", default="", metavar="ADDRESS", help="the user's address (default: none)")
    command.add_argument("--administrator", action="store_true", help="allow the user to do everything")
    command.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="allow the user to write in this namespace too; may be repeated",
    )
    add_password_option(command)
    add_storage_options(command)

    command = group.add("passwd", set_password, "change the password of an account; its tokens end")
    command.add_argument("name")
    add_password_option(command)
    add_storage_options(command)

    command = group.add("list", list_users, "list the accounts")
    add_json_option(command, is_list=True)
    add_storage_options(command)

    for name, is_active, summary in (
        ("disable", False, "disable an account; its tokens end"),
        ("enable", True, "enable a disabled account"),
    ):
        command = group.add(name, set_active, summary)
        command.add_argument("name")
        command.set_defaults(is_active=is_active)
        add_storage_options(command)


def add_user(options: argparse.Namespace) -> int:
    """Create an account.

    :raises CommandFailed: the name, the address or the password is invalid, or the name is in use.
    """
    if not is_username(options.name):
        raise CommandFailed(f"name: must be 4 to 30 of a-z, 0-9 and _, not {options.name!r}", USAGE)
    if options.email and not is_email(options.email):
        raise CommandFailed(
            f"--email: must be an address such as mira@example.org, not {options.email!r}", USAGE
        )
    users = _users(options)
    try:
        users.create(
            options.name, _new_password(options), options.email, is_administrator=options.administrator
        )
    except AccountExists as error:
        raise CommandFailed(str(error), USAGE) from error
    if options.group:
        users.set_groups(options.name, options.group)
    print(f"account {options.name} created")
    return DONE


def set_password(options: argparse.Namespace) -> int:
    """Change a password.

    :raises CommandFailed: the user is unknown, or the password invalid.
    """
    users = _users(options)
    if users.find(options.name) is None:
        raise _unknown(options.name)
    users.set_password(options.name, _new_password(options))
    print(f"password of {options.name} changed")
    return DONE


def set_active(options: argparse.Namespace) -> int:
    """Disable or enable an account.

    :raises CommandFailed: the user is unknown.
    """
    try:
        _users(options).set_active(options.name, options.is_active)
    except UnknownUser as error:
        raise _unknown(options.name) from error
    print(f"account {options.name} {'enabled' if options.is_active else 'disabled'}")
    return DONE


def list_users(options: argparse.Namespace) -> int:
    """Print all accounts."""
    users = _users(options)
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


def _users(options: argparse.Namespace) -> UserStore:
    return UserStore(open_shared_storage(options))


def _unknown(name: str) -> CommandFailed:
    return CommandFailed(f'unknown user {name!r}; "v1registry user list" lists all users', NOT_FOUND)


def _new_password(options: argparse.Namespace) -> str:
    """Return a valid new password; a prompt asks for it twice.

    :raises CommandFailed: the password is invalid, or the two differ.
    """
    password = read_password(options, f"New password of {options.name}: ")
    if not options.password_stdin and getpass("Repeat the password: ") != password:
        raise CommandFailed("the two passwords are different; nothing was changed", USAGE)
    try:
        return checked_password(password)
    except errors.InvalidAccountField as error:
        raise CommandFailed(f"{error.public}; nothing was changed", USAGE) from error
