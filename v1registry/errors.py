"""What can go wrong, one exception a kind. Each knows the HTTP status and the text that a client may see.

Raised at the place that knows; :mod:`v1registry.wsgi.responses` alone turns them into answers. The texts that the
protocol fixes are those of docker-registry 0.6 to 0.9.1; an engine compares ``Image already exists`` to the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RegistryError(Exception):
    """Base of every failure that is told to a client.

    :param public: the only text that the client sees; the class's own text when left out.
    :param context: for the log: ids, sizes, keys; never secrets.
    """

    status: ClassVar[int] = 500
    text: ClassVar[str] = "Internal server error"

    def __init__(self, public: str | None = None, **context: object):
        self.public = self.text if public is None else public
        self.context = context
        super().__init__(self.public)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that belong to the answer besides those that every answer has."""
        return {}

    @property
    def document(self) -> Mapping[str, object] | None:
        """The JSON object that the OAuth and accounts APIs answer, where it is not the text alone."""
        return None


class BadRequest(RegistryError):
    """The request is malformed or contradicts itself; nothing changed."""

    status = 400
    text = "Bad request"


class NotFound(RegistryError):
    status = 404
    text = "Not found"


class Conflict(RegistryError):
    """What is there may not be changed like this; nothing changed."""

    status = 409
    text = "Conflict"


# -- who is asking


class Unauthorized(RegistryError):
    """No credentials, or wrong ones.

    :param challenge: what the server takes instead, for ``WWW-Authenticate``.
    """

    status = 401
    text = "Requires authorization"

    def __init__(self, challenge: str, public: str | None = None, **context: object):
        super().__init__(public, **context)
        self.challenge = challenge

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": self.challenge}


class Forbidden(RegistryError):
    """The caller is known and may not do this; nothing changed."""

    status = 403
    text = "Access denied: this account has no right to do that"


class AccountInactive(Forbidden):
    """The account is not activated yet, or disabled."""

    text = "Account is not Active"


class AccountTaken(BadRequest):
    """The user name or the address is somebody's; nothing changed.

    Engines up to 1.10 compare the text to the letter, and then check the password (moby v1.9.1, registry/auth.go).
    """

    text = "Username or email already exists"


class InvalidAccountField(BadRequest):
    """A user name, password or address is missing, or is none that is taken here; nothing changed."""


class RegistrationClosed(Unauthorized):
    """Nobody makes an own account here. Engines from 0.7.6 on check the password after this answer (clients.md 4)."""

    text = "Registration is closed: ask an administrator for an account"

    def __init__(self, public: str | None = None, **context: object) -> None:
        super().__init__('Basic realm="auth required",Token', public, **context)


class InvalidBearer(Unauthorized):
    """The access token is none, or is unknown, expired or revoked (RFC 6750, 3.1)."""

    text = "The access token is not valid"

    def __init__(self) -> None:
        super().__init__('Bearer realm="api", error="invalid_token"')


class InsufficientScope(Forbidden):
    """The access token is good, but was not granted for this (RFC 6750, 3.1); nothing changed.

    :param scope: what would do.
    """

    def __init__(self, scope: str, **context: object):
        self.scope = scope
        super().__init__(f"The access token was not granted for this; it needs the scope {scope}", **context)

    @property
    def headers(self) -> Mapping[str, str]:
        challenge = f'Bearer realm="api", error="insufficient_scope", scope="{self.scope}"'
        return {"WWW-Authenticate": challenge}


class AccountNotFound(NotFound):
    """There is no such account. Under ``/v1/`` only administrators are told."""

    text = "There is no such account"


class EmailNotFound(NotFound):
    """The account has no such address; nothing changed."""

    text = "The account has no such address"


class GrantNotFound(NotFound):
    """The user granted nothing of this id, or revoked it."""

    text = "There is no such grant"


class AccountNotChangeable(Forbidden):
    """The account exists where the registry only looks users up; nothing changed."""

    text = "This account is kept elsewhere and cannot be changed here"


class InvalidFields(BadRequest):
    """Fields of an account are missing, or hold what is not taken (oauth.md 4); nothing changed.

    :param problems: field -> what is wrong with it, one text or more.
    """

    def __init__(self, problems: Mapping[str, list[str]], **context: object):
        self.problems = problems
        super().__init__(
            "; ".join(f"{field}: {' '.join(texts)}" for field, texts in problems.items()), **context
        )

    @property
    def document(self) -> Mapping[str, object]:
        return self.problems


class OAuthError(RegistryError):
    """A failure in the form of RFC 6749, 5.2, with the status that goes with it.

    :param code: such as ``invalid_grant``.
    :param public: for people: what was expected and what came.
    :param status: of the answer.
    :param challenge: for ``WWW-Authenticate``.
    """

    def __init__(
        self, code: str, public: str, status: int = 400, challenge: str | None = None, **context: object
    ):
        super().__init__(public, **context)
        self.code = code
        self.status = status  # type: ignore[misc]  # the one kind of failure that has several
        self.challenge = challenge

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.challenge is None else {"WWW-Authenticate": self.challenge}

    @property
    def document(self) -> Mapping[str, object]:
        return {"error": self.code, "error_description": self.public}


class TooManyAttempts(RegistryError):
    """So many logins failed that the password was not looked at.

    429 and not 401: docker takes a 401 for a wrong password and asks for another one, any other status it shows with its
    text (moby v1.9.1, registry/auth.go).
    """

    status = 429

    def __init__(self, wait_s: float):
        self.wait_s = max(1, round(wait_s))
        super().__init__(f"Too many failed logins; try again in {self.wait_s} seconds")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.wait_s)}


class TooManyClientAttempts(TooManyAttempts):
    """So many proofs of an OAuth application failed that its secret was not looked at."""

    @property
    def document(self) -> Mapping[str, object]:
        return {"error": "temporarily_unavailable", "error_description": self.public}


# -- requests


class PathNotFound(NotFound):
    """No endpoint has this path."""


class MethodNotAllowed(RegistryError):
    """The path exists, but not with this method."""

    status = 405

    def __init__(self, method: str, allowed: tuple[str, ...]):
        super().__init__(f"Method {method[:20]} is not allowed here; allowed: {', '.join(allowed)}")
        self.allowed = allowed

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class LengthRequired(RegistryError):
    """The body is chunked and the WSGI server does not decode that; the body was not read."""

    status = 411
    text = (
        "This server does not decode chunked bodies: send a Content-Length, "
        "or run the registry under a server that sets wsgi.input_terminated"
    )


class BodyTooLarge(RegistryError):
    """A document is beyond the configured limit; nothing changed."""

    status = 413

    def __init__(self, limit_bytes: int):
        super().__init__(f"The body is larger than the {limit_bytes} bytes that are taken here")


class BrokenUpload(BadRequest):
    """The body ended before it was complete; nothing was stored."""

    text = "The body ended before it was complete"


class InvalidJson(BadRequest):
    """An image's JSON is none, or no object, or empty (docker-registry 0.9.1, images.py)."""

    text = "Invalid JSON"


class UndecodableJson(BadRequest):
    """The body of an index call is no JSON (docker-registry 0.9.1, index.py)."""

    text = "Error Decoding JSON"


class InvalidData(BadRequest):
    """The body is JSON, but not of the shape that the endpoint takes."""

    text = "Invalid data"


# -- names


class InvalidImageId(NotFound):
    """An image id has 16 or 64 lower-case hex digits. 404, as docker-registry 0.9.1 has it."""

    text = "Invalid image ID"


class InvalidRepositoryName(BadRequest):
    text = "Invalid repository name"


class InvalidTagName(BadRequest):
    text = "Invalid tag name"


# -- images


class ImageNotFound(NotFound):
    text = "Image not found"


class ImageInProgress(BadRequest):
    """The image's push has not ended, so it is not shown."""

    text = "Image is being uploaded, retry later"


class ImageExists(Conflict):
    """The image is complete; what it holds never changes. Engines take this text for «done»."""

    text = "Image already exists"


class ImageHasOtherContents(Conflict):
    """The image is complete with other JSON, and the caller may not see it (decisions.md 17).

    Not the text of :class:`ImageExists`: an engine would skip the image then, and fail at the tag.
    """

    text = "Image exists with other contents"


class ImageNotListed(BadRequest):
    """The image is in no image list of a repository that the caller pushes to."""

    text = "This image does not belong to the repository"


class ParentNotFound(BadRequest):
    """The JSON names a parent that is not there, or that looks absent to the caller."""

    text = "Image depends on a non existing parent"


class ParentNotAuthorized(BadRequest):
    """The index that the registry trusts does not let the caller use the parent (docker-registry 0.9.1, images.py)."""

    text = "Image depends on an unauthorized parent"


class ImageReplaced(Conflict):
    """Another client announced the id with other JSON while this layer was sent; the layer was not stored."""

    text = "Image was announced anew during the upload, push it again"


class ChecksumRefused(Conflict):
    """The image is complete with another sum than the one announced."""

    text = "Cannot set this image checksum"


class ChecksumHeaderMissing(RegistryError):
    """Neither header of a sum was sent (docker-registry 0.9.1 answers 412 and this text)."""

    status = 412
    text = (
        "X-Docker-Checksum-Payload not set.  If you are using the Docker daemon, "
        "you should upgrade to version 0.10 or later"
    )


class ChecksumMissing(BadRequest):
    """The header of the sum is empty."""

    text = "Missing Image's checksum"


class LayerMissing(BadRequest):
    """A sum came before its layer."""

    text = "Image's layer is missing"


class ChecksumMismatch(BadRequest):
    """The bytes received are not the bytes announced; the image stays in progress."""

    text = "Checksum mismatch"


class LayerNotSupported(BadRequest):
    """The layer is no tar archive that can be read, so its files cannot be listed."""

    text = "Layer format not supported"


class LayerTooLarge(BadRequest):
    """Looking into the layer would cost more than the configured limit of expanded bytes."""

    text = "The layer expands to more bytes than this server looks into"


# -- repositories


class RepositoryNotFound(NotFound):
    text = "Repository not found"


class ImageListNotFound(NotFound):
    """The repository is unknown to the index (docker-registry 0.9.1, index.py)."""

    text = "images not found"


class TagNotFound(NotFound):
    text = "Tag not found"


class TagImmutable(Conflict):
    """The repository's tags may be set once only; the tag stays what it was."""

    text = "Tag is immutable"


class TagNameConflict(Conflict):
    """The file of this tag is the information file of another one (``tag_x_json``), or the reverse."""

    text = "Tag name conflicts"


# -- the server


class Unavailable(RegistryError):
    """The storage cannot be reached now; the request may be repeated."""

    status = 503
    text = "The storage is not available, retry later"


class IndexUnavailable(Unavailable):
    """The index that the registry trusts does not answer, so nobody's token can be checked now."""

    text = "The index that checks tokens does not answer, retry later"


class LayerBusy(Unavailable):
    """The layer, or one that it builds on, is being looked into, or there is too much for one request; what was found is kept."""

    text = "The layer is being looked into, retry later"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "10"}


class OutOfSpace(RegistryError):
    """The storage has no room left; nothing was stored."""

    status = 507
    text = "The storage has no room left"
