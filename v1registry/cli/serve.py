"""``v1registry serve``: the registry under gunicorn, with a worker of its own."""

from __future__ import annotations

import argparse
import errno
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ..app import Registry
from ..assembly import Services, assemble
from ..registry.expiry import Expiry
from ..registry.layout import UPLOADS
from ..settings import SERVE_SETTINGS
from ..storage import FileStorage, Storage
from ..storage.objects import ObjectStorage
from .adopt import notice_of_old_data
from .before_workers import do_before_workers
from .exits import DONE, USAGE, CommandFailed
from .logs import configure_logs, without_repeated_warnings
from .options import Commands, add_config_option, count, port, settings_of
from .serving_files import problems_of_certificate
from .startup import print_start

#: How many connections the system accepts before a worker does.
_BACKLOG = 2048

#: How long a port that is in use is tried again, and how long to pause, in seconds. The workers of a main
#: process that was killed hold it for a moment.
_PORT_WAIT_S = 1.0
_PORT_PAUSE_S = 0.05

#: Of the options that are settings too, those that are paths.
_FILES = ("tls_cert", "tls_key")

_EXAMPLES = """\
examples:
  v1registry serve --storage file:///srv/registry
  v1registry serve --storage file:///srv/registry --host 0.0.0.0 --workers 4 \\
      --tls-cert cert.pem --tls-key key.pem
  v1registry serve --config /etc/v1registry.ini

Settings are read from the file of --config, then from environment variables such as
V1REGISTRY_STORAGE, then from the options above; the last value counts.
"v1registry check-config --help" lists all settings.
"""


def add_commands(commands: Commands) -> None:
    """Add ``serve``."""
    command = commands.add("serve", serve, "serve a registry over HTTP", epilog=_EXAMPLES)
    command.add_argument(
        "--storage", metavar="URL", help="where the data is: file:///DIR, or memory: (lost at the end)"
    )
    command.add_argument(
        "--auth",
        metavar="URL",
        help="who may do what, such as users: or htpasswd:///FILE (default: open:, no accounts)",
    )
    command.add_argument("--host", metavar="ADDRESS", help="the address to listen on (default: 127.0.0.1)")
    command.add_argument(
        "--port",
        type=port,
        help="the port to listen on, 0 for any free one (default: 5000)",
    )
    command.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="the number of processes that answer requests (default: 1)",
    )
    command.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="serve https (TLS 1.2 or later) with this certificate chain in PEM (default: plain http)",
    )
    command.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        help="the private key of the certificate in PEM, no passphrase",
    )
    add_config_option(command)


def serve(options: argparse.Namespace) -> int:
    """Serve until interrupted.

    :raises CommandFailed: the options do not fit together, or the address cannot be used.
    :raises SettingsError: a setting is invalid.
    :raises ImportError: gunicorn is missing.
    """
    mapping = settings_of(options)
    for name in ("storage", "auth", *SERVE_SETTINGS):
        value = getattr(options, name)
        if value is not None:
            mapping[name] = str(value) if isinstance(value, Path) else value
    services = assemble(mapping)
    settings, storage = services.settings, services.storage
    for name in SERVE_SETTINGS:
        value = getattr(settings, name)
        setattr(options, name, (Path(value) if value else None) if name in _FILES else value)
    _check(options, storage)
    for problem in problems_of_certificate(settings):
        raise CommandFailed(problem, USAGE)
    gunicorn = _import_gunicorn()
    listener = _listen(options.host, options.port)
    scheme = "https" if options.tls_cert else "http"
    prepare = partial(_prepare, services, mapping["storage"], scheme, listener.getsockname()[1])
    if isinstance(storage, ObjectStorage):
        do_before_workers(prepare)
    else:
        prepare()
    gunicorn.run(
        partial(_load, dict(mapping), options.verbose),
        listener=listener.detach(),
        workers=options.workers,
        most_bodies=settings.max_bodies,
        body_timeout_s=settings.body_timeout_s,
        certificate=options.tls_cert,
        key=options.tls_key,
        is_verbose=options.verbose,
    )
    return DONE


def _prepare(services: Services, place: str, scheme: str, port_used: int) -> None:
    """Tidy the storage up, and print what a server over it is going to do."""
    storage = services.storage
    # what a killed server left goes now, and not only with the next push
    if services.settings.is_writing:
        Expiry(storage).tidy_at_start()
        if isinstance(storage, FileStorage):
            storage.remove_leftovers(UPLOADS)
    print_start(services, place, scheme, port_used)
    if services.accounts is not None and storage.shared_by_processes:
        notice = notice_of_old_data(storage)
        if notice:
            print(f"old data: {notice}", flush=True)


def _load(mapping: Mapping[str, Any], verbose: bool) -> Registry:
    """Make the application inside a worker process."""
    with without_repeated_warnings():
        registry = Registry.from_settings(mapping)
    configure_logs(registry.settings, verbose=verbose)
    return registry


def _import_gunicorn() -> ModuleType:
    try:
        from . import serve_gunicorn
    except ImportError as error:
        raise ImportError("serve needs gunicorn: pip install 'v1registry[server]'") from error
    return serve_gunicorn


# -- checks before the start


def _check(options: argparse.Namespace, storage: Storage) -> None:
    if options.workers > 1 and not storage.shared_by_processes:
        raise CommandFailed(
            f"workers = {options.workers}: each process would have its own storage in memory; "
            "use one worker, or a storage such as file:///DIR",
            USAGE,
        )
    if options.workers > 1 and isinstance(storage, ObjectStorage) and storage.is_single_writer:
        raise CommandFailed(
            f"workers = {options.workers}: the URL of the storage says that one process writes "
            "(single_writer); use one worker, or an object store with conditional writes",
            USAGE,
        )
    if isinstance(storage, FileStorage):
        _check_folder(Path(storage.path))


def _check_folder(folder: Path) -> None:
    """Refuse a path that cannot become a folder."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise CommandFailed(
            f"--storage: {folder} cannot be used, because {existing} is not a folder; name another folder",
            USAGE,
        )


def _listen(host: str, port_: int) -> socket.socket:
    """Return a socket that listens.

    :raises CommandFailed: the address cannot be used.
    """
    listener = socket.socket(_family(host))
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(listener, host, port_)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandFailed(
            f"cannot listen on {host}:{port_}: {error.strerror}; choose another --host or --port", USAGE
        ) from error
    return listener


def _bind(listener: socket.socket, host: str, port_: int) -> None:
    """Give a socket its address.

    :raises OSError: the address cannot be used.
    """
    end_s = time.monotonic() + _PORT_WAIT_S
    while True:
        try:
            listener.bind((host, port_))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= end_s:
                raise
            time.sleep(_PORT_PAUSE_S)
        else:
            return


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
