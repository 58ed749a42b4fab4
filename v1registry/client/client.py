"""The client: what belongs to one registry, and the two things that people do with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..archives.load import ArchiveLimits, UnreadableArchive, open_save_archive
from .access import Access, AskIndex
from .errors import BadArchive, BadReference
from .progress import Progress, Silence
from .pull import Pull, PullResult
from .push import Push, PushResult, choose_chain
from .reference import Reference
from .session import Credentials, PingResult, Session, default_user_agent


class Client:
    """A client of one v1 registry. Safe for threads; a context manager that closes its connections.

    :param host: ``HOST[:PORT]``, perhaps with ``http://`` or ``https://`` in front; ``Reference.origin`` is one.
    :param scheme: ``http`` or ``https``, and nothing else is tried. None: https, and where nobody answers there, plain
        http, but only on this machine (``localhost``, 127.0.0.0/8, ::1) or with ``insecure``.
    :param insecure: plain http with any host, and certificates are not verified (urllib3 warns of each connection).
    :param username, password: sent as Basic to ``host``, never to another one.
    :param verify: the path of a file with certificates to trust instead of the system's.
    :param client_certificate: the path of a certificate with its key, or a pair of paths.
    :param timeout_s: how long the registry may be silent.
    :param parallel: layers that are sent or fetched at the same time.
    :param attempts: how often a layer is tried while nothing more of it arrives, and any other call while nobody answers.
    :param progress: see :class:`v1registry.client.Progress`.
    :param gzip_level: of layers that are plain in an archive, 1 (fast) to 9 (small).
    :param layer_limit_bytes: no layer may be larger, as it comes or expanded.
    :param user_agent: docker-registry up to 0.9.0 answers 500 to agents without ``docker/x.y``: name one for it.
    :param sleep: waits between attempts.
    :raises BadReference: ``host`` is none.
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
        if scheme not in (None, "http", "https"):
            raise BadReference(f"a registry speaks http or https, not {scheme!r}")
        self._session = Session(
            host,
            scheme=scheme,
            is_insecure=insecure,
            timeout_s=timeout_s,
            verify=True if verify is None else os.fspath(verify),
            client_certificate=client_certificate,
            parallel=parallel,
            user_agent=user_agent or default_user_agent(),
            attempts=attempts,
            sleep=sleep,
        )
        self._credentials = Credentials(username, password or "") if username else None
        self._progress: Progress = progress or Silence()
        self._parallel = parallel
        self._gzip_level = gzip_level
        self._layer_limit_bytes = layer_limit_bytes

    @property
    def host(self) -> str:
        return self._session.host

    def ping(self) -> PingResult:
        """Find the registry and return what it says of itself; later calls give the same. RegistryUnreachable."""
        return self._session.ping()

    def push(
        self,
        archive_path: str | os.PathLike[str],
        reference: str | Reference,
        *,
        image: str | None = None,
    ) -> PushResult:
        """Push an image of a save archive and tag it. Images that the registry has are not sent.

        :param archive_path: what any engine's ``docker save``, skopeo or this client wrote.
        :param reference: where to; its host is this client's.
        :param image: which image of an archive with several: its name there, or its v1 id.
        :raises ClientError: BadReference, BadArchive, RegistryUnreachable, NotAuthorized, ProtocolError, TransferFailed.
            Images that are complete stay, so that a repetition goes on from there. The tag is set last.
        """
        checked = self._check(reference)
        limits = ArchiveLimits(layer_bytes=self._layer_limit_bytes)
        try:
            archive = open_save_archive(archive_path, limits=limits)
        except UnreadableArchive as exc:
            raise BadArchive(f"{os.fspath(archive_path)} is no save archive to push from: {exc}") from exc
        except OSError as exc:
            raise BadArchive(f"{os.fspath(archive_path)} cannot be read: {exc.strerror or exc}") from exc
        with archive:
            chain = choose_chain(archive, checked, image)
            push = Push(
                self._session,
                partial(self._access, checked),
                checked,
                progress=self._progress,
                parallel=self._parallel,
                gzip_level=self._gzip_level,
            )
            return push.run(chain)

    def pull(self, reference: str | Reference, output_path: str | os.PathLike[str]) -> PullResult:
        """Pull a tag into a save archive that every engine loads, and that :meth:`push` gives back as it was.

        The archive appears under its name when it is complete; what was there before is replaced. Until then layers
        lie in the folder ``OUTPUT.v1registry-parts`` beside it, which a pull that broke off leaves, and from which the
        next one to the same output goes on.

        :raises ClientError: BadReference, RegistryUnreachable, NotAuthorized, NotFoundInRegistry, ProtocolError,
            TransferFailed.
        :raises OSError: the output or the folder cannot be written.
        """
        checked = self._check(reference)
        pull = Pull(
            self._session,
            partial(self._access, checked),
            checked,
            progress=self._progress,
            parallel=self._parallel,
            layer_limit_bytes=self._layer_limit_bytes,
        )
        return pull.run(Path(output_path))

    def _check(self, reference: str | Reference) -> Reference:
        checked = Reference.parse(reference) if isinstance(reference, str) else reference
        if checked.host != self.host:
            raise BadReference(f"{checked} is in another registry than {self.host}")
        return checked

    def _access(self, reference: Reference, ask_index: AskIndex) -> Access:
        return Access(self._session, self._credentials, reference.name, ask_index)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
