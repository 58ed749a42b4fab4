"""Endpoints that talk to registries: pull, push, import, search and log-in (remote.md 4.7)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

import requests
from urllib3.exceptions import LocationParseError

from v1registry.archives.platforms import Platform
from v1registry.client import ClientError
from v1registry.layers.compression import UnreadableLayer, open_decompressed
from v1registry.wsgi.framework import Response

from .bodies import LOGIN
from .changes import EMPTY_SETTINGS, apply_changes
from .errors import InvalidParameter, NoSuchObject, Refused
from .image_store import check_archive, read_layer
from .messages import Messages
from .pulling import EnginePull
from .pushing import EnginePush
from .references import DEFAULT_HOST, ImageReference
from .registries import pull_failure
from .requests import EngineRequest, answer, stream
from .routing import row
from .state import EngineState
from .times import nanoseconds

_CHUNK_BYTES = 256 << 10
_IN_MEMORY_BYTES = 8 << 20

#: The most hits of a search, and the default. Source: the constants of the engine's package registry.
_MOST_HITS = 100
_DEFAULT_HITS = 25


def post_create(request: EngineRequest) -> Response:
    """Pull an image, or import one from an archive of files."""
    name = request.parameter("fromImage")
    return _pull(request, name) if name else _import(request)


def _pull(request: EngineRequest, name: str) -> Response:
    reference = ImageReference.parse(name)
    tag = request.parameter("tag")
    if tag:
        # the parameter may be a digest too
        reference = ImageReference.parse(f"{reference.name}@{tag}") if ":" in tag else reference.with_tag(tag)
    if reference.name == "scratch":
        raise Refused("'scratch' is a reserved name")
    if not reference.tag and not reference.digest:
        return _pull_all(request, reference)
    return _pull_one(request, reference)


def _pull_one(request: EngineRequest, reference: ImageReference) -> Response:
    messages = Messages("Downloading", "Verifying Checksum", "Download complete")
    state, credentials = request.state, request.credentials()
    named = request.parameter("platform")
    try:
        platform = Platform.parse(named) if named else None
    except ValueError as error:
        raise InvalidParameter(str(error)) from error

    def work() -> None:
        EnginePull(state, reference, credentials, messages, platform, request.check_disk).run()

    return stream(messages.streamed(work))


def _pull_all(request: EngineRequest, reference: ImageReference) -> Response:
    """Pull every tag of a repository, as engines do for a name without one."""
    messages = Messages("Downloading", "Verifying Checksum", "Download complete")
    state, credentials = request.state, request.credentials()

    def work() -> None:
        for tag in _tags_there(state, reference, credentials):
            tagged = reference.with_tag(tag)
            EnginePull(state, tagged, credentials, messages, None, request.check_disk).run()

    return stream(messages.streamed(work))


def _tags_there(state: EngineState, reference: ImageReference, credentials: dict[str, str]) -> list[str]:
    try:
        with state.registries.questions(reference.host, credentials) as questions:
            return questions.tags(reference.full_path)
    except ClientError as error:
        raise pull_failure(error, reference) from error


def post_push(request: EngineRequest) -> Response:
    """Push one tag of a repository, or all."""
    state = request.state
    reference = ImageReference.parse(request.fields["name"])
    tag = request.parameter("tag")
    with state.lock:
        if tag:
            wanted = [reference.with_tag(tag)]
        else:
            wanted = [other for other in state.images.names() if other.tag and other.name == reference.name]
        images = {other: state.images.names().get(other) for other in wanted}
    credentials = request.credentials() or _credentials_in_body(request)
    messages = Messages("Pushing", "Pushed")

    def work() -> None:
        messages.add(f"The push refers to repository [{reference.host}/{reference.full_path}]")
        if not images or None in images.values():
            raise NoSuchObject(f"An image does not exist locally with the tag: {reference.name}")
        for other in sorted(images, key=str):
            EnginePush(state, other, credentials, messages).run()

    return stream(messages.streamed(work))


def _credentials_in_body(request: EngineRequest) -> dict[str, str]:
    """Return the credentials of clients before API 1.5, which send them in the body."""
    try:
        document = request.document(LOGIN)
    except InvalidParameter as error:
        raise InvalidParameter(f"Bad parameters and missing X-Registry-Auth: {error.message}") from None
    return {key: value for key, value in document.items() if isinstance(value, str)}


def _import(request: EngineRequest) -> Response:
    """Make an image of one layer from an archive of files."""
    state = request.state
    name, tag = request.parameter("repo"), request.parameter("tag")
    source = request.parameter("fromSrc") or ""
    reference = None
    if name:
        reference = ImageReference.parse(name)
        if reference.digest:
            raise InvalidParameter("cannot import digest reference")
        reference = reference.with_tag(tag) if tag else reference.tagged
    settings = dict(EMPTY_SETTINGS)
    apply_changes(settings, request.parameters("changes"))
    request.check_disk()
    chunks = request.chunks() if source == "-" else _fetched(source)
    try:
        plain = open_decompressed(_Reader(chunks))
        layer = read_layer(iter(lambda: plain.read(_CHUNK_BYTES), b""))
        check_archive(layer)
    except (UnreadableLayer, tarfile.TarError) as error:
        raise InvalidParameter(f"the archive cannot be read: {error}") from error
    comment = request.parameter("message") or f"Imported from {source}"
    created = nanoseconds(state.clock.now())
    config = {
        "architecture": "amd64",
        "comment": comment,
        "config": settings,
        "created": created,
        "docker_version": state.release.version,
        "history": [{"created": created, "comment": comment}],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    }
    with state.lock:
        image = state.images.add(json.dumps(config, separators=(",", ":")).encode("utf-8"), [layer])
        if reference is not None:
            state.images.name(reference, image)
            state.events.add("image", "tag", image.id, {"name": str(reference), **image.labels})
    state.events.add("image", "import", image.id, {"name": image.id, **image.labels})
    return stream(iter([json.dumps({"status": image.id}).encode("utf-8") + b"\r\n"]))


class _Reader:
    """A stream over chunks."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def _fetched(source: str) -> Iterator[bytes]:
    """Yield the archive at a URL.

    :raises InvalidParameter: it cannot be fetched.
    """
    url = source if "://" in source else f"http://{source}"
    try:
        with requests.get(url, stream=True, timeout=30) as response:
            response.raise_for_status()
            yield from response.iter_content(_CHUNK_BYTES)
    except (requests.RequestException, LocationParseError) as error:
        raise InvalidParameter(f"cannot fetch {url[:200]}: {str(error)[:200]}") from error


def get_search(request: EngineRequest) -> Response:
    """Search the registry that the term names, else Docker Hub."""
    filters = request.filters("is-automated", "is-official", "stars")
    limit = request.number("limit", _DEFAULT_HITS) or _DEFAULT_HITS
    if not 1 <= limit <= _MOST_HITS:
        raise InvalidParameter(f"Limit {limit} is outside the range of [1, {_MOST_HITS}]")
    term = request.parameter("term") or ""
    if "://" in term:
        raise InvalidParameter(f"invalid repository name: repository name ({term}) should not have a scheme")
    first, slash, rest = term.partition("/")
    is_host = slash and (first == "localhost" or any(mark in first for mark in ".:"))
    host, words = (first, rest) if is_host else (DEFAULT_HOST, term.removeprefix("library/"))
    with request.state.registries.questions(host, request.credentials()) as questions:
        hits = questions.search(words, limit)
    least = max((int(text) for text in filters.get("stars") if text.isdecimal()), default=0)
    return answer([hit for hit in hits if _is_wanted(hit, filters.boolean("is-automated"),
                                                      filters.boolean("is-official"), least)])  # fmt: skip


def _is_wanted(hit: dict[str, Any], is_automated: bool | None, is_official: bool | None, least: int) -> bool:
    return (
        is_automated in (None, hit["is_automated"])
        and is_official in (None, hit["is_official"])
        and hit["star_count"] >= least
    )


def post_auth(request: EngineRequest) -> Response:
    """Check a user name and a password with a registry."""
    document = request.document(LOGIN)
    credentials = {key: value for key, value in document.items() if isinstance(value, str)}
    address = credentials.get("serveraddress", "")
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    if host in ("", "index.docker.io", "registry-1.docker.io"):
        host = DEFAULT_HOST
    with request.state.registries.questions(host, credentials) as questions:
        questions.log_in()
    return answer({"Status": "Login Succeeded", "IdentityToken": ""})


ROUTES = (
    row("POST", "/images/create", post_create),
    row("GET", "/images/search", get_search),
    row("POST", "/images/{image}/push", post_push),
    row("POST", "/auth", post_auth),
)
