"""The client of one registry: push and pull."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import IO

from ..archives.load import ArchiveLimits, SaveArchive, UnreadableArchive, open_save_archive
from .answers import PingResult
from .choice import choose_chain
from .connection import Connection, ConnectionOptions, Credentials, default_user_agent
from .descriptors import descriptor_of
from .errors import BadArchive, BadReference
from .output import open_output
from .progress import Progress, Silence
from .pull import ImagePull, PullResult
from .push import ImagePush, PushResult
from .reference import Reference
from .transfer import Transfer


class Client:
    """A client of one v1 registry. Safe for threads; a context manager that closes its connections.

    :param host: ``HOST[:PORT]``, optionally with ``http://`` or ``https://`` in front, such as
        ``Reference.origin``.
    :param scheme: ``http`` or ``https`` to use only this one. None: https first, then plain http if https
        fails and the host is this machine (``localhost``, 127.0.0.0/8, ::1) or ``insecure`` is set.
    :param insecure: allow plain http with any host, and do not verify certificates (urllib3 warns of each
        connection).
    :param username: sent with the password as Basic to ``host``, never to another host. None sends no
        credentials.
    :param password: the password of the user.
    :param verify: the path of a file with certificates to trust in place of the system's.
    :param authorities: paths of PEM files to trust besides, for ``host`` only.
    :param client_certificate: the path of a certificate with its key, or a pair of paths; shown to ``host``
        only.
    :param timeout_s: the longest silence of the registry, in seconds.
    :param parallel: the number of layers that are transferred at once.
    :param attempts: how often a layer is tried without progress, and any other call without an answer.
    :param progress: receives the progress of transfers; see :class:`v1registry.client.Progress`.
    :param gzip_level: 1 (fast) to 9 (small), for layers that are plain in an archive.
    :param layer_limit_bytes: the largest layer, both as transferred and expanded, in bytes.
    :param user_agent: the ``User-Agent``. docker-registry up to 0.9.0 needs one with ``docker/x.y``, or
        answers 500.
    :param sleep: waits between attempts; called with seconds.
    :raises BadReference: the host or the scheme is invalid.
    :raises BadCertificate: a certificate is unreadable.
    """

    def __init__(
        self,
        host: str,
        *,
        scheme: str | None = None,
        insecure: bool = False,
        username: str | None = None,
        password: str | None = None,
        verify: str | os.PathLike[str] | None = None,
        authorities: Sequence[str | os.PathLike[str]] = (),
        client_certificate: str | tuple[str, str] | None = None,
        timeout_s: float = 60.0,
        parallel: int = 3,
        attempts: int = 5,
        progress: Progress | None = None,
        gzip_level: int = 6,
        layer_limit_bytes: int = 64 << 30,
        user_agent: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ):
        options = ConnectionOptions(
            scheme=scheme,
            is_insecure=insecure,
            verify=None if verify is None else os.fspath(verify),
            authorities=tuple(os.fspath(path) for path in authorities),
            client_certificate=client_certificate,
            timeout_s=timeout_s,
            parallel=parallel,
            attempts=attempts,
            user_agent=user_agent or default_user_agent(),
            sleep=sleep,
        )
        self._connection = Connection(host, options)
        self._credentials = Credentials(username, password or "") if username else None
        self._progress: Progress = progress or Silence()
        self._parallel = parallel
        self._gzip_level = gzip_level
        self._layer_limit_bytes = layer_limit_bytes

    @property
    def host(self) -> str:
        """``HOST[:PORT]`` of the registry, in lower case."""
        return self._connection.host

    def ping(self) -> PingResult:
        """Find the registry and return its ping; later calls return the same.

        :raises RegistryUnreachable: it does not answer with any allowed scheme.
        """
        return self._connection.ping()

    def push(
        self,
        archive: str | os.PathLike[str] | IO[bytes],
        reference: str | Reference,
        *,
        image: str | None = None,
    ) -> PushResult:
        """Push an image of a save archive and tag it.

        Images that the registry has are not sent. Their JSON is compared with the archive's, and the layers
        of some too, which can need a download: see :class:`v1registry.client.comparison.Comparison`. The tag
        is set last. If the push fails, complete images stay, and the next push continues from there.

        :param archive: the path of an archive of any engine's ``docker save``, of skopeo or of this client,
            or a binary stream with one, which is not closed. What is not a regular file, such as a pipe, is
            copied to a temporary file first.
        :param reference: the tag to set, in this client's registry.
        :param image: the image of an archive with several: its name there, or the start of its v1 id.
        :raises BadReference: the reference is invalid, or of another registry.
        :raises BadArchive: the archive is unreadable, or does not have the image.
        :raises DifferentContent: the registry has other content under the id of an image.
        :raises RegistryUnreachable: the registry does not answer.
        :raises NotAuthorized: the credentials are missing, invalid, or do not allow it.
        :raises TransferFailed: a layer could not be sent.
        :raises ProtocolError: the registry's answer is invalid.
        """
        checked = self._check(reference)
        with self._open(archive) as opened:
            chain = choose_chain(opened, checked, image)
            return ImagePush(self._transfer(checked), gzip_level=self._gzip_level).run(chain)

    def _open(self, archive: str | os.PathLike[str] | IO[bytes]) -> SaveArchive:
        name = os.fspath(archive) if isinstance(archive, (str, os.PathLike)) else "the archive"
        limits = ArchiveLimits(layer_bytes=self._layer_limit_bytes)
        try:
            number = None if not isinstance(archive, (str, os.PathLike)) else descriptor_of(archive)
            if number is None:
                return open_save_archive(archive, limits=limits)
            with os.fdopen(os.dup(number), "rb") as stream:
                return open_save_archive(stream, limits=limits)
        except UnreadableArchive as exc:
            raise BadArchive(f"{name} cannot be pushed: {exc}") from exc
        except OSError as exc:
            raise BadArchive(f"{name} cannot be read: {exc.strerror or exc}") from exc

    def pull(self, reference: str | Reference, output: str | os.PathLike[str] | IO[bytes]) -> PullResult:
        """Pull a tag into a save archive, which every engine loads, and :meth:`push` pushes unchanged.

        The complete archive replaces a regular file of the same name. Until then, layers are in the folder
        ``OUTPUT.v1registry-parts`` beside it. An interrupted pull leaves the folder, and the next pull to the
        same output continues from there. FIFOs, devices and streams are written when the archive is complete,
        and never replaced; layers and archive are in a temporary folder until then.

        :param reference: the tag to pull, in this client's registry.
        :param output: the path of the archive, or a binary stream, which is not closed.
        :raises BadReference: the reference is invalid, or of another registry.
        :raises NotFoundInRegistry: the registry does not have the repository, the tag or an image.
        :raises RegistryUnreachable: the registry does not answer.
        :raises NotAuthorized: the credentials are missing, invalid, or do not allow it.
        :raises TransferFailed: a layer could not be fetched.
        :raises ProtocolError: the registry's answer is invalid.
        :raises BadOutput: the output is a terminal.
        :raises OSError: the output or the folder cannot be written.
        """
        checked = self._check(reference)
        opened = open_output(output)
        try:
            return ImagePull(self._transfer(checked)).run(opened)
        finally:
            opened.close()

    def _check(self, reference: str | Reference) -> Reference:
        checked = Reference.parse(reference) if isinstance(reference, str) else reference
        if checked.host != self.host:
            raise BadReference(f"{checked} must be in the registry {self.host}")
        return checked

    def _transfer(self, reference: Reference) -> Transfer:
        return Transfer(
            self._connection,
            self._credentials,
            reference,
            self._progress,
            self._parallel,
            self._layer_limit_bytes,
        )

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
