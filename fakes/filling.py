"""What FakeRegistry has to be filled: images, tags and repositories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, overload

from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories

from .images import FakeImage, FakeImages
from .layers import layer_of
from .lookup import not_there, split_name, without_host
from .manifests import FakeManifest
from .pushing.layer_builder import Files, Layer
from .pushing.oci_pusher import OciPusher
from .pushing.pusher import Pusher, numbered_layer

if TYPE_CHECKING:
    import os

    from v1registry import MemoryStorage
    from v1registry.settings import RegistryOptions


class FillingHelpers:
    """The part of FakeRegistry that pushes images and makes repositories."""

    storage: MemoryStorage
    _pusher: Pusher
    _oci_pusher: OciPusher
    _options: RegistryOptions

    @property
    def images(self) -> FakeImages:
        """Every image by its id, including those whose push has not ended."""
        return FakeImages(self.storage)

    @overload
    def add_image(
        self,
        name: str | None = None,
        *,
        files: Files | None = None,
        layer: bytes | Layer | None = None,
        layers: int = 1,
        parent: FakeImage | str | None = None,
        config: Mapping[str, object] | None = None,
        json: Mapping[str, object] | None = None,
        id: str | None = None,
        is_complete: bool = True,
        api: Literal["v1"] = "v1",
    ) -> FakeImage: ...

    @overload
    def add_image(
        self,
        name: str,
        *,
        files: Files | None = None,
        layer: bytes | Layer | None = None,
        layers: int = 1,
        parent: FakeManifest | None = None,
        config: Mapping[str, object] | None = None,
        json: Mapping[str, object] | None = None,
        api: Literal["v2"],
    ) -> FakeManifest: ...

    def add_image(
        self,
        name: str | None = None,
        *,
        files: Files | None = None,
        layer: bytes | Layer | None = None,
        layers: int = 1,
        parent: FakeImage | FakeManifest | str | None = None,
        config: Mapping[str, object] | None = None,
        json: Mapping[str, object] | None = None,
        id: str | None = None,
        is_complete: bool = True,
        api: Literal["v1", "v2"] = "v1",
    ) -> FakeImage | FakeManifest:
        """Push an image as an engine does, and return it.

        :param name: ``NAMESPACE/REPOSITORY:TAG``; ``:latest`` and ``library/`` may be left out, and the
            registry may be in front, as in ``registry.host + "/alice/app:1.0"``. If None, the image is in no
            repository. A registry with accounts needs a name.
        :param files: the contents of the layer: name -> bytes or text, None for a file to delete. A name that
            ends in ``/`` is a directory. Without ``files`` and ``layer`` the layer has a small file.
        :param layer: the layer in place of ``files``: a :class:`Layer`, or bytes, which need not be an
            archive.
        :param layers: how many images to push, each the parent of the next. The layers below are made up.
        :param parent: the parent of the lowest of them, or its id.
        :param config: how containers run, such as ``{"Cmd": ["sh"], "Env": ["A=1"]}``: the key ``config`` of
            the image's JSON.
        :param json: more keys for the image's JSON, such as ``{"author": "alice"}``; with ``v2`` for its
            config.
        :param id: 64 or 16 hex digits. If None, an id is made up, the same in every run.
        :param is_complete: False leaves out the checksum and the tag, so the push does not end.
        :param api: ``v2`` pushes an OCI image through ``/v2/`` and returns its manifest. Clients of both APIs
            see either kind.
        :raises TypeError: both ``files`` and ``layer`` are given, or ``config`` twice; or ``id``,
            ``is_complete`` or a parent that is no manifest with ``v2``; or a parent that is a manifest with
            ``v1``.
        :raises NotThere: the parent does not exist.
        :raises ValueError: there is no name on a registry with accounts or with ``v2``, ``layers`` is
            below 1, or ``api`` is neither ``v1`` nor ``v2``.
        :raises PushRefused: the registry rejects it; the text says why. It is a ValueError.
        """
        if api not in ("v1", "v2"):
            raise ValueError(f"api must be 'v1' or 'v2', not {api!r}")
        if files is not None and layer is not None:
            raise TypeError("files and layer exclude each other: give one of them")
        if isinstance(layer, Layer):
            layer = bytes(layer)
        fields = dict(json or {})
        if config is not None:
            if "config" in fields:
                raise TypeError("config is given twice: as config= and in json=")
            fields["config"] = config
        if layers < 1:
            raise ValueError(f"layers must be at least 1, not {layers}")
        if api == "v2":
            if id is not None or not is_complete:
                raise TypeError('id and is_complete are for api="v1": digests follow from the contents')
            return self._add_oci_image(name, files, layer, layers, parent, fields)
        if isinstance(parent, FakeManifest):
            raise TypeError("the parent of an image of v1 must be an image or its id, not a manifest")
        parent_id = parent.id if isinstance(parent, FakeImage) else parent
        if parent_id is not None and parent_id not in self.images:
            raise not_there(f"no image {parent_id!r} to be the parent", self.images)
        repository = None if name is None else split_name(name)[0]
        image = self._pusher.push_chain(files, layer, layers, parent_id, fields, id, is_complete, repository)
        if name is not None and is_complete:
            self.tag(image, name)
        elif repository is not None:
            self._pusher.announce(repository, [image.id])
        return image

    def _add_oci_image(
        self,
        name: str | None,
        files: Files | None,
        layer: bytes | None,
        layers: int,
        parent: object,
        fields: Mapping[str, object],
    ) -> FakeManifest:
        if name is None:
            raise ValueError(
                "through v2 an image is pushed to a repository: give a name such as alice/app:1.0"
            )
        if parent is not None and not isinstance(parent, FakeManifest):
            raise TypeError(f"the parent of an image of v2 must be its manifest, not {parent!r}")
        top = layer
        if top is None:
            top = numbered_layer(layers) if files is None else layer_of(files)
        pushed = [*(numbered_layer(number) for number in range(1, layers)), top]
        repository, reference = split_name(name)
        return self._oci_pusher.push_image(repository, reference, pushed, fields, parent)

    def add_archive(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        api: Literal["v1", "v2"] | None = None,
    ) -> list[FakeImage | FakeManifest]:
        """Push every image of an archive, and return the images in its order.

        :param path: an archive of ``docker save`` of any version, of skopeo or podman, or an OCI layout, in a
            folder or an archive.
        :param name: ``NAMESPACE/REPOSITORY:TAG`` for the only image, or a repository without a tag for all of
            them. If None, the names in the archive count, without the registry in front.
        :param api: how images of a save archive are pushed. If None, those of today's engines are pushed
            through ``/v2/``, and those with ids of v1 through v1. OCI layouts are always pushed through
            ``/v2/``.
        :return: a FakeManifest for each image that was pushed through ``/v2/``, a FakeImage for others.
        :raises ValueError: it is no archive of images, or damaged; an image has no name and needs one; or
            ``api`` is neither ``v1`` nor ``v2``.
        :raises OSError: it cannot be read.
        :raises PushRefused: the registry rejects it.
        """
        if api not in (None, "v1", "v2"):
            raise ValueError(f"api must be 'v1', 'v2' or None, not {api!r}")
        from .pushing.archive_pusher import push_archive

        return push_archive(
            path,
            name,
            api,
            pusher=self._pusher,
            oci_pusher=self._oci_pusher,
            has_v2=self._options.get("v2", "on") == "on",
        )

    def tag(self, image: FakeImage | str, name: str) -> None:
        """Push an existing image, or the image of an id, to ``NAMESPACE/REPOSITORY:TAG`` as well.

        :raises NotThere: the image does not exist.
        :raises PushRefused: the registry rejects it.
        """
        image_id = image.id if isinstance(image, FakeImage) else image
        repository, tag = split_name(name)
        self._pusher.publish(repository, tag, self.images[image_id])

    def add_repository(
        self, name: str, *, description: str = "", star_count: int = 0, is_private: bool = False
    ) -> None:
        """Make a repository without images, or change an existing one.

        :param description: in Markdown; search and the pages show it. Empty keeps that of an existing
            repository.
        :param star_count: the number of stars that search and the pages show. 0 keeps that of an existing
            repository.
        :param is_private: True hides it from all but those who may write it.
        :raises PushRefused: the registry rejects it.
        :raises ValueError: the number of stars is negative or too large.
        """
        repository = without_host(name)
        self._pusher.announce(repository)
        stored, key = Repositories(self.storage), RepositoryName.parse(repository)
        if description:
            stored.describe(key, description)
        if star_count:
            stored.set_stars(key, star_count)
        if is_private:
            self._pusher.make_private(repository)
