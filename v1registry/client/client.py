"""The client of one registry: push and pull."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeVar, get_args

from ..archives.layout_chain import chain_of
from ..archives.load import ArchivedChain, ArchiveLimits, UnreadableArchive
from ..archives.oci_layout import Layout
from ..archives.platforms import Platform
from .answers import PingResult
from .api_choice import Api, by_api
from .archive_input import open_input
from .choice import choose_chain, choose_entry
from .connection import Connection, ConnectionOptions, Credentials
from .errors import BadArchive, BadOutput, BadReference
from .layout_output import ArchiveLayoutOutput, FolderLayoutOutput, LayoutOutput
from .output import open_output
from .progress import Progress, Silence
from .pull import ImagePull, PullResult
from .push import ImagePush, PushResult
from .reference import Reference
from .transfer import Transfer
from .user_agent import default_user_agent
from .v1_layout import pull_into_layout
from .v2.content import ChainContent, Content, LayoutContent
from .v2.known import KnownBlobs
from .v2.layout_pull import V2LayoutPull
from .v2.pull import V2Pull
from .v2.push import V2Push

ResultT = TypeVar("ResultT")


class Client:
    """A client of one registry. Safe for threads; a context manager that closes its connections.

    :param host: ``HOST[:PORT]``, optionally with ``http://`` or ``https://`` in front, such as
        ``Reference.origin``.
    :param api: ``v1``: the Registry API v1; ``v2``: the distribution API; ``auto``: v2 if the registry has
        it, else v1.
    :param notify: called with a sentence if ``auto`` uses v1 although the registry answers to v2.
    :param scheme: ``http`` or ``https`` to use only this one. None: https first, then plain http if https
        fails and the host is this machine (``localhost``, 127.0.0.0/8, ::1) or ``insecure`` is set.
    :param insecure: allow plain http with any host, and do not verify certificates (urllib3 warns of each
        connection).
    :param username: sent with the password as Basic to ``host``, never to another host. None sends no
        credentials.
    :param password: the password of the user.
    :param identity_token: what some registries give in place of the password, for v2 only. It is sent to
        their token endpoint.
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
    :raises ValueError: the API is invalid.
    """

    def __init__(
        self,
        host: str,
        *,
        api: Api = "auto",
        notify: Callable[[str], object] = lambda text: None,
        scheme: str | None = None,
        insecure: bool = False,
        username: str | None = None,
        password: str | None = None,
        identity_token: str | None = None,
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
        if api not in get_args(Api):
            raise ValueError(f"api must be auto, v1 or v2, not {api!r}")
        self._api = api
        self._notify = notify
        self._known = KnownBlobs()
        self._connection = Connection(host, options)
        self._credentials = (
            Credentials(username or "", password or "", identity_token or "")
            if username or identity_token
            else None
        )
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
        platform: str | None = None,
        mount_from: Sequence[str] = (),
        is_layout: bool = False,
    ) -> PushResult:
        """Push an image of a save archive or a layout, and tag it.

        Images and blobs that the registry has are not sent. By v1, their JSON is compared with the archive's,
        and the layers of some too, which can need a download: see
        :class:`v1registry.client.comparison.Comparison`. The tag is set last. If the push fails, complete
        images and blobs stay, and the next push continues from there.

        :param archive: the path of an archive of any engine's ``docker save``, of skopeo or of this client,
            of an OCI layout or of an archive of one, or a binary stream with an archive, which is not closed.
            What is not a regular file, such as a pipe, is copied to a temporary file first.
        :param reference: the tag to set, in this client's registry.
        :param image: the image of an archive with several: its name there, or the start of its id.
        :param platform: the image of an index in a layout. None pushes the whole index by v2, and the image
            for this machine by v1.
        :param mount_from: other repositories of the registry that may have the blobs.
        :param is_layout: an archive that is both, as those of docker 25 and later, is taken as a layout.
        :raises BadReference: the reference is invalid, or of another registry.
        :raises BadArchive: the archive is unreadable, or does not have the image.
        :raises ApiNotOffered: the registry does not offer the API that this client must use.
        :raises DifferentContent: the registry has other content under the id of an image.
        :raises RegistryUnreachable: the registry does not answer.
        :raises NotAuthorized: the credentials are missing, invalid, or do not allow it.
        :raises TransferFailed: a layer could not be sent.
        :raises ProtocolError: the registry's answer is invalid.
        :raises ValueError: the platform is malformed.
        """
        checked = self._check(reference)
        if checked.digest is not None:
            raise BadReference(f"{checked} has a digest: a push needs a tag alone")
        chosen = None if platform is None else Platform.parse(platform)
        limits = ArchiveLimits(layer_bytes=self._layer_limit_bytes)
        with open_input(archive, limits, is_layout=is_layout) as opened:
            content: Content
            if isinstance(opened, Layout):
                layout, entry = opened, choose_entry(opened, checked, image)
                content = LayoutContent(layout, entry, chosen)

                def chain() -> ArchivedChain:
                    return chain_of(layout, entry, chosen or Platform.here(), limits)
            else:
                found = choose_chain(opened, checked, image)
                content = ChainContent(
                    found, gzip_level=self._gzip_level, limit_bytes=self._layer_limit_bytes
                )

                def chain() -> ArchivedChain:
                    return found

            return self._by_api(
                checked,
                lambda: V2Push(self._transfer(checked), self._known, mount_from=mount_from).run(content),
                lambda: self._push_v1(checked, chain),
            )

    def _push_v1(self, reference: Reference, chain: Callable[[], ArchivedChain]) -> PushResult:
        try:
            found = chain()
        except UnreadableArchive as exc:
            raise BadArchive(f"the layout cannot be pushed: {exc}") from exc
        return ImagePush(self._transfer_v1(reference), gzip_level=self._gzip_level).run(found)

    def pull(
        self,
        reference: str | Reference,
        output: str | os.PathLike[str] | IO[bytes],
        *,
        platform: str | None = None,
    ) -> PullResult:
        """Pull an image into a save archive, which every engine loads, and :meth:`push` pushes unchanged.

        The complete archive replaces a regular file of the same name. Until then, layers are in the folder
        ``OUTPUT.v1registry-parts`` beside it. An interrupted pull leaves the folder, and the next pull to the
        same output continues from there. FIFOs, devices and streams are written when the archive is complete,
        and never replaced; layers and archive are in a temporary folder until then.

        :param reference: the tag to pull, in this client's registry; or a digest, by v2. The archive has no
            name for an image that was pulled by a digest alone.
        :param output: the path of the archive, or a binary stream, which is not closed.
        :param platform: the image of an index, such as ``linux/arm64``; None for linux on this machine.
        :raises BadReference: the reference is invalid, or of another registry.
        :raises ApiNotOffered: the registry does not offer the API that this client must use.
        :raises NotFoundInRegistry: the registry does not have the repository, the tag or an image.
        :raises RegistryUnreachable: the registry does not answer.
        :raises NotAuthorized: the credentials are missing, invalid, or do not allow it.
        :raises TransferFailed: a layer could not be fetched.
        :raises ProtocolError: the registry's answer is invalid.
        :raises BadOutput: the output is a terminal.
        :raises OSError: the output or the folder cannot be written.
        :raises ValueError: the platform is malformed.
        """
        checked = self._check(reference)
        chosen = None if platform is None else Platform.parse(platform)
        opened = open_output(output)

        def by_v2() -> PullResult:
            pull = V2Pull(self._transfer(checked), platform=chosen)
            result = pull.run(opened)
            self._known.add(checked.v2_name, pull.blobs)
            return result

        try:
            return self._by_api(checked, by_v2, lambda: ImagePull(self._transfer_v1(checked)).run(opened))
        finally:
            opened.close()

    def pull_layout(
        self,
        reference: str | Reference,
        output: str | os.PathLike[str] | IO[bytes],
        *,
        is_archive: bool = False,
        platform: str | None = None,
        all_platforms: bool = False,
    ) -> PullResult:
        """Pull an image into an OCI layout. By v2 all digests stay; by v1 they are those that engines make.

        The image is added to the layout in a folder, in place of one with the same tag. An interrupted pull
        leaves the folder ``OUTPUT.v1registry-parts``, and the next one continues from there.

        :param output: the folder, which is made if it is missing, or the archive as for :meth:`pull`.
        :param is_archive: the output is an archive of a layout.
        :param platform: see :meth:`pull`.
        :param all_platforms: the whole index is pulled, and not one image of it.
        :raises BadOutput: the folder has other files, or the output is a terminal.
        :raises ClientError: see :meth:`pull`.
        :raises OSError: the output cannot be written.
        :raises ValueError: the platform is malformed.
        """
        checked = self._check(reference)
        chosen = None if platform is None else Platform.parse(platform)
        if is_archive:
            archive = open_output(output)
            try:
                return self._pull_layout(checked, ArchiveLayoutOutput(archive), chosen, all_platforms)
            finally:
                archive.close()
        if not isinstance(output, (str, os.PathLike)):
            raise BadOutput("a layout in a folder needs the path of the folder; a stream needs an archive")
        return self._pull_layout(checked, FolderLayoutOutput(Path(output)), chosen, all_platforms)

    def _pull_layout(
        self, reference: Reference, output: LayoutOutput, platform: Platform | None, is_whole: bool
    ) -> PullResult:
        def by_v2() -> PullResult:
            pull = V2Pull(self._transfer(reference), platform=platform)
            result = V2LayoutPull(pull, reference, is_whole=is_whole).run(output)
            self._known.add(reference.v2_name, pull.blobs)
            return result

        def by_v1() -> PullResult:
            return pull_into_layout(self._transfer_v1(reference), output, gzip_level=self._gzip_level)

        return self._by_api(reference, by_v2, by_v1)

    def _by_api(
        self, reference: Reference, by_v2: Callable[[], ResultT], by_v1: Callable[[], ResultT]
    ) -> ResultT:
        return by_api(self._connection, self._api, reference, self._notify, by_v2=by_v2, by_v1=by_v1)

    def _check(self, reference: str | Reference) -> Reference:
        checked = Reference.parse(reference) if isinstance(reference, str) else reference
        if checked.registry != self.host:
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

    def _transfer_v1(self, reference: Reference) -> Transfer:
        """Return the transfer without an identity token."""
        transfer = self._transfer(reference)
        if transfer.credentials is None or transfer.credentials.has_password:
            return transfer
        self._notify(f"{reference.host}: the identity token is not used, because v1 takes passwords only")
        return replace(transfer, credentials=None)

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
