"""What FakeRegistry has for the distribution API: helpers to fill ``/v2/``, and to look there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, overload

from v1registry.names import RepositoryName

from .lookup import not_there, split_reference
from .manifests import FakeBlobs, FakeManifest, FakeManifests
from .pushing.oci_pusher import OciPusher

if TYPE_CHECKING:
    from v1registry import MemoryStorage

    from .images import FakeImage
    from .lookup import Tags
    from .recording.recorded_request import RecordedRequest
    from .recording.request_log import RequestLog

_PUT_TAG = re.compile(r"/v1/repositories/(.+)/tags/([^/]+)/?")
_PUT_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")

#: In place of the digest of a push through v1.
_BY_V1 = "an image of v1"

#: How many pushes a message lists.
_SHOWN = 12


class DistributionHelpers:
    """The part of FakeRegistry that works on ``/v2/``."""

    storage: MemoryStorage
    _oci_pusher: OciPusher

    @property
    def requests(self) -> RequestLog:
        """The requests of clients in the order of arrival."""
        raise NotImplementedError

    def image(self, name: str) -> FakeImage:
        """Return the image of a tag of v1."""
        raise NotImplementedError

    def tags(self, repository: str) -> Tags:
        """Return tag -> image id of a repository."""
        raise NotImplementedError

    # -- filling

    def add_artifact(
        self,
        name: str,
        blobs: Mapping[str, bytes | str] | bytes | str = b"",
        *,
        artifact_type: str = "application/vnd.example.test",
        subject: FakeManifest | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> FakeManifest:
        """Push an artifact through ``/v2/`` and return its manifest.

        :param name: ``NAMESPACE/REPOSITORY:TAG``. Without a tag it is pushed by its digest, as referrers are.
        :param blobs: title -> content, or the content of one blob, whose title is then ``content``.
        :param subject: the manifest to which the artifact refers: it is listed among its referrers.
        :raises PushRefused: the registry rejects it; the text says why. It is a ValueError.
        """
        if isinstance(blobs, (bytes, str)):
            blobs = {"content": blobs} if blobs else {}
        contents = {title: _encoded(content) for title, content in blobs.items()}
        repository, reference = split_reference(name)
        return self._oci_pusher.push_artifact(
            repository, reference, contents, artifact_type, subject, annotations or {}
        )

    def add_index(self, name: str, platforms: Mapping[str, FakeManifest]) -> FakeManifest:
        """Push an index of images for several platforms through ``/v2/`` and return it.

        :param platforms: ``OS/ARCHITECTURE[/VARIANT]`` -> the image, which the same repository contains.
        :raises PushRefused: the registry rejects it.
        """
        repository, reference = split_reference(name)
        return self._oci_pusher.push_index(repository, reference, platforms)

    # -- its contents

    @property
    def manifests(self) -> FakeManifests:
        """Every manifest by its digest, those of images of v1 that clients have asked for included."""
        return FakeManifests(self.storage)

    @property
    def blobs(self) -> FakeBlobs:
        """The bytes of every blob and manifest of ``/v2/`` by their digest."""
        return FakeBlobs(self.storage)

    def manifest(self, name: str) -> FakeManifest:
        """Return the manifest of ``NAMESPACE/REPOSITORY:TAG`` or ``…@DIGEST``, as a client gets it.

        An image that was pushed through v1 is converted.

        :raises NotThere: there is no such repository, tag or digest; lists the tags of the repository.
        """
        repository, reference = split_reference(name)
        found = self._oci_pusher.find_manifest(repository, reference or "latest")
        if found is None:
            raise not_there(f"no manifest {name!r}", self._oci_pusher.tags(repository))
        return found

    def all_tags(self, repository: str) -> dict[str, str]:
        """Return tag -> image id, or the digest of the manifest if v1 cannot show the tag.

        :raises NotThere: there is no such repository; lists the existing ones.
        """
        found = dict(self.tags(repository))
        return found | self._tags_without_image(repository, found)

    def _tags_without_image(self, repository: str, known: Iterable[str]) -> dict[str, str]:
        """Return tag -> digest of the tags that ``/v2/`` alone shows, such as those of artifacts.

        :param known: the tags that v1 shows.
        """
        found = {}
        for tag in set(self._oci_pusher.tags(repository)).difference(known):
            manifest = self._oci_pusher.find_manifest(repository, tag)
            if manifest is not None:
                found[tag] = manifest.digest
        return found

    # -- expectations

    @overload
    def assert_pushed(self, name: str, *, digest: str) -> FakeManifest: ...

    @overload
    def assert_pushed(self, name: str, *, digest: None = None) -> FakeManifest | FakeImage: ...

    def assert_pushed(self, name: str, *, digest: str | None = None) -> FakeManifest | FakeImage:
        """Check that a client pushed ``NAMESPACE/REPOSITORY:TAG``, through either API; return what it pushed.

        The helpers of this class do not count.

        :param name: may also be ``NAMESPACE/REPOSITORY@DIGEST``, for a push by digest.
        :param digest: the digest of the manifest that must have been pushed there.
        :raises AssertionError: no client did; the text lists the pushes.
        """
        repository, reference = split_reference(name)
        expected = f"{_long(repository)} {reference or 'latest'}"
        pushes = [push for request in self.requests if (push := _push_of(request)) is not None]
        for pushed_name, pushed in reversed(pushes):
            if pushed_name == expected and digest in (None, pushed):
                return self.image(name) if pushed == _BY_V1 else FakeManifest(self.storage, pushed)
        wanted = name if digest is None else f"{name} with the digest {digest}"
        if not pushes:
            raise AssertionError(f"no client pushed {wanted}, nor anything else")
        lines = [f"  {pushed_name}: {pushed}" for pushed_name, pushed in pushes[-_SHOWN:]]
        raise AssertionError("\n".join([f"no client pushed {wanted}; the last pushes are:", *lines]))


def _push_of(request: RecordedRequest) -> tuple[str, str] | None:
    """Return what a request pushed: repository and reference, and the digest, or _BY_V1.

    None if it is no successful push of a manifest or a tag.
    """
    if request.method != "PUT" or request.status not in (200, 201):
        return None
    found = _PUT_MANIFEST.fullmatch(request.path)
    if found is not None:
        digest = dict(request.response_headers).get("Docker-Content-Digest", "")
        return f"{_long(found[1])} {found[2]}", digest
    found = _PUT_TAG.fullmatch(request.path)
    if found is not None:
        return f"{_long(found[1])} {found[2]}", _BY_V1
    return None


def _long(repository: str) -> str:
    return str(RepositoryName.parse(repository))


def _encoded(content: bytes | str) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content
