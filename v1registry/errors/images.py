"""Failures about images, repositories and tags."""

from __future__ import annotations

from collections.abc import Mapping

from .base import BadRequest, Conflict, MissingOrHidden, NotFound, RegistryError


class InvalidImageId(MissingOrHidden):
    """An image id has 16 or 64 lower-case hex digits. The status is that of docker-registry 0.9.1."""

    text = "Invalid image ID"


class InvalidRepositoryName(BadRequest):
    """The name of a repository does not follow the grammar."""

    text = (
        "Invalid repository name: the namespace must be lower-case letters, digits and . _ -, "
        "the name letters, digits and . _ - in parts of at most 255 characters"
    )


class InvalidTagName(BadRequest):
    """The name of a tag does not follow the grammar."""

    text = "Invalid tag name: a tag must be 1 to 128 letters, digits and . _ -, and not begin with . or -"


class ImageNotFound(MissingOrHidden):
    """The image does not exist, or the caller may not read it."""

    text = "Image not found"


class ImageDamaged(ImageNotFound):
    """A part of the image is missing or cut, so it counts as incomplete. A new push repairs it.

    :param damage: what is damaged, for logs and reports. Callers get the text of a missing image.
    """

    def __init__(self, image_id: str, damage: str):
        super().__init__(image_id=image_id, damage=damage)
        self.damage = damage


class ImageInProgress(BadRequest):
    """The push of the image has not ended, so it is not shown."""

    text = "Image is being uploaded, retry later"


class ImageExists(Conflict):
    """The image is complete and cannot be changed. Engines read this text as success."""

    text = "Image already exists"


class TooManyUnfinishedBytes(RegistryError):
    """The unfinished pushes of the user have too many bytes. The JSON or the layer was not stored."""

    status = 413

    def __init__(self, limit_bytes: int):
        super().__init__(
            f"Your unfinished pushes would have more than {limit_bytes} bytes: "
            "finish them, or try again tomorrow"
        )


class UnfinishedTotalExceeded(RegistryError):
    """The unfinished pushes of all clients have too many bytes. The JSON or the layer was not stored."""

    status = 507

    def __init__(self, limit_bytes: int):
        super().__init__(
            f"The unfinished pushes of all clients would have more than {limit_bytes} bytes: try again later"
        )


class TooManyUnfinishedPushes(RegistryError):
    """The user has begun too many pushes of images and not finished them. The JSON was not stored."""

    status = 429

    def __init__(self, limit: int):
        super().__init__(f"You have {limit} unfinished pushes of images: finish them, or try again tomorrow")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "3600"}


class TooManyImages(RegistryError):
    """An image list has too many ids. Nothing changed."""

    status = 413

    def __init__(self, limit: int):
        super().__init__(f"An image list may have at most {limit} different ids")


class ImageListTooLarge(RegistryError):
    """The image list of the repository would become too large. Nothing changed."""

    status = 413

    def __init__(self, limit_bytes: int):
        super().__init__(
            f"The image list of the repository would have more than {limit_bytes} bytes: "
            "push to a different repository, or delete this one first"
        )


class ImageNotListed(BadRequest):
    """The image is in no image list of a repository that the caller pushes to."""

    text = "This image does not belong to the repository"


class ParentNotFound(BadRequest):
    """The JSON names a parent that does not exist, or that the caller may not read."""

    text = "Image depends on a non existing parent"


class ChainTooLong(BadRequest):
    """The image would have too many ancestors. Engines up to 17.05 make at most 127 layers."""

    def __init__(self, limit: int):
        super().__init__(f"An image and its ancestors may be at most {limit} images")


class ParentNotAuthorized(BadRequest):
    """The external index does not let the caller use the parent (docker-registry 0.9.1, images.py)."""

    text = "Image depends on an unauthorized parent"


class ImageReplaced(Conflict):
    """Another client announced the id with different JSON during the upload. The layer was not stored."""

    text = "Image was announced anew during the upload, push it again"


class ChecksumRefused(Conflict):
    """The image is complete and has a different checksum than the announced one."""

    text = "Cannot set this image checksum"


class ChecksumHeaderMissing(RegistryError):
    """Neither header with a checksum was sent (docker-registry 0.9.1 answers 412 and this text)."""

    status = 412
    text = (
        "X-Docker-Checksum-Payload not set.  If you are using the Docker daemon, "
        "you should upgrade to version 0.10 or later"
    )


class ChecksumMissing(BadRequest):
    """The header with the checksum is empty."""

    text = "Missing Image's checksum"


class LayerMissing(BadRequest):
    """The checksum came before the layer."""

    text = "Image's layer is missing"


class ChecksumMismatch(BadRequest):
    """The received bytes do not have the announced checksum. The image stays in progress."""

    text = "Checksum mismatch"


class LayerNotSupported(BadRequest):
    """The layer is not a readable tar archive, so its files cannot be listed."""

    text = "Layer format not supported"


class LayerTooLarge(BadRequest):
    """The layer expands to more bytes than the configured limit."""

    text = "The layer expands to more bytes than this server looks into"


class RepositoryNotFound(MissingOrHidden):
    """The repository does not exist, or the caller may not read it."""

    text = "Repository not found"


class ImageListNotFound(MissingOrHidden):
    """The index does not know the repository (docker-registry 0.9.1, index.py)."""

    text = "images not found"


class TagNotFound(NotFound):
    """The repository does not have this tag."""

    text = "Tag not found"


class HiddenTagNotFound(TagNotFound, MissingOrHidden):
    """The repository of the tag does not exist, or the caller may not read it."""


class TagImmutable(Conflict):
    """The tags of the repository can be set only once. The tag keeps its image."""

    text = "Tag is immutable"


class TagNameConflict(Conflict):
    """The file of this tag has the name of the information file of a different tag, or the reverse.

    Such a file is named ``tag_x_json``.
    """

    text = "Tag name conflicts"
