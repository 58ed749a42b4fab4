"""``v1registry application``: applications that may ask users for access (oauth.md 2).

The commands work on the storage. Every process over it sees the changes at its next request.
"""

from __future__ import annotations

import argparse

from ..oauth.applications import (
    Application,
    ApplicationExists,
    Applications,
    InvalidApplication,
    UnknownApplication,
)
from ..oauth.scopes import ACCOUNT_SCOPES, SCOPES
from .exits import DONE, NOT_FOUND, USAGE, CommandFailed, complain
from .options import Commands, add_json_option, add_storage_options, open_shared_storage
from .output import print_json, print_rows


def add_commands(commands: Commands) -> None:
    """Add ``application add``, ``list``, ``rotate-secret`` and ``remove``."""
    group = commands.group("application", "manage applications that may ask users for access (OAuth 2)")

    command = group.add("add", add_application, "register an application; its secret is shown once")
    _add_application_options(command)
    add_json_option(command, is_list=False)
    add_storage_options(command)

    command = group.add("list", list_applications, "list the applications")
    add_json_option(command, is_list=True)
    add_storage_options(command, writes=False)

    command = group.add(
        "rotate-secret", rotate_secret, "replace the secret of an application; the new one is shown once"
    )
    command.add_argument("client_id", metavar="CLIENT_ID")
    add_json_option(command, is_list=False)
    add_storage_options(command)

    command = group.add("remove", remove_application, "remove an application; all grants of users to it end")
    command.add_argument("client_id", metavar="CLIENT_ID")
    add_storage_options(command)


def _add_application_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="the name that users see, such as 'Example CI'")
    command.add_argument(
        "redirect_uris",
        metavar="URI",
        nargs="+",
        help="an address that answers may go to, the default first: https://, http:// of this machine, or a "
        "scheme such as org.example.app:/",
    )
    command.add_argument(
        "--client-id", metavar="ID", help="the public name of the application (default: random)"
    )
    command.add_argument("--description", default="", help="a text that users see (default: none)")
    command.add_argument(
        "--scope",
        action="append",
        choices=list(SCOPES),
        metavar="SCOPE",
        help=f"a scope that the application may ask for, one of {', '.join(SCOPES)}; may be repeated "
        f"(default: {' '.join(ACCOUNT_SCOPES)})",
    )
    command.add_argument(
        "--public",
        action="store_true",
        help="the application cannot keep a secret: it gets none and must use PKCE",
    )
    command.add_argument(
        "--trusted", action="store_true", help="allow it to inspect all tokens and to confirm addresses"
    )


def add_application(options: argparse.Namespace) -> int:
    """Register an application and print its secret.

    :raises CommandFailed: the client id is in use.
    """
    try:
        application, secret = _applications(options).add(
            options.name,
            options.redirect_uris,
            client_id=options.client_id,
            description=options.description,
            scopes=options.scope or ACCOUNT_SCOPES,
            is_public=options.public,
            is_trusted=options.trusted,
        )
    except InvalidApplication as error:
        for problem in error.problems:
            complain(problem)
        return USAGE
    except ApplicationExists as error:
        raise CommandFailed(str(error), USAGE) from error
    if options.json:
        print_json({**_row(application), "client_secret": secret})
        return DONE
    print(f"application {application.name} registered")
    print(f"client_id:     {application.client_id}")
    print(f"client_secret: {_shown(secret)}")
    return DONE


def list_applications(options: argparse.Namespace) -> int:
    """Print all applications, without their secrets."""
    print_rows(map(_row, _applications(options).list()), options.json)
    return DONE


def rotate_secret(options: argparse.Namespace) -> int:
    """Replace a secret and print the new one.

    :raises CommandFailed: the application is unknown, or has no secret.
    """
    try:
        secret = _applications(options).rotate_secret(options.client_id)
    except UnknownApplication as error:
        raise CommandFailed(str(error), NOT_FOUND) from error
    except InvalidApplication as error:
        raise CommandFailed(str(error), USAGE) from error
    if options.json:
        print_json({"client_id": options.client_id, "client_secret": secret})
        return DONE
    print(f"secret of {options.client_id} replaced; the old one is rejected from now on")
    print(f"client_secret: {_shown(secret)}")
    return DONE


def remove_application(options: argparse.Namespace) -> int:
    """Remove an application and all grants to it.

    :raises CommandFailed: the application is unknown.
    """
    try:
        _applications(options).remove(options.client_id)
    except UnknownApplication as error:
        raise CommandFailed(str(error), NOT_FOUND) from error
    print(f"application {options.client_id} removed; all grants of users to it have ended")
    return DONE


def _applications(options: argparse.Namespace) -> Applications:
    return Applications(open_shared_storage(options))


def _row(application: Application) -> dict[str, object]:
    return {
        "client_id": application.client_id,
        "name": application.name,
        "description": application.description,
        "redirect_uris": list(application.redirect_uris),
        "scopes": list(application.scopes),
        "is_public": application.is_public,
        "is_trusted": application.is_trusted,
        "created_at": application.created_at.isoformat(timespec="seconds"),
    }


def _shown(secret: str | None) -> str:
    return "none: public applications have no secret" if secret is None else f"{secret}  (not shown again)"
