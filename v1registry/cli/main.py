"""The command line: ``v1registry serve | push | pull | check-config``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import settings as settings_
from ..app import Registry
from ..settings import SettingsError
from ..storage import FileStorage, Storage
from ..version import __version__
from .applications import ApplicationCommands
from .users import Administration

if TYPE_CHECKING:
    from ..client import Client, Reference

#: Exit codes, told by ``--help``.
DONE, FAILED, USAGE, UNREACHABLE, REFUSED, NOT_FOUND = 0, 1, 2, 3, 4, 5

#: How long ``serve`` goes on with what clients are sending and fetching when it is told to end, in seconds.
_LAST_REQUESTS_S = 10

_EXIT_CODES = """\
exit codes:
  0  done
  1  it failed on the way; the message says where, and a repetition goes on from there
  2  the command line, a setting or the archive is wrong; nothing was done
  3  the registry cannot be reached, or cannot answer now
  4  the registry wants other credentials, or the right is missing
  5  the registry does not have what was asked for
"""

_SERVE_EXAMPLES = """\
examples:
  v1registry serve --storage file:///srv/registry
  v1registry serve --storage file:///srv/registry --host 0.0.0.0 --workers 4 --tls-cert cert.pem --tls-key key.pem
  v1registry serve --config /etc/v1registry.ini

Settings come from --config, from V1REGISTRY_STORAGE and the like in the environment, and from the options here; the
later of these wins. "v1registry check-config --help" lists them all.
"""

_PUSH_EXAMPLES = """\
examples:
  docker save busybox:latest -o busybox.tar
  v1registry push busybox.tar localhost:5000/library/busybox:latest
  v1registry push busybox.tar https://registry.example.com/me/busybox:1.0 --username me
"""

_PULL_EXAMPLES = """\
examples:
  v1registry pull localhost:5000/library/busybox:latest -o busybox.tar
  docker load -i busybox.tar

A pull that broke off goes on where it stopped when it is run again with the same output.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if getattr(options, "verbose", False) else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        code: int = options.run(options)
    except SettingsError as error:
        for problem in error.problems:
            _complain(problem)
        return USAGE
    except ImportError as error:
        _complain(str(error))
        return USAGE
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="v1registry",
        description="A registry for Docker's v1 images: serve one, push to one, pull from one.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"v1registry {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Any, summary: str, epilog: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        command.add_argument("-v", "--verbose", action="store_true", help="tell more on standard error")
        return command

    serve_ = add("serve", serve, "serve a registry over HTTP", _SERVE_EXAMPLES)
    serve_.add_argument("--storage", metavar="URL", help="where the data lives: file:///DIR, or memory:")
    serve_.add_argument("--auth", metavar="URL", help="who may do what; open: (the default) asks nobody")
    serve_.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve_.add_argument(
        "--port",
        type=_port,
        default=5000,
        help="the port to listen on, 0 for a free one (default: %(default)s)",
    )
    serve_.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="processes that answer requests (default: %(default)s)",
    )
    serve_.add_argument(
        "--tls-cert", type=Path, metavar="F", help="certificate chain in PEM: serve https (TLS 1.2 or later)"
    )
    serve_.add_argument("--tls-key", type=Path, metavar="F", help="the certificate's private key in PEM")
    serve_.add_argument("--config", metavar="F", help="an ini file with a section [v1registry]")

    push_ = add("push", push, "push an image from an archive that docker save made", _PUSH_EXAMPLES)
    push_.add_argument(
        "archive", metavar="IMAGE.tar", type=Path, help="what docker save wrote, of any version"
    )
    push_.add_argument(
        "reference", metavar="HOST/NS/NAME:TAG", help="where to; the tag is latest when left out"
    )
    push_.add_argument(
        "--image",
        metavar="NAME",
        help="which image of an archive that holds several: its name there, or its id",
    )
    _add_client_options(push_)

    pull_ = add("pull", pull, "pull an image into an archive for docker load", _PULL_EXAMPLES)
    pull_.add_argument("reference", metavar="HOST/NS/NAME:TAG", help="which; the tag is latest when left out")
    pull_.add_argument(
        "-o", "--output", metavar="IMAGE.tar", type=Path, required=True, help="the file to write"
    )
    _add_client_options(pull_)

    _add_groups(commands)

    check_ = add(
        "check-config",
        check_config,
        "say what the settings mean, or what is wrong with them",
        _settings_help(),
    )
    check_.add_argument("--config", metavar="F", help="an ini file with a section [v1registry]")
    return parser


def _settings_help() -> str:
    """Return every setting with its default and its meaning, as ``check-config --help`` lists them."""
    lines = [
        "settings:",
        "  storage",
        "      where the data lives: file:///DIR, memory:, or MODULE:ATTRIBUTE",
    ]
    for key, (default, description) in settings_.descriptions().items():
        shown = " ".join(default) if isinstance(default, tuple) else str(default)
        lines.append(f"  {key} (default: {shown})" if shown else f"  {key}")
        lines += textwrap.wrap(description, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _add_groups(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of administrators: ``user …``, ``repository …`` and ``application …``."""

    def open_storage(options: argparse.Namespace) -> Storage:
        mapping = _mapping(options)
        try:
            storage = settings_.open_storage(options.storage or mapping.get("storage", ""))
        except ValueError as error:
            raise SettingsError([f"storage: {error}"]) from error
        if not storage.shared_by_processes:
            raise SettingsError(["storage: what one process keeps in memory no other one can change"])
        return storage

    def add(
        group: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
    ) -> argparse.ArgumentParser:
        command = group.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
        )
        command.add_argument(
            "--storage", metavar="URL", help="where the data lives, such as file:///srv/registry"
        )
        command.add_argument("--config", metavar="F", help="an ini file with a section [v1registry]")
        return command

    administration = Administration(open_storage)
    applications = ApplicationCommands(open_storage)
    for name, summary, fill in (
        ("user", "accounts kept in the storage (auth users:)", administration.add_user_commands),
        ("repository", "what is known of repositories", administration.add_repository_commands),
        ("application", "applications that may ask users for access (OAuth 2)", applications.add_commands),
    ):
        group = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        fill(group.add_subparsers(title="commands", required=True, metavar="COMMAND"), add)


def _add_client_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--username", metavar="U", help="log in as; the password is asked for, without echo")
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input, one line"
    )
    command.add_argument(
        "--insecure", action="store_true", help="fall back to http, and take any certificate, on any host"
    )
    command.add_argument("--ca-cert", metavar="F", help="trust the certificate authorities in this PEM file")
    command.add_argument(
        "--parallel", type=_positive, default=3, metavar="N", help="layers at once (default: %(default)s)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress bars")


# -- serve


def serve(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    mapping = _mapping(options)
    for name in ("storage", "auth"):
        if getattr(options, name) is not None:
            mapping[name] = getattr(options, name)
    registry = Registry.from_settings(mapping)
    problem = _serve_problem(options, registry)
    if problem:
        _complain(problem)
        return USAGE
    granian = _import_granian()
    port = options.port or _free_port(options.host)
    scheme = "https" if options.tls_cert else "http"
    _say_what_is_served(options, mapping, scheme, port)
    server = granian.Granian(
        "v1registry",
        address=options.host,
        port=port,
        interface=granian.constants.Interfaces.WSGI,
        http=granian.constants.HTTPModes.http1,
        workers=options.workers,
        # a thread an upload: clients on slow lines must not keep others waiting
        blocking_threads=256,
        # its only warning is that the threads above are many
        log_level=granian.log.LogLevels.info if options.verbose else granian.log.LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=_LAST_REQUESTS_S,
        ssl_cert=options.tls_cert,
        ssl_key=options.tls_key,
        ssl_protocol_min=granian.constants.SSLProtocols.tls12,
    )
    server.serve(target_loader=partial(_load, dict(mapping), options.verbose), wrap_loader=False)
    return DONE


def _load(mapping: Mapping[str, Any], verbose: bool) -> Registry:
    """Make the application inside a worker process."""
    # Ctrl-C reaches the workers too, and then the main process ends them: granian's workers do not survive both, and
    # would be waited for until they are killed
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )
    return Registry.from_settings(mapping)


def _serve_problem(options: argparse.Namespace, registry: Registry) -> str | None:
    if options.workers > 1 and not registry.storage.shared_by_processes:
        return (
            f"--workers {options.workers}: the storage in memory belongs to one process, so each worker would "
            "have a registry of its own; use --workers 1, or --storage file:///DIR"
        )
    if isinstance(registry.storage, FileStorage):
        problem = _folder_problem(Path(registry.storage.path))
        if problem:
            return problem
    if (options.tls_cert is None) != (options.tls_key is None):
        return "--tls-cert and --tls-key go together"
    problem = _certificate_problem(options.tls_cert, options.tls_key) if options.tls_cert else None
    if problem:
        return problem
    with contextlib.closing(socket.socket(_family(options.host))) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as error:
            return f"{options.host}:{options.port} cannot be listened on: {error.strerror}"
    return None


def _folder_problem(folder: Path) -> str | None:
    """Return why no data can ever lie in the folder. One that may only be read is served, with a warning."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is no folder, so {folder} cannot be the storage's"
    if not os.access(existing, os.W_OK):
        _complain(f"{existing} cannot be written: pushes will fail")
    return None


def _certificate_problem(certificate: Path, key: Path) -> str | None:
    def no_passphrase() -> str:
        raise ValueError(
            f"{key} has a passphrase, which nobody could type when a worker starts; take it away"
        )

    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        return f"{certificate} and {key} are no certificate in PEM with its key: {error.reason or error}"
    except ValueError as error:
        return str(error)
    return None


def _import_granian() -> Any:
    try:
        import granian
        import granian.constants
        import granian.log
    except ImportError as error:
        raise ImportError("serve needs granian: pip install 'v1registry[server]'") from error
    return granian


def _say_what_is_served(
    options: argparse.Namespace, mapping: Mapping[str, Any], scheme: str, port: int
) -> None:
    shown = f"[{options.host}]" if ":" in options.host else options.host
    reachable = "localhost" if shown in ("0.0.0.0", "127.0.0.1", "[::]") else shown  # noqa: S104
    print(f"v1registry {__version__} listens on {scheme}://{shown}:{port}/ with {options.workers} worker(s)")
    print(f"storage: {settings_.without_passwords(mapping['storage'])}")
    if mapping["storage"].startswith("memory"):
        print("         all is gone when this process ends")
    index = str(mapping.get("index", ""))
    print(f"access:  {_access_in_words(str(mapping.get('auth', 'open:')), index)}")
    # clients begin at the index, which sends them here
    begin = urlsplit(index).netloc.rpartition("@")[2] if index else f"{reachable}:{port}"
    print(f"push:    v1registry push IMAGE.tar {begin}/NAMESPACE/NAME:TAG", flush=True)


def _access_in_words(auth: str, index: str) -> str:
    if index:
        return f"with tokens of the index {settings_.without_passwords(index)}, which checks them"
    if auth in ("open", "open:"):
        return "open: everybody who reaches this address may read, write and delete"
    if auth == "users:":
        return "users: accounts in the storage write below their own names, all read what is public"
    return f"{auth.partition(':')[0]}: users write below their own names, all read what is public"


def _free_port(host: str) -> int:
    with contextlib.closing(socket.socket(_family(host))) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


# -- push and pull


def push(options: argparse.Namespace) -> int:
    """Push an archive; what the registry has already is not sent."""

    def run(client: Client, reference: Reference) -> str:
        result = client.push(options.archive, reference, image=options.image)
        return (
            f"{reference}: {len(result.pushed)} image(s) pushed, {len(result.skipped)} were there already, "
            f"{result.sent_bytes:,} bytes sent"
        )

    return _with_client(options, run)


def pull(options: argparse.Namespace) -> int:
    """Pull into an archive."""

    def run(client: Client, reference: Reference) -> str:
        result = client.pull(reference, options.output)
        return (
            f"{reference}: {len(result.image_ids)} image(s) in {options.output}, "
            f"{result.fetched_bytes:,} bytes fetched"
        )

    return _with_client(options, run)


def _with_client(options: argparse.Namespace, run: Callable[[Client, Reference], str]) -> int:
    """Do ``run`` with a client for the reference; turn what goes wrong into a message and an exit code."""
    from ..client import Client, ClientError, Reference, Silence, TqdmProgress

    if options.password_stdin and options.username is None:
        _complain("--password-stdin needs --username")
        return USAGE
    if options.ca_cert is not None and not os.access(options.ca_cert, os.R_OK):
        _complain(f"--ca-cert {options.ca_cert}: it cannot be read")
        return USAGE
    if options.insecure:
        # who asks for it knows
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    try:
        reference = Reference.parse(options.reference)
        client = Client(
            reference.origin,
            insecure=options.insecure,
            username=options.username,
            password=_password(options),
            verify=options.ca_cert,
            parallel=options.parallel,
            progress=Silence() if options.quiet or not sys.stderr.isatty() else TqdmProgress(),
        )
        with client:
            print(run(client, reference))
    except ClientError as error:
        _complain(str(error))
        return next(code for kind, code in _client_exit_codes() if isinstance(error, kind))
    except OSError as error:
        _complain(f"{error.filename or options.reference}: {error.strerror or error}")
        return FAILED
    return DONE


def _client_exit_codes() -> list[tuple[type[Exception], int]]:
    from .. import client

    return [
        (client.BadReference, USAGE),
        (client.BadArchive, USAGE),
        (client.RegistryUnreachable, UNREACHABLE),
        (client.NotAuthorized, REFUSED),
        (client.NotFoundInRegistry, NOT_FOUND),
        (client.ClientError, FAILED),
    ]


def _password(options: argparse.Namespace) -> str | None:
    if options.username is None:
        return None
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    try:
        return getpass(f"Password of {options.username}: ")
    except EOFError:
        raise KeyboardInterrupt from None


# -- check-config


def check_config(options: argparse.Namespace) -> int:
    """Print every setting with its value, where that comes from and what it means; of passwords and keys nothing."""
    from_file = settings_.from_ini(options.config) if options.config else {}
    from_environment = settings_.from_environment()
    mapping = from_file | from_environment
    # some mistakes are found only where the parts meet; nothing is opened yet
    registry = Registry.from_settings(mapping)
    storage, settings = registry.storage, registry.settings

    def source(key: str) -> str:
        if key in from_environment:
            return f"{settings_.ENVIRONMENT_PREFIX}{key.upper()}"
        return str(options.config) if key in from_file else "default"

    print(f"storage = {settings_.without_passwords(mapping['storage'])}  ({source('storage')})")
    print(f"    where the data lives; opened as {type(storage).__name__}")
    for key, (_, description) in settings_.descriptions().items():
        value = getattr(settings, key)
        shown = settings_.without_passwords(" ".join(value) if isinstance(value, tuple) else str(value))
        if key == "secret" and value:
            shown = f"{len(value)} key(s), not shown"
        print(f"{key} = {shown}  ({source(key)})")
        print(f"    {description}")
    return DONE


def _mapping(options: argparse.Namespace) -> dict[str, Any]:
    from_file = settings_.from_ini(options.config) if options.config else {}
    return {**from_file, **settings_.from_environment()}


# -- inside


def _complain(text: str) -> None:
    print(f"v1registry: {text}", file=sys.stderr)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port from 0 to 65535 is expected, not {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1000:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 999 is expected, not {text!r}")
    return int(text)
