"""``v1registry push`` and ``v1registry pull``: the client on the command line."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from .exits import DONE, FAILED, NOT_FOUND, REFUSED, UNREACHABLE, USAGE, CommandFailed, complain
from .options import Commands, add_password_option, count, read_password

if TYPE_CHECKING:
    from ..client import Client, ClientError, Credentials, Reference

_REFERENCE_HELP = "the tag is latest if it is left out, the namespace library"

_PUSH_EXAMPLES = """\
examples:
  docker save busybox:latest -o busybox.tar
  v1registry push busybox.tar localhost:5000/library/busybox:latest
  v1registry push busybox.tar https://registry.example.com/me/busybox:1.0 --username me
  docker save busybox:latest | v1registry push - localhost:5000/library/busybox:latest
  v1registry push FOLDER localhost:5000/library/busybox:latest
"""

_PULL_EXAMPLES = """\
examples:
  v1registry pull localhost:5000/library/busybox:latest -o busybox.tar
  docker load -i busybox.tar
  v1registry pull localhost:5000/library/busybox:latest -o - | docker load
  v1registry pull localhost:5000/library/busybox:latest -o layout:FOLDER --all-platforms

An interrupted pull to a file continues when it is run again with the same output.
"""


#: In front of the path of an OCI layout.
_LAYOUT = "layout:"


def add_commands(commands: Commands) -> None:
    """Add ``push`` and ``pull``."""
    command = commands.add(
        "push", push, "push an image from an archive of docker save or an OCI layout", epilog=_PUSH_EXAMPLES
    )
    command.add_argument(
        "archive",
        metavar="IMAGE.tar",
        help="the archive, made by docker save of any version, or an OCI layout, in a folder or an archive; "
        "- for standard input. layout: in front takes an archive that is both as a layout",
    )
    command.add_argument(
        "reference", metavar="HOST/NAMESPACE/NAME:TAG", help=f"where to push to; {_REFERENCE_HELP}"
    )
    command.add_argument(
        "--image",
        metavar="NAME",
        help="the image to push, if the archive has several: its name there, or the start of its id",
    )
    command.add_argument(
        "--platform",
        metavar="OS/ARCH",
        help="the image of an index in a layout (default: the whole index; by v1, linux on this machine)",
    )
    command.add_argument(
        "--mount-from",
        metavar="NAMESPACE/NAME",
        action="append",
        default=[],
        help="a repository of the registry that may have the layers, so that they need not be sent",
    )
    _add_client_options(command)

    command = commands.add(
        "pull", pull, "pull an image into an archive for docker load", epilog=_PULL_EXAMPLES
    )
    command.add_argument(
        "reference",
        metavar="HOST/NAMESPACE/NAME:TAG",
        help=f"what to pull; {_REFERENCE_HELP}; @sha256:DIGEST in place of the tag, by v2",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        required=True,
        help="the archive to write; - for standard output. FIFOs and devices are written, not replaced. "
        "layout:FOLDER adds the image to an OCI layout, layout:FILE.tar writes an archive of one",
    )
    command.add_argument(
        "--platform", metavar="OS/ARCH", help="the image of an index (default: linux on this machine)"
    )
    command.add_argument(
        "--all-platforms", action="store_true", help="pull the whole index; needs -o layout:…"
    )
    _add_client_options(command)


def _add_client_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--api",
        choices=("auto", "v1", "v2"),
        default="auto",
        help="the Registry API v1, or the distribution API, v2 (default: v2 if the registry has it)",
    )
    command.add_argument(
        "--username",
        metavar="NAME",
        help="log in as this user (default: what docker login has stored for the registry, if anything)",
    )
    add_password_option(command)
    command.add_argument(
        "--insecure", action="store_true", help="allow plain http and unverified certificates for any host"
    )
    command.add_argument(
        "--ca-cert",
        metavar="FILE",
        help="trust the certificate authorities in this PEM file (default: those of the system)",
    )
    command.add_argument(
        "--cert",
        metavar="FILE",
        help="a client certificate in PEM, for the registry only (default: in ~/.docker/certs.d/HOST/ or "
        "/etc/docker/certs.d/HOST/)",
    )
    command.add_argument("--key", metavar="FILE", help="the key of --cert (default: in the same file)")
    command.add_argument(
        "--parallel",
        type=count,
        default=3,
        metavar="N",
        help="the number of layers that are transferred at once (default: %(default)s)",
    )
    command.add_argument("--quiet", action="store_true", help="show no progress bars")


def push(options: argparse.Namespace) -> int:
    """Push an image of an archive or a layout. What the registry has is not sent."""
    path, is_layout = _without_prefix(options.archive)
    archive = "/dev/stdin" if path == "-" else path

    def run(client: Client, reference: Reference) -> str:
        result = client.push(
            archive,
            reference,
            image=options.image,
            platform=options.platform,
            mount_from=options.mount_from,
            is_layout=is_layout,
        )
        what = "image(s)" if result.digest is None else "blob(s)"
        return (
            f"{reference}: {len(result.pushed)} {what} pushed, {len(result.skipped)} already present, "
            f"{result.sent_bytes:,} bytes sent{_digest_text(result.digest)}"
        )

    _check_standard_input(options, archive)
    return _with_client(options, run, summary_file=sys.stdout)


def pull(options: argparse.Namespace) -> int:
    """Pull a tag into an archive or a layout."""
    path, is_layout = _without_prefix(options.output)
    output = "/dev/stdout" if path == "-" else path
    if options.all_platforms and not is_layout:
        raise CommandFailed("--all-platforms: an archive has one image; use -o layout:FOLDER", USAGE)

    def run(client: Client, reference: Reference) -> str:
        if not is_layout:
            result = client.pull(reference, output, platform=options.platform)
            what = f"{len(result.image_ids)} image(s) in {output}"
        else:
            result = client.pull_layout(
                reference,
                output,
                is_archive=_is_archive(output),
                platform=options.platform,
                all_platforms=options.all_platforms,
            )
            what = f"layout in {output}"
        return f"{reference}: {what}, {result.fetched_bytes:,} bytes fetched{_digest_text(result.digest)}"

    # standard output must hold nothing but the archive
    return _with_client(options, run, summary_file=sys.stderr if _is_stdout(output) else sys.stdout)


def _without_prefix(path: str) -> tuple[str, bool]:
    """Return a path without ``layout:``, and whether it had that."""
    rest = path.removeprefix(_LAYOUT)
    return rest, rest != path


def _is_archive(path: str) -> bool:
    """Tell whether a layout goes into an archive: ``FILE.tar``, or what is there and is not a folder."""
    if os.path.isdir(path):
        return False
    return path.endswith(".tar") or os.path.exists(path)


def _digest_text(digest: str | None) -> str:
    return "" if digest is None else f", {digest}"


def _is_stdout(path: str) -> bool:
    """Tell whether the path is another name of standard output, such as ``/dev/stdout``."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))
    except OSError:
        return False


def _check_standard_input(options: argparse.Namespace, archive: str) -> None:
    """Check that standard input can be the archive.

    :raises CommandFailed: it is a terminal, or has the password.
    """
    if archive not in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        return
    if options.password_stdin:
        raise CommandFailed(
            "--password-stdin: standard input has the archive; give the archive as a file, or log in with "
            "docker login, which is used without --username",
            USAGE,
        )
    if os.isatty(0):
        raise CommandFailed("standard input is a terminal: pipe an archive into it, or name a file", USAGE)


def _with_client(
    options: argparse.Namespace, run: Callable[[Client, Reference], str], *, summary_file: TextIO
) -> int:
    """Run a transfer and print what it returns.

    :param summary_file: where to print.
    :raises CommandFailed: the options are invalid, or the transfer failed.
    """
    from ..client import ClientError, NotAuthorized, Reference

    _check(options)
    try:
        reference = Reference.parse(options.reference)
        credentials = _credentials(options, reference.host)
        with _make_client(options, reference, credentials) as client:
            print(run(client, reference), file=summary_file)
    except NotAuthorized as error:
        is_stored = options.username is None and credentials is not None
        hint = " (with the credentials of docker login; --username gives others)" if is_stored else ""
        raise CommandFailed(f"{error}{hint}", REFUSED) from error
    except ClientError as error:
        raise CommandFailed(str(error), _exit_code_of(error)) from error
    except BrokenPipeError as error:
        raise CommandFailed("the output was closed before the archive was written", FAILED) from error
    except OSError as error:
        text = f"{error.filename or options.reference}: {error.strerror or error}"
        raise CommandFailed(text, FAILED) from error
    return DONE


def _check(options: argparse.Namespace) -> None:
    from ..client import Platform

    if options.password_stdin and options.username is None:
        raise CommandFailed("--password-stdin needs --username", USAGE)
    if options.key is not None and options.cert is None:
        raise CommandFailed("--key needs --cert", USAGE)
    if options.platform is not None:
        try:
            Platform.parse(options.platform)
        except ValueError as error:
            raise CommandFailed(f"--platform: {error}", USAGE) from error
    for name in ("ca_cert", "cert", "key"):
        path = getattr(options, name)
        if path is not None and not os.access(path, os.R_OK):
            option = "--" + name.replace("_", "-")
            raise CommandFailed(f"{option}: must be a readable file, not {path!r}", USAGE)


def _credentials(options: argparse.Namespace, host: str) -> Credentials | None:
    """Return the credentials of the options, else those of ``docker login``."""
    from ..client import Credentials, docker_credentials

    if options.username is None:
        return docker_credentials(host, complain)
    return Credentials(options.username, read_password(options, f"Password of {options.username}: "))


def _make_client(
    options: argparse.Namespace, reference: Reference, credentials: Credentials | None
) -> Client:
    from ..client import Client, Silence, TqdmProgress, host_certificates

    if options.insecure:
        # the user asked for unverified certificates
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    stored = host_certificates(reference.host)
    certificate: str | tuple[str, str] | None = stored.client_certificate
    if options.cert is not None:
        certificate = (options.cert, options.key) if options.key else options.cert
    return Client(
        reference.origin,
        api=options.api,
        notify=complain,
        insecure=options.insecure,
        username=credentials.username if credentials else None,
        password=credentials.password if credentials else None,
        identity_token=credentials.identity_token if credentials else None,
        verify=options.ca_cert,
        authorities=() if options.ca_cert else stored.authorities,
        client_certificate=certificate,
        parallel=options.parallel,
        progress=Silence() if options.quiet or not sys.stderr.isatty() else TqdmProgress(),
    )


def _exit_code_of(error: ClientError) -> int:
    from .. import client

    codes: tuple[tuple[type[ClientError], int], ...] = (
        (client.BadReference, USAGE),
        (client.BadArchive, USAGE),
        (client.BadCertificate, USAGE),
        (client.BadOutput, USAGE),
        (client.ApiNotOffered, USAGE),
        (client.RegistryUnreachable, UNREACHABLE),
        (client.NotFoundInRegistry, NOT_FOUND),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), FAILED)
