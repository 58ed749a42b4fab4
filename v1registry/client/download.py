"""Download of one layer or blob into the spool. Interrupted downloads continue with a range, also in a later
run.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Protocol

import requests

from ..layers.compression import CHUNK_BYTES
from .answers import TRANSIENT_STATUSES, Answer
from .errors import RegistryUnreachable, TransferFailed
from .parallel import Workers
from .progress import Meter
from .spool import LayerSpool
from .transfer import Transfer

# docker-registry 0.9.1 omits the unit (registry.md 4.2).
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')


@dataclass(frozen=True)
class Wanted:
    """What a download must bring."""

    name: str  #: of its file in the spool
    text: str  #: for messages: ``the layer of image …``
    size_bytes: int | None
    checksums: frozenset[str]  #: with their algorithm; one must be right; may be empty
    prefix: bytes = b""  #: hashed before the content
    algorithm: str = "sha256"
    limit_bytes: int | None = None  #: the most bytes; None for the limit of all layers


class Authorization(Protocol):
    """The authorization of calls on a repository."""

    def image_authorization(self, url: str) -> str | None:
        """Return the header for a call."""

    def renew(self, rejected: str | None) -> bool:
        """Get a new token in place of a rejected one. Return whether there is a different one now."""


class _Broken(Exception):
    """The layer is incomplete; the bytes that came may be kept."""


class Download:
    """The download of one layer or blob into the spool."""

    def __init__(
        self,
        wanted: Wanted,
        url: str,
        *,
        transfer: Transfer,
        repository: Authorization,
        spool: LayerSpool,
        meter: Meter,
        workers: Workers,
    ):
        self.fetched_bytes = 0  #: over the network
        self.kept_bytes = 0  #: from an earlier pull
        self._wanted = wanted
        self._url = url
        self._connection = transfer.connection
        self._repository = repository
        self._spool = spool
        self._meter = meter
        self._workers = workers
        limit_bytes = wanted.limit_bytes
        self._limit_bytes = transfer.layer_limit_bytes if limit_bytes is None else limit_bytes
        self._digest = hashlib.new(wanted.algorithm)
        self._hashed_bytes = -1  # of the part, in _digest; -1 if _digest is stale

    def run(self) -> None:
        """Fetch the layer, and verify its checksum.

        :raises TransferFailed: all attempts failed, or the layer is damaged or too large.
        :raises ClientError: the registry refused the request.
        """
        name = self._wanted.name
        self._spool.check_again(name)
        failures, most_bytes, mismatches = 0, 0, 0
        while True:
            try:
                self._attempt(is_first=not failures and not mismatches)
                if self._is_checksum_right():
                    self._spool.complete(name)
                    return
                mismatches += 1
                self.kept_bytes = 0
                self._spool.remove_part(name)
                if mismatches == 2:
                    raise TransferFailed(
                        f"{self._wanted.text} came twice with a checksum that the "
                        "registry does not announce: it is damaged in the registry or on the network"
                    )
                self._meter.set(0)
            except _Broken as exc:
                there = self._spool.part_bytes(name)
                failures = 1 if there > most_bytes else failures + 1
                most_bytes = max(most_bytes, there)
                if failures >= self._connection.attempts:
                    raise TransferFailed(
                        f"{self._wanted.text} was interrupted after {there} of "
                        f"{self._wanted.size_bytes or 'unknown'} bytes: {exc}{self._spool.kept}"
                    ) from exc
                self._connection.pause(failures)

    def _attempt(self, *, is_first: bool) -> None:
        """Complete the part.

        :raises _Broken: it is still incomplete.
        """
        self._workers.check()
        with self._spool.open_part(self._wanted.name) as file:
            there = file.seek(0, os.SEEK_END)
            size_bytes = self._wanted.size_bytes
            if size_bytes is not None and there > size_bytes:
                there = self._begin_again(file)
            self._hash(file, there)
            self._meter.set(there)
            if is_first:
                self.kept_bytes = there
            if there and there == size_bytes:
                return
            self._check_limit(size_bytes or 0)
            self._fetch(file, there)

    def _hash(self, file: IO[bytes], there: int) -> None:
        """Make the digest that of the whole part."""
        if self._hashed_bytes == there:
            return
        self._digest = hashlib.new(self._wanted.algorithm, self._wanted.prefix)
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            self._digest.update(chunk)
        self._hashed_bytes = there

    def _begin_again(self, file: IO[bytes]) -> int:
        file.truncate(0)
        self._hashed_bytes = -1
        self._hash(file, 0)
        self._meter.set(0)
        self.kept_bytes = 0
        return 0

    # -- one request

    def _fetch(self, file: IO[bytes], there: int) -> None:
        authorization = self._repository.image_authorization(self._url)
        try:
            with self._connection.stream("GET", self._url, authorization, self._range(there)) as response:
                self._workers.check()  # the spool may belong to another pull by now
                if response.status_code in (200, 206):
                    self._receive(file, there, response)
                    return
                rejected = Answer(self._url, response.status_code, response.headers, response.raw.read(4096))
        except RegistryUnreachable as exc:
            raise _Broken(str(exc)) from exc
        if rejected.status == 401 and self._repository.renew(authorization):
            raise _Broken("the token expired")
        if rejected.status == 416:
            self._begin_again(file)
            raise _Broken("the registry refused a range that continues the part")
        failure = rejected.failure(f"pull {self._wanted.text}")
        if rejected.status in TRANSIENT_STATUSES:
            raise _Broken(str(failure)) from failure
        raise failure

    def _range(self, there: int) -> Mapping[str, str]:
        if not there:
            return {}
        # docker-registry 0.9.1 sends wrong lengths for ranges without an end, or beyond it (registry.md 4.2).
        end = "" if self._wanted.size_bytes is None else self._wanted.size_bytes - 1
        etag = self._spool.read_etag(self._wanted.name)
        return {"Range": f"bytes={there}-{end}", **({"If-Range": etag} if etag else {})}

    def _receive(self, file: IO[bytes], there: int, response: requests.Response) -> None:
        if response.status_code == 200:
            if there:  # the server does not support ranges, or has other bytes now
                there = self._begin_again(file)
            etag = response.headers.get("ETag", "")
            self._spool.write_etag(self._wanted.name, etag if _STRONG_ETAG.fullmatch(etag) else "")
            length = response.headers.get("Content-Length", "")
            expected = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        else:
            expected = self._size_of_range(file, there, response.headers.get("Content-Range", ""))
        self._check_limit(expected or 0)
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            self._workers.check()
            file.write(chunk)
            self._digest.update(chunk)
            there += len(chunk)
            self._hashed_bytes = there
            self.fetched_bytes += len(chunk)
            self._meter.advance(len(chunk))
            self._check_limit(there)
        if expected is not None and there < expected:
            raise _Broken(f"the connection ended {expected - there} bytes too early")
        if expected is not None and there > expected:
            self._begin_again(file)
            raise _Broken("the registry sent more than it announced")

    def _size_of_range(self, file: IO[bytes], there: int, header: str) -> int | None:
        """Return the size of the whole layer, None if the registry does not know it."""
        match = _CONTENT_RANGE.fullmatch(header)
        if match is None or int(match[1]) != there:
            self._begin_again(file)
            raise _Broken("the registry answered a different range than was requested")
        return None if match[2] == "*" else int(match[2])

    def _check_limit(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise TransferFailed(f"{self._wanted.text} is larger than the limit of {self._limit_bytes} bytes")

    def _is_checksum_right(self) -> bool:
        """Tell whether the registry announced this checksum. If it announced none, any is right."""
        found = f"{self._wanted.algorithm}:{self._digest.hexdigest()}"
        announced = self._wanted.checksums
        return not announced or any(hmac.compare_digest(found, checksum) for checksum in announced)
