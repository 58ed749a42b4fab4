"""``v1registry user``: the accounts in a storage (``auth = users:``).

The commands work on the storage. Every process over it sees the changes at its next request.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from getpass import getpass

from .. import errors
from ..access.namespaces import namespace_key
from ..accounts.backends.from_text import has_accounts_in_storage
from ..accounts.base import AccountExists, UnknownUser
from ..accounts.fields import checked_password
from ..accounts.users import UserStore
from ..names import DEFAULT_NAMESPACE, is_email, is_namespace
from ..rights import User
from ..storage import Storage
from ..storage.base import KeyNotFound
from .exits import DONE, NOT_FOUND, USAGE, CommandFailed
from .options import (
    Commands,
    add_json_option,
    add_password_option,
    add_storage_options,
    open_shared_storage,
    read_password,
    searched_repositories,
    settings_of,
)
from .output import print_rows


def add_commands(commands: Commands) -> None:
    """Add ``user add``, ``passwd``, ``list``, ``disable``, ``enable``, ``remove``, ``grant-admin``,
    ``revoke-admin`` and ``groups``.
    """
    group = commands.group("user", "manage accounts in the storage (auth = users:)")

    command = group.add("add", add_user, "create an account")
    command.add_argument("name", help="the user's name: 2 to 255 of a-z, 0-9 and . _ -")
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
    add_storage_options(command, writes=False)

    for name, is_active, summary in (
        ("disable", False, "disable an account; its tokens end"),
        ("enable", True, "enable a disabled account"),
    ):
        command = group.add(name, set_active, summary)
        command.add_argument("name")
        command.set_defaults(is_active=is_active)
        add_storage_options(command)

    for name, is_administrator, summary in (
        ("grant-admin", True, "allow a user to do everything"),
        ("revoke-admin", False, "take the rights of an administrator from a user"),
    ):
        command = group.add(name, set_administrator, summary)
        command.add_argument("name")
        command.set_defaults(is_administrator=is_administrator)
        add_storage_options(command)

    command = group.add("groups", change_groups, "show or change the namespaces that a user may write too")
    command.add_argument("name")
    for option, verb in (("--add", "add the user to"), ("--remove", "remove the user from")):
        command.add_argument(
            option,
            action="append",
            default=[],
            metavar="NAMESPACE",
            help=f"{verb} this group; may be repeated",
        )
    add_storage_options(command)

    command = group.add("remove", remove_user, "remove an account, and its rights as a collaborator")
    command.add_argument("name")
    add_storage_options(command)


def add_user(options: argparse.Namespace) -> int:
    """Create an account.

    :raises CommandFailed: the name, the address or the password is invalid, or the name is in use.
    """
    if not is_namespace(options.name):
        raise CommandFailed(
            "name: must be 2 to 255 of a-z, 0-9 and . _ -, with a letter or digit at both ends, "
            f"not {options.name!r}",
            USAGE,
        )
    _check_groups(options.group)
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
    granted = [
        *(["an administrator"] if options.administrator else []),
        *(["a member of " + ", ".join(options.group)] if options.group else []),
    ]
    print(f"account {options.name} created" + (f": {' and '.join(granted)}" if granted else ""))
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


def set_administrator(options: argparse.Namespace) -> int:
    """Give or take the rights of an administrator.

    :raises CommandFailed: the user is unknown.
    """
    try:
        _users(options).set_administrator(options.name, options.is_administrator)
    except UnknownUser as error:
        raise _unknown(options.name) from error
    print(f"{options.name} is {'now an administrator' if options.is_administrator else 'no administrator'}")
    return DONE


def change_groups(options: argparse.Namespace) -> int:
    """Print the groups of a user, after changes if there are any.

    :raises CommandFailed: the user is unknown, or a group is invalid.
    """
    _check_groups(options.add)
    users = _users(options)
    user = users.find(options.name)
    if user is None:
        raise _unknown(options.name)
    groups = (user.groups | set(options.add)) - set(options.remove)
    if groups != user.groups:
        users.set_groups(options.name, groups)
    print(f"groups of {options.name}: {', '.join(sorted(groups)) or 'none'}")
    return DONE


def remove_user(options: argparse.Namespace) -> int:
    """Remove an account with its rights as a collaborator. Its repositories stay.

    :raises CommandFailed: the user is unknown.
    """
    users = _users(options)
    user = users.find(options.name)
    if user is None:
        raise _unknown(options.name)
    storage = open_shared_storage(options)
    ended, kept = _end_rights(storage, options, user)
    users.delete(options.name)
    with suppress(KeyNotFound):  # only users of several backends have a record of their namespace
        storage.delete(namespace_key(options.name))
    print(
        f"account {options.name} removed, with {ended} rights as a collaborator; {kept} repositories are kept"
    )
    return DONE


def _end_rights(storage: Storage, options: argparse.Namespace, user: User) -> tuple[int, int]:
    """Take the rights as a collaborator from a user.

    Return how many there were, and how many repositories are in the user's namespace.
    """
    repositories, ended, kept = searched_repositories(storage, options)[0], 0, 0
    for name in repositories.all():
        kept += name.namespace == user.namespace
        if user.name in repositories.collaborators(name):
            repositories.set_collaborator(name, user.name, None)
            ended += 1
    return ended, kept


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
    """Return the accounts in the storage.

    :raises CommandFailed: the settings say that the registry has no accounts there.
    """
    settings = settings_of(options)
    auth = settings.get("auth", "open:" if options.config else "users:")
    if not has_accounts_in_storage(auth):
        scheme = auth.partition(":")[0]
        raise CommandFailed(
            f"this command manages accounts of auth = users:, and the setting auth is {scheme}:; "
            "nothing was changed",
            USAGE,
        )
    return UserStore(open_shared_storage(options))


def _check_groups(groups: list[str]) -> None:
    """Check that groups can be namespaces.

    :raises CommandFailed: one cannot.
    """
    for group in groups:
        if group == DEFAULT_NAMESPACE:
            raise CommandFailed(
                f"group: must not be {group}, which only administrators write; see grant-admin", USAGE
            )
        if not is_namespace(group):
            raise CommandFailed(
                f"group: must be a namespace of 2 to 255 of a-z, 0-9 and . _ -, not {group!r}", USAGE
            )


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
