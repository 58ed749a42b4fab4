"""The command ``python -m v1registry_fakes``: parse the command line, and serve until a signal."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final, cast, get_args

from v1registry.cli.exits import DONE, FAILED, USAGE, CommandFailed
from v1registry.cli.options import Commands, port
from v1registry.settings import SettingsError

from .control.application import ControlledFake
from .control.services import CONTROL
from .engine import FakeEngine
from .engine.versions import NEWEST, RELEASES
from .profiles import ProfileName
from .registry import FakeRegistry
from .server import LiveServer
from .transcripts.transcriber import RecordingHelpers

if TYPE_CHECKING:
    from v1registry.settings import RegistryOptions

_EXAMPLES: Final = """\
examples:
  python -m v1registry_fakes
  python -m v1registry_fakes serve --engine
  python -m v1registry_fakes serve --port 5000 --option auth=users:
  python -m v1registry_fakes record https://registry.example.com --to pull.jsonl
  python -m v1registry_fakes replay pull.jsonl

The process prints one line of JSON as soon as it listens: url, host, ca_file (the
certificate to trust, null without --tls) and, of serve, control (the URL of its API)
and engine (the variables of its clients, with --engine). SIGTERM, SIGINT or the
end of the standard input, if --end-with-stdin is given, end it.

exit codes:
  0    ended by a signal, or by the end of the standard input
  1    the registry itself failed during a request; or clients differ from the transcript
  2    the command line or an option is invalid, or a file or the port cannot be used
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
    command.add_argument(
        "--profile", choices=get_args(ProfileName), help="the registry in whose ways the fake answers"
    )
    command.add_argument(
        "--engine",
        nargs="?",
        const=NEWEST,
        choices=list(RELEASES),
        metavar="RELEASE",
        help="serve a docker engine too, on a port of its own, for which the registry is docker.io; "
        f"the release is one of {', '.join(RELEASES)} (default: {NEWEST})",
    )
    command.add_argument(
        "--engine-port", type=port, default=0, help="the port of the engine (default: 0, any free one)"
    )
    command.add_argument("--record", metavar="FILE", help="write all requests as a transcript to this file")
    _add_port_options(command)
    command = commands.add("record", record, "pass requests on to another server, and write a transcript")
    command.add_argument("target", metavar="URL", help="the server, such as https://registry.example.com")
    command.add_argument("--to", required=True, metavar="FILE", help="the transcript, which is replaced")
    command.add_argument("--target-ca", metavar="FILE", help="the certificate of the server's authority")
    _add_port_options(command)
    command = commands.add("replay", replay, "serve a transcript, and say at the end what differed")
    command.add_argument("file", metavar="FILE", help="the transcript")
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
    if key in ("server", "tls", "profile"):
        raise argparse.ArgumentTypeError(f"must be a setting of the registry, not {key!r}; see --help")
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
        fake = FakeRegistry(server=server, profile=options.profile, **settings)
        server.unmount()
        with ExitStack() as parts:
            engine = _engine(options, fake) if options.engine is not None else None
            if engine is not None:
                parts.callback(engine.close)
            server.mount(ControlledFake(fake, engine))
            if options.record is not None:
                parts.enter_context(_written(fake, options.record))
            _serve_until_end(server, options, {"control": CONTROL}, engine)
        fake.close()
    try:
        fake.check()
        if engine is not None:
            engine.check()
    except AssertionError as error:
        raise CommandFailed(str(error), FAILED) from error
    return DONE


def _engine(options: argparse.Namespace, fake: FakeRegistry) -> FakeEngine:
    """Return the engine of the process, which takes the registry for docker.io.

    :raises CommandFailed: its port cannot be used, or that of the registry.
    """
    try:
        engine = FakeEngine(
            version=options.engine,
            tls=options.tls,
            mirrors={"docker.io": fake.url},
            ca_file=fake.ca_file if options.tls else None,
            address=options.host,
            port=options.engine_port,
        )
        engine.url  # noqa: B018  it starts the port
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {options.host}: {error}; choose another --host, --port or --engine-port", USAGE
        ) from error
    return engine


def record(options: argparse.Namespace) -> int:
    """Pass requests on to another server, and write a transcript until the process must end.

    :raises CommandFailed: the URL, the file or the port cannot be used.
    :raises ImportError: a package is missing.
    """
    from .transcripts.recording_proxy import RecordingProxy

    with LiveServer(tls=options.tls, address=options.host, port=options.port) as server:
        try:
            proxy = RecordingProxy(options.target, ca_file=options.target_ca, server=server)
        except ValueError as error:
            raise CommandFailed(f"URL: {error}", USAGE) from error
        with proxy, _written(proxy, options.to):
            _serve_until_end(server, options, {})
    return DONE


def replay(options: argparse.Namespace) -> int:
    """Serve a transcript until the process must end, and fail if clients asked something else.

    :raises CommandFailed: the transcript or the port cannot be used; or clients asked something else.
    :raises ImportError: a package is missing.
    """
    from .transcripts.replayed import ReplayedRegistry

    with LiveServer(tls=options.tls, address=options.host, port=options.port) as server:
        try:
            replayed = ReplayedRegistry(options.file, server=server)
        except (OSError, ValueError) as error:
            raise CommandFailed(f"cannot read the transcript: {error}", USAGE) from error
        with replayed:
            _serve_until_end(server, options, {})
    try:
        replayed.check()
    except AssertionError as error:
        raise CommandFailed(str(error), FAILED) from error
    return DONE


@contextmanager
def _written(recorded: RecordingHelpers, path: str) -> Iterator[None]:
    """Write the requests of the block to a transcript.

    :raises CommandFailed: the file cannot be written.
    """
    with ExitStack() as recording:
        try:
            recording.enter_context(recorded.record(path))
        except OSError as error:
            raise CommandFailed(f"cannot write {path}: {error.strerror}; name another file", USAGE) from error
        yield


# -- the life of the process


def _serve_until_end(
    server: LiveServer, options: argparse.Namespace, paths: dict[str, str], engine: FakeEngine | None = None
) -> None:
    """Start a server, print where it is, and return when the process must end.

    :param paths: more keys of the line -> a path of the server.
    :param engine: an engine that listens; the line says how its clients find it.
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
        place: dict[str, object] = {
            "url": server.url,
            "host": server.host,
            "ca_file": server.ca_file if options.tls else None,
            **{name: f"{server.url}{path}/" for name, path in paths.items()},
        }
        if engine is not None:
            place["engine"] = engine.environ
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
