"""Endpoints of the files of a container, and images made of them (remote.md 8)."""

from __future__ import annotations

import base64
import json
import posixpath
import tarfile
import tempfile
from datetime import datetime, timezone
from typing import Any, Final

from v1registry.layers.compression import UnreadableLayer, open_decompressed
from v1registry.wsgi.framework import Response

from .bodies import CONFIG
from .changes import apply_changes
from .containers import Container
from .errors import EngineError, InvalidParameter, NoSuchObject
from .files import Entry, archived, clean, entry_of
from .references import ImageReference
from .requests import EngineRequest, answer, empty, stream
from .routing import row
from .times import nanoseconds
from .unpacking import unpack

_CHUNK_BYTES: Final = 256 << 10

#: The largest archive that is put into a container, in bytes: it is kept in memory.
_MOST_BYTES: Final = 256 << 20
_STAT_HEADER: Final = "X-Docker-Container-Path-Stat"

#: The bits of Go's os.FileMode.
_GO_FOLDER: Final = 1 << 31
_GO_LINK: Final = 1 << 27


def _container(request: EngineRequest) -> Container:
    return request.state.containers.find(request.fields["name"])


def _path(request: EngineRequest) -> str:
    path = request.parameter("path")
    if not path:
        raise InvalidParameter("bad parameter: pathcannot be empty")
    return path


def _stat(path: str, entry: Entry) -> str:
    """Return the header that tells name, size, mode and time of an entry."""
    target = entry.info.linkname
    if entry.info.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    mode = entry.info.mode | (_GO_FOLDER if entry.is_folder else _GO_LINK if entry.info.issym() else 0)
    document = {
        "name": posixpath.basename(path) or "/",
        "size": len(entry.info.linkname) if entry.info.issym() else entry.info.size,
        "mode": mode,
        "mtime": nanoseconds(datetime.fromtimestamp(entry.info.mtime, timezone.utc)),
        "linkTarget": target,
    }
    return base64.b64encode(json.dumps(document).encode()).decode("ascii")


def get_archive_of_container(request: EngineRequest) -> Response:
    """Return a file or folder of a container as an archive. ``HEAD`` tells what it is."""
    path, state = clean(_path(request)), request.state
    with state.lock:
        container = _container(request)
        container.note("archive-path")
        entry = container.files.get(path)
        if entry is None:
            raise NoSuchObject(
                f"Could not find the file {_path(request)} in container {request.fields['name']}"
            )
        if _path(request).endswith(("/", "/.")) and not entry.is_folder:
            raise EngineError(f"lstat {_path(request)}: not a directory")
        tree = container.files.tree(path)
    header = _stat(path, entry)
    if request.method == "HEAD":
        response = empty(200)
    else:
        response = stream(archived(tree, posixpath.dirname(path)), "application/x-tar")
    response.headers[_STAT_HEADER] = header
    return response


def put_archive(request: EngineRequest) -> Response:
    """Unpack an archive into a folder of a container."""
    folder, state = clean(_path(request)), request.state
    request.check_disk()
    entries = _unpacked(request)
    with state.lock:
        container = _container(request)
        found = container.files.get(folder)
        if found is None:
            raise NoSuchObject(
                f"Could not find the file {_path(request)} in container {request.fields['name']}"
            )
        if not found.is_folder:
            raise InvalidParameter("extraction point is not a directory")
        unpack(container.files, folder, entries, keeps_kinds=request.flag("noOverwriteDirNonDir"))
        container.note("extract-to-dir")
    return empty(200)


def _unpacked(request: EngineRequest) -> list[tuple[str, Entry]]:
    """Return the members of the archive in the body.

    :raises InvalidParameter: it is no archive, or too large.
    """
    found: list[tuple[str, Entry]] = []
    with tempfile.TemporaryFile() as file:
        size = 0
        for chunk in request.chunks():
            size += len(chunk)
            if size > _MOST_BYTES:
                raise InvalidParameter(f"the archive must have at most {_MOST_BYTES} bytes")
            file.write(chunk)
        file.seek(0)
        try:
            plain = open_decompressed(file, limit_bytes=_MOST_BYTES)
            with tempfile.TemporaryFile() as expanded:
                while chunk := plain.read(_CHUNK_BYTES):
                    expanded.write(chunk)
                expanded.seek(0)
                with tarfile.open(fileobj=expanded) as archive:
                    for member in archive:
                        content = archive.extractfile(member) if member.isreg() else None
                        found.append((member.name, entry_of(member, content.read() if content else b"")))
        except (UnreadableLayer, tarfile.TarError) as error:
            raise InvalidParameter(f"the archive cannot be read: {error}") from error
    return found


def get_export(request: EngineRequest) -> Response:
    """Return all files of a container as an archive."""
    state = request.state
    with state.lock:
        container = _container(request)
        tree = container.files.tree("/")
        container.note("export")
    return stream(archived(tree, "/"), "application/octet-stream")


def get_changes(request: EngineRequest) -> Response:
    """List what was changed in a container."""
    with request.state.lock:
        changes = _container(request).files.changes()
    return answer([{"Path": path, "Kind": kind} for path, kind in changes] or None)


def post_commit(request: EngineRequest) -> Response:
    """Make an image of a container."""
    state, settings = request.state, request.document(CONFIG)
    request.check_disk()
    name, tag = request.parameter("repo"), request.parameter("tag")
    reference = None
    if name:
        reference = ImageReference.parse(name)
        reference = reference.with_tag(tag) if tag else reference.tagged
    with state.lock:
        container = state.containers.find(request.parameter("container") or "")
        image = container.image
        layer = container.files.layer() if container.files.changes() else None
        created = nanoseconds(state.clock.now())
        entry: dict[str, Any] = {"created": created, "created_by": " ".join(container.command)}
        for key in ("author", "comment"):
            if request.parameter(key):
                entry[key] = request.parameter(key)
        if layer is None:
            entry["empty_layer"] = True
        own = {key: value for key, value in container.config.items() if key != "Hostname"}
        config = {
            **image.config,
            "author": request.parameter("author") or "",
            "comment": request.parameter("comment") or "",
            "config": own | {key: value for key, value in settings.items() if value is not None},
            "container": container.id,
            "container_config": {**container.config, "Image": container.image_name},
            "created": created,
            "history": [*(image.config.get("history") or []), entry],
            "rootfs": {
                "type": "layers",
                "diff_ids": [*image.diff_ids, *([layer.diff_id] if layer else [])],
            },
        }
        apply_changes(config["config"], request.parameters("changes"))
        layers = [*state.images.layers(image), *([layer] if layer else [])]
        document = json.dumps(config, separators=(",", ":")).encode("utf-8")
        made = state.images.add(document, layers, image.id)
        if reference is not None:
            state.images.name(reference, made)
            state.events.add("image", "tag", made.id, {"name": str(reference)})
        told = {"comment": request.parameter("comment") or "", "imageID": made.id}
        container.note("commit", **told, **({"imageRef": name} if name else {}))
    return answer({"Id": made.id}, 201)


ROUTES: Final = (
    row("GET", "/containers/{container}/archive", get_archive_of_container),
    row("PUT", "/containers/{container}/archive", put_archive),
    row("GET", "/containers/{container}/export", get_export),
    row("GET", "/containers/{container}/changes", get_changes),
    row("POST", "/commit", post_commit),
)
