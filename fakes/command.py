"""The command ``python -m v1registry_fakes``: parse the command line, and serve until a signal."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

from v1registry.cli.exits import DONE, FAILED, USAGE, CommandFailed
from v1registry.cli.options import Commands, port
from v1registry.settings import SettingsError

from .control import ControlledFake
from .control_services import CONTROL
from .registry import FakeRegistry
from .server import LiveServer

if TYPE_CHECKING:
    from v1registry.settings import RegistryOptions

_EXAMPLES: Final = """\
examples:
  python -m v1registry_fakes
  python -m v1registry_fakes serve --port 5000 --option auth=users:

The process prints one line of JSON as soon as it listens: url, host, control (the URL of the
control API) and ca_file (the certificate to trust, null without --tls). SIGTERM, SIGINT or the
end of the standard input, if --end-with-stdin is given, end it.

exit codes:
  0    ended by a signal, or by the end of the standard input
  1    the registry itself failed during a request; the message says where
  2    the command line or an option is invalid, or the port cannot be used
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    :param arguments: the words behind the name of the module; ``sys.argv`` if None.
    :raises SystemExit: ``--help``, or an invalid command line.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "serve")
    options = _parser().parse_args(words)
    try:
        code: int = options.run(options)
    except CommandFailed as error:
        _complain(str(error))
        return error.code
    except SettingsError as error:
        for problem in error.problems:
            _complain(problem)
        return USAGE
    except ImportError as error:
        _complain(str(error))
        return USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m v1registry_fakes",
        description="A registry in memory for tests, with a control API below /_fakes/ of its port.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = Commands(parser)
    command = commands.add("serve", serve, "serve an empty registry (this is the default)")
    command.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="KEY=VALUE",
        help="a setting of the registry, such as auth=users:; may be repeated",
    )
    _add_port_options(command)
    return parser


def _add_port_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address to listen on (default: 127.0.0.1); everybody who reaches it can change everything",
    )
    command.add_argument(
        "--port", type=port, default=0, help="the port to listen on (default: 0, which is any free one)"
    )
    command.add_argument("--tls", action="store_true", help="serve https, with a certificate of its own")
    command.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end when the standard input ends, so that the process does not outlive its parent",
    )


def _option(text: str) -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``.

    :raises argparse.ArgumentTypeError: the text is something else.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, such as auth=users:, not {text!r}")
    return key, value


# -- commands


def serve(options: argparse.Namespace) -> int:
    """Serve an empty registry until the process must end.

    :raises CommandFailed: the port cannot be used.
    :raises SettingsError: an option is invalid.
    :raises ImportError: a package is missing.
    """
    settings = cast("RegistryOptions", dict(options.option))
    with LiveServer(tls=options.tls, address=options.host, port=options.port) as server:
        fake = FakeRegistry(server=server, **settings)
        server.unmount()
        server.mount(ControlledFake(fake))
        _serve_until_end(server, options, {"control": CONTROL})
        fake.close()
    try:
        fake.check()
    except AssertionError as error:
        raise CommandFailed(str(error), FAILED) from error
    return DONE


# -- the life of the process


def _serve_until_end(server: LiveServer, options: argparse.Namespace, paths: dict[str, str]) -> None:
    """Start a server, print where it is, and return when the process must end.

    :param paths: more keys of the line -> a path of the server.
    :raises CommandFailed: the port cannot be used.
    """
    with _end(watches_stdin=options.end_with_stdin) as end:
        try:
            server.start()
        except OSError as error:
            raise CommandFailed(
                f"cannot listen on {options.host}:{options.port}: {error}; choose another --host or --port",
                USAGE,
            ) from error
        place = {
            "url": server.url,
            "host": server.host,
            "ca_file": server.ca_file if options.tls else None,
            **{name: f"{server.url}{path}/" for name, path in paths.items()},
        }
        print(json.dumps(place), flush=True)
        end.wait()


@contextmanager
def _end(*, watches_stdin: bool) -> Iterator[threading.Event]:
    """Return an event that is set when the process must end."""
    end = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: end.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    if watches_stdin:
        threading.Thread(target=_wait_for_end_of_stdin, args=(end,), daemon=True).start()
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_end_of_stdin(end: threading.Event) -> None:
    # not by sys.stdin, whose lock this thread would hold when the interpreter ends
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    end.set()


def _complain(text: str) -> None:
    print(f"v1registry_fakes: {text}", file=sys.stderr)
