"""``v1registry application …``: which applications may ask users for access (oauth.md 2), beside a running registry."""

from __future__ import annotations

import argparse
import json
import sys

from ..oauth.applications import (
    Application,
    ApplicationExists,
    Applications,
    InvalidApplication,
    UnknownApplication,
)
from ..oauth.scopes import ACCOUNT_SCOPES, SCOPES
from .users import DONE, NOT_FOUND, USAGE, AddCommand, OpenStorage, add_json_option, complain, print_rows


class ApplicationCommands:
    """The commands, over the storage that ``open_storage`` opens for the options of one."""

    def __init__(self, open_storage: OpenStorage):
        self._open_storage = open_storage

    def add_commands(
        self, commands: argparse._SubParsersAction[argparse.ArgumentParser], add: AddCommand
    ) -> None:
        """Give a parser the commands on applications."""
        new = add(commands, "add", "let an application ask users for access; its secret is shown this once")
        new.add_argument("name", help="shown to users, such as 'Example CI'")
        new.add_argument(
            "redirect_uris",
            metavar="URI",
            nargs="+",
            help="where answers may go, the default first: https://, http:// of this machine, or a scheme such as "
            "org.example.app:/",
        )
        new.add_argument("--client-id", metavar="ID", help="a random one when left out")
        new.add_argument("--description", default="", help="shown to users")
        new.add_argument(
            "--scope",
            action="append",
            choices=list(SCOPES),
            metavar="SCOPE",
            help=f"what it may ask for; repeatable; of {', '.join(SCOPES)} (default: {' '.join(ACCOUNT_SCOPES)})",
        )
        new.add_argument(
            "--public", action="store_true", help="it cannot keep a secret: it has none, and needs PKCE"
        )
        new.add_argument(
            "--trusted", action="store_true", help="may ask about every token, and vouch for addresses"
        )
        new.add_argument("--json", action="store_true", help="machine-readable: one object")
        new.set_defaults(run=self.add)

        listing = add(commands, "list", "list the applications")
        add_json_option(listing)
        listing.set_defaults(run=self.list)

        rotate = add(
            commands, "rotate-secret", "give an application another secret, which is shown this once"
        )
        rotate.add_argument("client_id", metavar="CLIENT_ID")
        rotate.add_argument("--json", action="store_true", help="machine-readable: one object")
        rotate.set_defaults(run=self.rotate_secret)

        remove = add(commands, "remove", "remove an application; all that users granted it ends at once")
        remove.add_argument("client_id", metavar="CLIENT_ID")
        remove.set_defaults(run=self.remove)

    def add(self, options: argparse.Namespace) -> int:
        try:
            application, secret = self._applications(options).add(
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
                complain(problem, USAGE)
            return USAGE
        except ApplicationExists as error:
            return complain(str(error), USAGE)
        if options.json:
            _print_object({**_row(application), "client_secret": secret})
            return DONE
        print(f"{application.name} may ask users for access")
        print(f"client_id:     {application.client_id}")
        print(f"client_secret: {_shown(secret)}")
        return DONE

    def list(self, options: argparse.Namespace) -> int:
        print_rows(map(_row, self._applications(options).list()), options.json)
        return DONE

    def rotate_secret(self, options: argparse.Namespace) -> int:
        try:
            secret = self._applications(options).rotate_secret(options.client_id)
        except UnknownApplication as error:
            return complain(str(error), NOT_FOUND)
        except InvalidApplication as error:
            return complain(str(error), USAGE)
        if options.json:
            _print_object({"client_id": options.client_id, "client_secret": secret})
            return DONE
        print(f"{options.client_id} has another secret; the old one is refused from now on")
        print(f"client_secret: {_shown(secret)}")
        return DONE

    def remove(self, options: argparse.Namespace) -> int:
        try:
            self._applications(options).remove(options.client_id)
        except UnknownApplication as error:
            return complain(str(error), NOT_FOUND)
        print(f"{options.client_id} is removed, and all that users granted it has ended")
        return DONE

    def _applications(self, options: argparse.Namespace) -> Applications:
        return Applications(self._open_storage(options))


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
    return "none: it is a public application" if secret is None else f"{secret}  (not shown again)"


def _print_object(document: dict[str, object]) -> None:
    json.dump(document, sys.stdout, indent=2)
    print()
