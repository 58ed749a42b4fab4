"""How modules add their commands to the parser, and the options that several commands share."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from getpass import GetPassWarning, getpass
from typing import Any, TypeAlias

from .. import settings as settings_
from ..openers import open_search, open_storage
from ..registry.repositories import Repositories
from ..search.base import SearchIndex
from ..settings import SettingsError
from ..storage import FileStorage, Storage
from ..storage.objects import ObjectStorage
from .exits import UNREACHABLE, USAGE, CommandFailed

#: Runs one command with its parsed options and returns the exit code.
Run: TypeAlias = Callable[[argparse.Namespace], int]

_CONFIG_HELP = "an ini file with a section [v1registry]"


class Commands:
    """The subcommands of a parser.

    Each module of this package has one function ``add_commands(commands)``, which ``main`` calls.
    """

    def __init__(self, parser: argparse.ArgumentParser):
        self._subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(self, name: str, run: Run, summary: str, *, epilog: str = "") -> argparse.ArgumentParser:
        """Add a command and return its parser.

        :param summary: one phrase for the list of commands, without a full stop.
        :param epilog: text below the options in ``--help``, printed as it is.
        """
        command = self._add_parser(name, summary, epilog)
        command.add_argument("-v", "--verbose", action="store_true", help="log more to standard error")
        command.set_defaults(run=run)
        return command

    def group(self, name: str, summary: str) -> Commands:
        """Add a command that has subcommands, such as ``user add``, and return these."""
        return Commands(self._add_parser(name, summary))

    def _add_parser(self, name: str, summary: str, epilog: str = "") -> argparse.ArgumentParser:
        return self._subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )


# -- settings and storage


def add_config_option(command: argparse.ArgumentParser) -> None:
    """Add ``--config``, which :func:`settings_of` reads."""
    command.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)


def add_storage_options(command: argparse.ArgumentParser, *, writes: bool = True) -> None:
    """Add ``--storage`` and ``--config``, which :func:`open_shared_storage` reads.

    :param writes: whether the command writes into the storage. Then ``--server-is-stopped`` is added too.
    """
    command.add_argument(
        "--storage",
        metavar="URL",
        help="where the data is, such as file:///srv/registry (default: the setting storage)",
    )
    add_config_option(command)
    command.set_defaults(writes=writes)
    if writes:
        add_stopped_option(command)


def add_stopped_option(command: argparse.ArgumentParser) -> None:
    """Add ``--server-is-stopped``, which :func:`check_single_writer` reads."""
    command.add_argument(
        "--server-is-stopped",
        action="store_true",
        help="no server runs over the storage; needed if its URL has single_writer",
    )


def check_single_writer(storage: Storage, options: argparse.Namespace) -> None:
    """Refuse a storage into which one process alone may write, because that may be a server.

    :param options: those of :func:`add_stopped_option`.
    :raises CommandFailed: the storage has no conditional writes, and the option is missing.
    """
    if isinstance(storage, ObjectStorage) and storage.is_single_writer and not options.server_is_stopped:
        raise CommandFailed(
            "the URL of the storage says that one process writes (single_writer), and this command writes: "
            "beside a server, changes would be lost. Stop the server and repeat the command with "
            "--server-is-stopped",
            USAGE,
        )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of ``--config`` and of the environment, which takes precedence.

    :raises SettingsError: the file is invalid.
    """
    from_file = settings_.from_ini(options.config) if options.config else {}
    return {**from_file, **settings_.from_environment()}


def open_shared_storage(options: argparse.Namespace) -> Storage:
    """Return the storage for a command that works beside a running registry.

    :raises SettingsError: the storage is missing, invalid, or in the memory of one process.
    :raises CommandFailed: see :func:`check_single_writer`.
    """
    try:
        storage = open_storage(options.storage or settings_of(options).get("storage", ""))
    except ValueError as error:
        raise SettingsError([f"storage: {error}"]) from error
    if not storage.shared_by_processes:
        raise SettingsError(
            ["storage: must be shared by processes, such as file:///srv/registry, not in the memory of one"]
        )
    if options.writes:
        check_single_writer(storage, options)
    return storage


def open_existing_storage(options: argparse.Namespace) -> Storage:
    """Return the storage for maintenance, which has nothing to do in a folder that is not there.

    :raises SettingsError: see :func:`open_shared_storage`.
    :raises CommandFailed: the folder does not exist, or see :func:`check_single_writer`.
    """
    storage = open_shared_storage(options)
    if isinstance(storage, FileStorage) and not os.path.isdir(storage.path):
        raise CommandFailed(
            f"the folder of the storage must exist, but {storage.path} does not: "
            "correct --storage, or mount its disk",
            UNREACHABLE,
        )
    return storage


def searched_repositories(storage: Storage, options: argparse.Namespace) -> tuple[Repositories, SearchIndex]:
    """Return the repositories of a storage and the index of the search, which learns of their changes.

    :raises SettingsError: the setting ``search`` is invalid.
    """
    repositories = Repositories(storage)
    try:
        index = open_search(settings_of(options).get("search", "auto"), storage, repositories)
    except ValueError as error:
        raise SettingsError([f"search: {error}"]) from error
    return repositories, index


# -- other shared options


def add_json_option(command: argparse.ArgumentParser, *, is_list: bool) -> None:
    """Add ``--json``."""
    form = "an array of objects" if is_list else "one object"
    command.add_argument("--json", action="store_true", help=f"print JSON: {form}")


def add_password_option(command: argparse.ArgumentParser) -> None:
    """Add ``--password-stdin``, which :func:`read_password` reads."""
    command.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input (default: prompt without echo)",
    )


def read_password(options: argparse.Namespace, prompt: str) -> str:
    """Return the password from standard input or from a prompt.

    :raises CommandFailed: there is no terminal for the prompt.
    :raises KeyboardInterrupt: the input of the prompt ended.
    """
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    try:
        with warnings.catch_warnings():
            # it would read standard input, and show what is typed
            warnings.simplefilter("error", GetPassWarning)
            return getpass(prompt)
    except GetPassWarning as error:
        text = (
            "there is no terminal to ask for the password: write it to standard input with --password-stdin"
        )
        raise CommandFailed(text, USAGE) from error
    except EOFError:
        raise KeyboardInterrupt from None


def port(text: str) -> int:
    """Return a port from 0 to 65535.

    :raises argparse.ArgumentTypeError: the text is something else.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, not {text!r}")
    return int(text)


def count(text: str) -> int:
    """Return a number from 1 to 999.

    :raises argparse.ArgumentTypeError: the text is something else.
    """
    if not text.isdecimal() or not 0 < int(text) < 1000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 999, not {text!r}")
    return int(text)
