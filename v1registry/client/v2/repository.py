"""Calls on one repository of the distribution API (distribution.md 1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...archives.documents import (
    DOCUMENT_LIMIT_BYTES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    ImageIndex,
    ImageManifest,
    InvalidDocument,
    read_manifest,
)
from ...errors import DigestInvalid
from ...names import Digest, is_v2_name
from ..answers import Answer
from ..connection import Connection
from ..errors import ApiNotOffered, BadReference, ClientError, NotFoundInRegistry, ProtocolError
from ..transfer import Transfer
from .tokens import Authorizer, read_challenges

_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
_DIGEST_HEADER = "Docker-Content-Digest"

#: How often a manifest is asked for that the registry is still making, and the longest pause, in seconds.
_PATIENCE = 40
_LONGEST_PAUSE_S = 30

_TAGS_SHOWN = 20


def find_api(connection: Connection) -> tuple[str, str | None] | None:
    """Return the URL of the distribution API and its challenge; None if the registry does not have it.

    Servers that have only its ping are found later: the first call below it raises ApiNotOffered.

    :raises RegistryUnreachable: the registry does not answer with any allowed scheme.
    """
    url, answer = connection.find("/v2/")
    challenge = answer.headers.get("WWW-Authenticate", "")
    if answer.status == 401 and not read_challenges(challenge).keys().isdisjoint(("bearer", "basic")):
        return url, challenge
    return (url, None) if answer.status == 200 else None


class V2Repository:
    """Calls on one repository, each with the right authorization. Safe for threads.

    :param actions: what tokens must allow: ``pull`` or ``pull,push``.
    :param mount_from: other repositories from which blobs may be mounted.
    :raises ApiNotOffered: the registry does not have the API.
    :raises BadReference: the name is not one of this API.
    :raises RegistryUnreachable: the registry does not answer.
    """

    def __init__(self, transfer: Transfer, *, actions: str, mount_from: Sequence[str] = ()):
        reference = transfer.reference
        found = find_api(transfer.connection)
        if found is None:
            raise ApiNotOffered(f"{reference.host} does not offer the distribution API (v2)")
        if not is_v2_name(reference.path):
            raise BadReference(
                f"repository must be parts of lower-case letters and digits, with . _ __ or - between them, "
                f"not {reference.path!r}; --api v1 accepts more names"
            )
        url, challenge = found
        self.name = reference.v2_name
        self.url = f"{url}{self.name}/"
        self._reference = reference
        self._connection = transfer.connection
        scopes = [f"repository:{self.name}:{actions}", *(f"repository:{name}:pull" for name in mount_from)]
        self._authorizer = Authorizer(transfer.connection, transfer.credentials, url, scopes)
        if challenge is not None:
            self._authorizer.renew(None, challenge)

    # -- single calls

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        chunks: Callable[[], Iterable[bytes]] | None = None,
    ) -> Answer:
        """Send a call and return its answer, whatever the status. After a challenge it is repeated once.

        :param chunks: makes the body of each attempt, in place of ``body``.
        :raises RegistryUnreachable: no answer came.
        :raises ClientError: the challenge cannot be answered.
        """
        used = self._authorizer.header(url)
        answer = self._call(method, url, used, headers, body, chunks)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status == 401 and self._authorizer.renew(used, challenge):
            answer = self._call(method, url, self._authorizer.header(url), headers, body, chunks)
        return answer

    def _call(
        self,
        method: str,
        url: str,
        authorization: str | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        chunks: Callable[[], Iterable[bytes]] | None,
    ) -> Answer:
        return self._connection.call(
            method, url, authorization=authorization, headers=headers, body=chunks() if chunks else body
        )

    def image_authorization(self, url: str) -> str | None:
        """Return the header for a call to the registry; None for other hosts."""
        return self._authorizer.header(url)

    def renew(self, rejected: str | None) -> bool:
        """Get a new token in place of a rejected one. Return whether there is a different one now."""
        return self._authorizer.renew(rejected)

    # -- manifests

    def manifest(self, place: str | Digest) -> tuple[Descriptor, bytes, ImageManifest | ImageIndex]:
        """Return a manifest or an index: its descriptor, its bytes, and what it says.

        The digest is checked. A registry that is still making the manifest is asked again.

        :param place: a tag or a digest.
        :raises NotFoundInRegistry: the registry does not have it.
        :raises ApiNotOffered: the registry has nothing but the ping of this API.
        :raises ClientError: the registry refuses it, or its answer is invalid.
        """
        answer = self._ask_manifest(place)
        if answer.status != 200:
            raise self._failure_of_manifest(answer, place)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type not in (*MANIFEST_TYPES, *INDEX_TYPES):
            media_type = ""  # the document itself names its type
        try:
            document = read_manifest(answer.body, media_type)
        except InvalidDocument as exc:
            raise ProtocolError(f"{answer.shown} answered an invalid manifest: {exc}") from exc
        expected = _digest_in(answer) if isinstance(place, str) else place
        found = _digest_of(answer.body, expected)
        if expected is not None and found != expected:
            raise ProtocolError(f"{answer.shown} answered a manifest with the digest {found}, not {expected}")
        return Descriptor(document.media_type, found, len(answer.body)), answer.body, document

    def _ask_manifest(self, place: str | Digest) -> Answer:
        url = f"{self.url}manifests/{place}"
        for _ in range(_PATIENCE):
            answer = self.call("GET", url, headers={"Accept": _ACCEPT})
            delay = answer.headers.get("Retry-After", "")
            if answer.status != 503 or not re.fullmatch(r"[0-9]{1,9}", delay):
                break
            self._connection.wait(min(max(int(delay), 1), _LONGEST_PAUSE_S))
        return answer

    def _failure_of_manifest(self, answer: Answer, place: str | Digest) -> ClientError:
        if answer.error_code == "UNSUPPORTED":
            return ApiNotOffered(f"{self._reference.host} offers only the ping of the distribution API (v2)")
        if answer.status != 404:
            return answer.failure(f"pull {self._reference}")
        problem = (
            f"{self._reference.host}/{self.name} has no {'tag' if isinstance(place, str) else 'manifest'}"
        )
        return NotFoundInRegistry(f"{problem} {place}{self._known_tags()}")

    def _known_tags(self) -> str:
        answer = self.call("GET", f"{self.url}tags/list?n={_TAGS_SHOWN + 1}")
        document: Any = answer.json() if answer.status == 200 else None
        tags = document.get("tags") if isinstance(document, dict) else None
        if not isinstance(tags, list):
            return ", or hides it from these credentials"
        names = [tag for tag in tags if isinstance(tag, str)]
        shown = ", ".join(names[:_TAGS_SHOWN]) or "no tags"
        return f"; it has {shown}{' …' if len(names) > _TAGS_SHOWN else ''}"

    def put_manifest(self, place: str | Digest, data: bytes, media_type: str) -> None:
        """Store a manifest.

        :param place: a tag or the digest.
        :raises ClientError: the registry refused it, or stored something else.
        """
        answer = self.call(
            "PUT", f"{self.url}manifests/{place}", headers={"Content-Type": media_type}, body=data
        )
        if answer.status not in (200, 201):
            raise answer.failure(f"push {self._reference}")
        stored = _digest_in(answer)
        if stored is not None and stored != _digest_of(data, stored):
            raise ProtocolError(
                f"{answer.shown} stored a manifest with the digest {stored}, not the one sent"
            )

    def require_more_than_ping(self) -> None:
        """Check that the registry has more than the ping of this API. Nothing is changed.

        :raises ApiNotOffered: it has not.
        """
        # not the manifest: a registry may have to make that first
        answer = self.call("GET", f"{self.url}tags/list?n=1")
        if answer.error_code == "UNSUPPORTED":
            raise self._failure_of_manifest(answer, self._reference.tag)

    # -- blobs

    def blob_url(self, digest: Digest) -> str:
        """Return the URL of a blob."""
        return f"{self.url}blobs/{digest}"

    def has_blob(self, digest: Digest) -> bool:
        """Tell whether the repository has a blob.

        :raises NotAuthorized: the credentials are missing, invalid, or do not allow it.
        :raises RegistryUnreachable: no answer came.
        """
        answer = self.call("HEAD", self.blob_url(digest))
        if answer.status in (401, 403):
            raise answer.failure(f"push {self._reference}")
        return answer.status == 200

    def small_blob(self, blob: Descriptor, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> bytes:
        """Return a blob that fits in memory, compared with its digest.

        :raises ClientError: the registry does not have it, or it is larger or different.
        """
        if blob.size_bytes > limit_bytes:
            raise ProtocolError(f"{blob.digest} has {blob.size_bytes} bytes, more than {limit_bytes}")
        answer = self.call("GET", self.blob_url(blob.digest))
        if answer.status != 200:
            raise answer.failure(f"pull {blob.digest}")
        found = _digest_of(answer.body, blob.digest)
        if len(answer.body) != blob.size_bytes or found != blob.digest:
            raise ProtocolError(
                f"{answer.shown} answered {len(answer.body)} bytes with the digest {found}, not "
                f"{blob.size_bytes} bytes with {blob.digest}"
            )
        return answer.body


def _digest_in(answer: Answer) -> Digest | None:
    """Return the digest that an answer names; None without one.

    :raises ProtocolError: it is malformed.
    """
    text = answer.headers.get(_DIGEST_HEADER)
    try:
        return None if text is None else Digest.parse(text.strip())
    except DigestInvalid as exc:
        raise ProtocolError(f"{answer.shown} answered an invalid {_DIGEST_HEADER}: {text!r}") from exc


def _digest_of(data: bytes, like: Digest | None) -> Digest:
    """Return the digest of ``data`` by the algorithm of another one, SHA-256 without one."""
    algorithm = "sha256" if like is None else like.algorithm
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
