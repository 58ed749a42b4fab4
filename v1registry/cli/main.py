"""The command ``v1registry``: parse the command line and run one subcommand."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ..accounts.base import BackendUnavailable
from ..settings import SettingsError
from ..storage.base import NO_SPACE, StorageUnavailable
from ..version import __version__
from . import (
    adopt,
    applications,
    check_config,
    copy,
    deletions,
    expire,
    gc,
    images,
    prepare_v1,
    prepare_v2,
    reindex,
    repositories,
    routes,
    serve,
    transfer,
    usage,
    users,
    verify,
)
from .exits import (
    BROKEN_PIPE,
    EXIT_CODES_HELP,
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    USAGE,
    CommandFailed,
    complain,
)
from .options import Commands

#: Each adds its commands with ``add_commands(commands)``, in the order of ``--help``.
_MODULES = (
    serve,
    transfer,
    users,
    repositories,
    deletions,
    images,
    verify,
    usage,
    expire,
    reindex,
    gc,
    copy,
    adopt,
    prepare_v1,
    prepare_v2,
    applications,
    check_config,
    routes,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see :mod:`v1registry.cli.exits`).

    :param arguments: the words behind ``v1registry``; ``sys.argv`` if None.
    :raises SystemExit: ``--help``, ``--version`` or an invalid command line.
    """
    try:
        try:
            return _run(_parser().parse_args(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # the reader of a pipe has seen enough
        _give_up_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        _give_up_output()
        complain(f"the output cannot be written: {error.strerror}; make room where it goes")
        return FAILED


def _give_up_output() -> None:
    """Write the rest of the output nowhere: the interpreter would complain when it flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        code: int = options.run(options)
    except CommandFailed as error:
        complain(str(error))
        return error.code
    except SettingsError as error:
        for problem in error.problems:
            complain(problem)
        return USAGE
    except ImportError as error:
        complain(str(error))
        return USAGE
    except (StorageUnavailable, BackendUnavailable) as error:
        complain(str(error))
        return UNREACHABLE
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="v1registry",
        description="A registry for Docker's v1 images: serve, administer, push to or pull from one.",
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"v1registry {__version__}")
    commands = Commands(parser)
    for module in _MODULES:
        module.add_commands(commands)
    return parser
