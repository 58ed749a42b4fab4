"""Conversion between a chain of v1 images and the image config of today's engines. Pure functions over bytes.

A chain becomes a config as in engines from 1.10 on when they pull from a v1 registry. A config becomes a
chain as in engines from 1.10 to 17.05 when they push to one. So ids made here equal ids made by an engine.
Source: moby v1.12.6 image/v1/imagev1.go, distribution/pull_v1.go and push_v1.go; OCI image-spec config.md for
chain ids.

The digest of a config covers its bytes, and engines store it. So the bytes written here must never change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from ..layers.compression import CHUNK_BYTES, Readable
from . import rawjson
from .oldengines import UNKNOWN_TIME, renew_image

#: Replaces a layer of zero bytes, because engines from 1.10 on need a tar (two zero blocks).
EMPTY_TAR = bytes(1024)
EMPTY_TAR_DIFF_ID = "sha256:" + hashlib.sha256(EMPTY_TAR).hexdigest()

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_LEADING_DIGITS = re.compile(r"\d{0,9}", re.ASCII)

#: Members of v1 JSON that a config has in another form, or not at all.
_DROPPED = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway", "checksum")

#: How many results of each kind are remembered, and how many bytes their documents may have. Tests convert
#: the same small images again and again.
_REMEMBERED: Final = 64
_REMEMBERED_BYTES: Final = 8192

#: Engines accept documents of this version and later as they are.
_FIRST_TRUSTED_VERSION = (1, 8, 3)


class Unconvertible(ValueError):
    """The image config, or the JSON of an image, cannot be converted."""


@dataclass(frozen=True)
class V1Document:
    """One image of a chain that was made from a config."""

    image_id: str
    json: bytes
    diff_id: str  #: of its layer


@dataclass(frozen=True)
class HashedLayer:
    """The facts of a layer that was read to its end."""

    diff_id: str
    size_bytes: int  #: uncompressed


def digest_of(data: bytes) -> str:
    """Return ``sha256:`` and the hex digits of the SHA-256 of ``data``.

    >>> digest_of(b"")[:15]
    'sha256:e3b0c442'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hash_layer(stream: Readable) -> HashedLayer:
    """Return the diff id and the size of an uncompressed layer.

    A stream of zero bytes counts as the empty tar that replaces it.

    :param stream: read to its end; not closed.
    :raises OSError: whatever ``stream.read`` raises.
    """
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
    if not size_bytes:
        return HashedLayer(EMPTY_TAR_DIFF_ID, len(EMPTY_TAR))
    return HashedLayer("sha256:" + digest.hexdigest(), size_bytes)


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the chain id of every layer, lowest first. It identifies the layer and all layers below.

    Source: OCI image-spec config.md, "Layer ChainID".
    """
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


# -- a chain becomes a config


def config_from_chain(documents: Sequence[bytes], diff_ids: Sequence[str]) -> bytes:
    """Return the image config of a chain; its SHA-256 is the image id of today's engines.

    Some values are changed, which an engine would not do, because today's engines would refuse the image: a
    missing ``architecture`` or ``os`` becomes ``amd64`` or ``linux``, a ``config`` of null and a ``created``
    that is not an RFC 3339 time are removed, and a ``Cmd`` or ``Entrypoint`` that is a string becomes a list.

    :param documents: the JSON of every image as it was pushed, root first; at least one.
    :param diff_ids: the diff id of every image's layer, root first. No layer counts as empty, because each
        image of v1 has one.
    :raises Unconvertible: a document is not a JSON object, or the numbers of documents and layers differ.
    """
    if len(documents) != len(diff_ids) or not documents:
        raise Unconvertible(
            f"a chain must have as many layers as images, and at least one; it has {len(documents)} images "
            f"and {len(diff_ids)} layers"
        )
    is_small = sum(map(len, documents)) <= _REMEMBERED_BYTES
    make = _remembered_config if is_small else _config_of
    try:
        return make(tuple(documents), tuple(diff_ids))
    except rawjson.InvalidDocument as exc:
        raise Unconvertible(f"the JSON of an image: {exc}") from exc
    except RecursionError as exc:
        # a part of a document is parsed at a greater depth than the whole
        raise Unconvertible("the JSON of an image: it is nested too deeply") from exc


def _config_of(documents: Sequence[bytes], diff_ids: Sequence[str]) -> bytes:
    images = [rawjson.split_object(document) for document in documents]
    members = _top_members(images[-1])
    members["rootfs"] = rawjson.join_object(
        [("type", '"layers"'), ("diff_ids", rawjson.join_array(map(rawjson.string, diff_ids)))]
    )
    members["history"] = rawjson.join_array(_history_entry(image) for image in images)
    return rawjson.join_sorted(members)


_remembered_config = lru_cache(_REMEMBERED)(_config_of)


def _top_members(image: dict[str, str]) -> dict[str, str]:
    if _version(rawjson.text_of(image.get("docker_version"))) < _FIRST_TRUSTED_VERSION:
        members = renew_image(image)
    else:
        members = {key: raw for key, raw in image.items() if key not in _DROPPED}
        for key in ("config", "container_config"):
            if key in members:
                members[key] = _settings(members[key])
    if members.get("config") == "null":
        del members["config"]
    for key, default in (("architecture", "amd64"), ("os", "linux")):
        if not rawjson.text_of(members.get(key)):
            members[key] = rawjson.string(default)
    if "created" in members and parse_time(rawjson.text_of(members["created"])) is None:
        del members["created"]
    return members


def _settings(raw: str) -> str:
    if not raw.startswith("{"):
        return "null"
    members = rawjson.split_object(raw)
    for key in ("Cmd", "Entrypoint"):
        if members.get(key, "").startswith('"'):
            members[key] = f"[{members[key]}]"
    return rawjson.join_object(members.items())


def _history_entry(image: dict[str, str]) -> str:
    created = rawjson.text_of(image.get("created"))
    entry = [("created", created if parse_time(created) is not None else UNKNOWN_TIME)]
    entry += [("author", rawjson.text_of(image.get("author")))]
    entry += [("created_by", _created_by(image.get("container_config", "null")))]
    entry += [("comment", rawjson.text_of(image.get("comment")))]
    return rawjson.join_object((key, rawjson.string(value)) for key, value in entry if value)


def _created_by(raw: str) -> str:
    settings = rawjson.split_object(raw) if raw.startswith("{") else {}
    command = rawjson.value_of(settings.get("Cmd"))
    if isinstance(command, str):
        return command
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return " ".join(command)
    return ""


def _version(text: str) -> tuple[int, ...]:
    """Return the numbers at the start of each part: (1, 10, 0) for ``1.10.0-rc1``."""
    matches = (_LEADING_DIGITS.match(part) for part in text.split(".")[:4])
    return tuple(int((match and match[0]) or 0) for match in matches)


def parse_time(text: str) -> datetime | None:
    """Return an RFC 3339 time in whole seconds, UTC; None for other texts.

    >>> parse_time("2013-04-30T17:46:10.843673+03:00")
    datetime.datetime(2013, 4, 30, 14, 46, 10, tzinfo=datetime.timezone.utc)
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        if match[2]:
            offset = timedelta(hours=int(match[3]), minutes=int(match[4]))
            moment = moment - offset if match[2] == "+" else moment + offset
    except (ValueError, OverflowError):  # an invalid day, or before the year 1
        return None
    return moment


# -- a config becomes a chain


def read_diff_ids(config: bytes) -> tuple[str, ...]:
    """Return ``rootfs.diff_ids`` of an image config, lowest first.

    :raises Unconvertible: the config is not JSON, or has no list of diff ids.
    """
    try:
        members = rawjson.split_object(config)
    except rawjson.InvalidDocument as exc:
        raise Unconvertible(f"the image config: {exc}") from exc
    rootfs = rawjson.value_of(members.get("rootfs"))
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids is None and isinstance(rootfs, dict):
        diff_ids = []
    if not isinstance(diff_ids, list) or not all(
        isinstance(diff_id, str) and _DIGEST.fullmatch(diff_id) for diff_id in diff_ids
    ):
        raise Unconvertible("the image config has no list of sha256 diff ids in its rootfs")
    return tuple(diff_ids)


def chain_from_config(config: bytes) -> tuple[V1Document, ...]:
    """Return the v1 images that an engine of 1.10 to 17.05 would push for this config, root first.

    The id of the top image is the digest of the config. The ids of the others are the chain ids of their
    layers, and their JSON has only ``id`` and ``parent``. A config without layers gets one empty layer,
    because each image of v1 has one.

    :raises Unconvertible: the config is not JSON, or has no list of diff ids.
    """
    return (_remembered_chain if len(config) <= _REMEMBERED_BYTES else _chain_of)(config)


def _chain_of(config: bytes) -> tuple[V1Document, ...]:
    diff_ids = read_diff_ids(config) or (EMPTY_TAR_DIFF_ID,)
    chain = [digest.partition(":")[2] for digest in chain_ids(diff_ids)]
    documents = [
        V1Document(image_id, _bare_document(image_id, parent_id), diff_id)
        for image_id, parent_id, diff_id in zip(chain[:-1], ["", *chain], diff_ids, strict=False)
    ]
    top_id = digest_of(config).partition(":")[2]
    top = _top_document(config, top_id, chain[-2] if len(chain) > 1 else "")
    return (*documents, V1Document(top_id, top, diff_ids[-1]))


_remembered_chain = lru_cache(_REMEMBERED)(_chain_of)


def _bare_document(image_id: str, parent_id: str) -> bytes:
    members = {"id": rawjson.string(image_id)}
    if parent_id:
        members["parent"] = rawjson.string(parent_id)
    return rawjson.join_sorted(members)


def _top_document(config: bytes, image_id: str, parent_id: str) -> bytes:
    # "parent" of a config is the id of another config, which a v1 registry does not have.
    dropped = ("rootfs", "history", "os.version", "os.features", "parent")
    members = {key: raw for key, raw in rawjson.split_object(config).items() if key not in dropped}
    members["id"] = rawjson.string(image_id)
    if parent_id:
        members["parent"] = rawjson.string(parent_id)
    return rawjson.join_sorted(members)
