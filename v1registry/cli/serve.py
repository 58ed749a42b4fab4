"""``v1registry serve``: the registry under gunicorn, with a worker of its own."""

from __future__ import annotations

import argparse
import os
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .. import settings as settings_
from ..app import Registry
from ..registry.expiry import Expiry
from ..registry.layout import UPLOADS
from ..storage import FileStorage
from ..version import __version__
from .adopt import notice_of_old_data
from .exits import DONE, USAGE, CommandFailed, complain
from .logs import configure_logs
from .options import Commands, add_config_option, count, port, settings_of

#: How many connections the system accepts before a worker does.
_BACKLOG = 2048

#: Options that are settings too.
_LISTENING = ("host", "port", "workers", "tls_cert", "tls_key")
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
    for name in ("storage", "auth", *_LISTENING):
        value = getattr(options, name)
        if value is not None:
            mapping[name] = str(value) if isinstance(value, Path) else value
    registry = Registry.from_settings(mapping)
    for name in _LISTENING:
        value = getattr(registry.settings, name)
        setattr(options, name, (Path(value) if value else None) if name in _FILES else value)
    _check(options, registry)
    gunicorn = _import_gunicorn()
    listener = _listen(options.host, options.port)
    scheme = "https" if options.tls_cert else "http"
    _print_what_is_served(options, mapping, scheme, listener.getsockname()[1])
    # what a killed server left goes now, and not only with the next push
    if not registry.settings.read_only:
        Expiry(registry.storage).tidy()
        if isinstance(registry.storage, FileStorage):
            registry.storage.remove_leftovers(UPLOADS)
    if registry.has_accounts and registry.storage.shared_by_processes:
        notice = notice_of_old_data(registry.storage)
        if notice:
            print(f"old data: {notice}", flush=True)
    gunicorn.run(
        partial(_load, dict(mapping), options.verbose),
        listener=listener.detach(),
        workers=options.workers,
        most_bodies=registry.settings.max_bodies,
        body_timeout_s=registry.settings.body_timeout_s,
        certificate=options.tls_cert,
        key=options.tls_key,
        is_verbose=options.verbose,
    )
    return DONE


def _load(mapping: Mapping[str, Any], verbose: bool) -> Registry:
    """Make the application inside a worker process."""
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


def _check(options: argparse.Namespace, registry: Registry) -> None:
    if options.workers > 1 and not registry.storage.shared_by_processes:
        raise CommandFailed(
            f"workers = {options.workers}: each process would have its own storage in memory; "
            "use one worker, or a storage such as file:///DIR",
            USAGE,
        )
    if isinstance(registry.storage, FileStorage):
        _check_folder(Path(registry.storage.path), read_only=registry.settings.read_only)
    if options.tls_cert:
        _check_certificate(options.tls_cert, options.tls_key)


def _check_folder(folder: Path, *, read_only: bool) -> None:
    """Refuse a path that cannot become a folder; warn if the folder is read-only."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise CommandFailed(
            f"--storage: {folder} cannot be used, because {existing} is not a folder; name another folder",
            USAGE,
        )
    if not read_only and not os.access(existing, os.W_OK):
        complain(f"{existing} is read-only: pulls work, pushes will fail")


def _check_certificate(certificate: Path, key: Path) -> None:
    def no_passphrase() -> str:
        raise ValueError(
            f"{key} has a passphrase, but workers start unattended; give a key without a passphrase"
        )

    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}", USAGE) from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        raise CommandFailed(
            f"{certificate} and {key} must be a certificate and its key in PEM: {error.reason or error}",
            USAGE,
        ) from error
    except ValueError as error:
        raise CommandFailed(str(error), USAGE) from error


def _listen(host: str, port_: int) -> socket.socket:
    """Return a socket that listens.

    :raises CommandFailed: the address cannot be used.
    """
    listener = socket.socket(_family(host))
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port_))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandFailed(
            f"cannot listen on {host}:{port_}: {error.strerror}; choose another --host or --port", USAGE
        ) from error
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


# -- what the start prints


def _print_what_is_served(
    options: argparse.Namespace, mapping: Mapping[str, Any], scheme: str, chosen_port: int
) -> None:
    shown = f"[{options.host}]" if ":" in options.host else options.host
    reachable = "localhost" if shown in ("0.0.0.0", "127.0.0.1", "[::]") else shown  # noqa: S104
    print(
        f"v1registry {__version__} listens on {scheme}://{shown}:{chosen_port}/ "
        f"with {options.workers} worker(s)"
    )
    print(f"storage: {settings_.without_passwords(mapping['storage'])}")
    if mapping["storage"].startswith("memory"):
        print("         all data is lost when this process ends")
    index = str(mapping.get("index", ""))
    print(f"access:  {_access_in_words(str(mapping.get('auth', 'open:')), index)}")
    # a push begins at the index, which names this registry
    begin = urlsplit(index).netloc.rpartition("@")[2] if index else f"{reachable}:{chosen_port}"
    print(f"push:    v1registry push IMAGE.tar {begin}/NAMESPACE/NAME:TAG", flush=True)


def _access_in_words(auth: str, index: str) -> str:
    if index:
        return f"with tokens that the index {settings_.without_passwords(index)} checks"
    if auth in ("open", "open:"):
        return "open: every client that reaches this address may read, write and delete"
    if auth == "users:":
        return (
            "users: accounts in the storage write in their own namespaces, everyone reads public repositories"
        )
    kind = auth.partition(":")[0]
    return f"{kind}: users write in their own namespaces, everyone reads public repositories"
