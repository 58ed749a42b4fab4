"""Failures of the distribution API, with their codes (OCI distribution-spec 1.1, "Error Codes")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .accounts import Unauthorized
from .base import RegistryError


class DistributionError(RegistryError):
    """Base of the failures that only the distribution API has.

    :param detail: what the client is told besides the text: a JSON value.
    """

    code: ClassVar[str] = "UNKNOWN"  #: of the answer

    def __init__(self, public: str | None = None, *, detail: object = None, **context: object):
        super().__init__(public, **context)
        self.detail = detail


class NameInvalid(DistributionError):
    """The name of the repository does not follow the grammar."""

    status = 400
    code = "NAME_INVALID"
    text = (
        "Invalid repository name: it must be parts of lower-case letters and digits, with . _ __ or - "
        "between them, separated by slashes, of at most 255 characters in all"
    )


class TagInvalid(DistributionError):
    """The tag does not follow the grammar, or the file of another tag has its name."""

    status = 400
    code = "TAG_INVALID"
    text = "Invalid tag: it must be 1 to 128 letters, digits and . _ -, and not begin with . or -"


class TagNotMovable(DistributionError):
    """The tags of the repository can be set only once. The tag keeps its manifest."""

    status = 409
    code = "TAG_INVALID"
    text = "Tag is immutable: it is set already, and the tags of this repository may not be moved"


class DigestInvalid(DistributionError):
    """A digest is malformed, or is not that of the bytes."""

    status = 400
    code = "DIGEST_INVALID"
    text = "Invalid digest: it must be sha256: and 64, or sha512: and 128 lower-case hex digits"


class DigestMismatch(DigestInvalid):
    """The bytes have a different digest. Nothing was stored."""

    text = "The content has a different digest than the request names"


class SizeInvalid(DistributionError):
    """The length of the body is not the announced one."""

    status = 400
    code = "SIZE_INVALID"
    text = "The body has a different length than the request announces"


class ManifestInvalid(DistributionError):
    """The manifest is malformed, or contradicts its media type."""

    status = 400
    code = "MANIFEST_INVALID"
    text = "Invalid manifest"


class ManifestTooLarge(DistributionError):
    """The manifest is larger than is accepted."""

    status = 413
    code = "MANIFEST_INVALID"

    def __init__(self, limit_bytes: int):
        super().__init__(f"The manifest is larger than the {limit_bytes} bytes that are accepted here")


class ManifestBlobUnknown(DistributionError):
    """The manifest names blobs or manifests that the repository does not contain."""

    status = 400
    code = "MANIFEST_BLOB_UNKNOWN"
    text = "The manifest names content that the repository does not contain"


class NameUnknown(DistributionError):
    """The repository does not exist, or the caller may not know that it does."""

    status = 404
    code = "NAME_UNKNOWN"
    text = "Unknown repository"


class ManifestUnknown(DistributionError):
    """The repository has no such manifest or tag."""

    status = 404
    code = "MANIFEST_UNKNOWN"
    text = "Unknown manifest or tag"


class ImageNotConvertible(ManifestUnknown):
    """The tag names an image of v1 that engines of the distribution API cannot use.

    :param reason: why, for the client and the log.
    """

    def __init__(self, public: str | None = None, *, image_id: str, reason: str):
        detail = {"image": image_id, "reason": reason}
        super().__init__(public, detail=detail, image_id=image_id, reason=reason)
        self.reason = reason


class BlobUnknown(DistributionError):
    """The repository does not contain the blob."""

    status = 404
    code = "BLOB_UNKNOWN"
    text = "Unknown blob"


class UploadUnknown(DistributionError):
    """The upload does not exist: it ended, expired or was never begun."""

    status = 404
    code = "BLOB_UPLOAD_UNKNOWN"
    text = "Unknown upload: it ended, was cancelled, or expired"


class Denied(DistributionError):
    """The user may not do this."""

    status = 403
    code = "DENIED"
    text = "Access denied"


class Unsupported(DistributionError):
    """The operation is off."""

    status = 405
    code = "UNSUPPORTED"
    text = "This registry does not allow this operation"


class UploadInvalid(DistributionError):
    """The request does not fit an upload."""

    status = 400
    code = "BLOB_UPLOAD_INVALID"
    text = "Invalid Content-Range: it must be START-END, the offsets of the first and the last byte"


class RangeInvalid(DistributionError):
    """The part does not begin where the upload goes on. Nothing of it was kept.

    :param location: where the upload is.
    :param received: the value of ``Range``: what has arrived.
    """

    status = 416
    code = "BLOB_UPLOAD_INVALID"
    text = "The part does not begin where the upload goes on; ask for its offset by GET"

    def __init__(self, location: str, received: str):
        super().__init__()
        self._headers = {"Location": location, "Range": received}

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers


class TooManyPieces(DistributionError):
    """An upload came in too many parts."""

    status = 413
    code = "BLOB_UPLOAD_INVALID"

    def __init__(self, limit: int):
        super().__init__(f"An upload may come in {limit} parts; send larger ones")


class RepositoryUploadsExceeded(DistributionError):
    """The repository has too many unfinished uploads. None was begun."""

    status = 429
    code = "TOOMANYREQUESTS"

    def __init__(self, limit: int):
        super().__init__(
            f"This repository has {limit} unfinished uploads: finish or cancel some, or try again tomorrow"
        )

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "3600"}


class RepositoryBytesExceeded(DistributionError):
    """The unfinished uploads to the repository have too many bytes. The bytes were not stored."""

    status = 429
    code = "TOOMANYREQUESTS"

    def __init__(self, limit_bytes: int):
        super().__init__(
            f"The unfinished uploads to this repository would have more than {limit_bytes} bytes: "
            "finish or cancel some, or try again tomorrow"
        )

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "3600"}


class TokenTooNarrow(Unauthorized):
    """The token is valid, but its scope lacks the action. Another token may have it."""

    text = "The token was not issued for this: ask for another one with the scope that is needed"

    def __init__(self) -> None:
        super().__init__("")
