"""A stand-in for Google Cloud Storage: the part of its XML API that obstore uses, with objects in memory.

Each write of an object gives it a new generation. Conditions compare generations; an etag in ``If-Match`` of
a write means nothing to the store. Source: https://cloud.google.com/storage/docs/xml-api/reference-headers
and https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE_NAMES = 1000


@dataclass
class _Object:
    data: bytes
    generation: int
    modified_s: float = field(default_factory=time.time)

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


class GoogleStorage:
    """A running stand-in; a context manager.

    :param folder: where the key of the service account is written.
    """

    def __init__(self, folder: Path) -> None:
        self.objects: dict[str, _Object] = {}  #: ``BUCKET/NAME`` -> object
        self.uploads: dict[str, dict[int, bytes]] = {}  #: id of a multipart upload -> its parts
        self.generations = itertools.count(1_700_000_000_000_000)
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.storage = self
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / "service-account.json"
        # a client with such a key asks for no token
        key.write_text(
            json.dumps(
                {
                    "gcs_base_url": self.url,
                    "disable_oauth": True,
                    "client_email": "",
                    "private_key": "",
                    "private_key_id": "",
                }
            )
        )
        #: The variables of the environment that the registry needs.
        self.environment: Mapping[str, str] = {"GOOGLE_SERVICE_ACCOUNT": str(key)}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @staticmethod
    def require() -> None:
        """Do nothing: it needs no program."""

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> GoogleStorage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    storage: GoogleStorage


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _parse(self) -> None:
        parts = urlsplit(self.path)
        self._name = unquote(parts.path).lstrip("/")
        self._query = {
            key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        """Give an object, or list a bucket."""
        self._parse()
        if "list-type" in self._query:
            self._list()
            return
        with self.server.storage.lock:
            found = self.server.storage.objects.get(self._name)
        if found is None:
            self._fail(HTTPStatus.NOT_FOUND, "NoSuchKey")
            return
        if self.headers.get("If-None-Match") == found.etag:
            self._answer(HTTPStatus.NOT_MODIFIED, b"", found)
            return
        data, status, extra = found.data, HTTPStatus.OK, {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            start, stop = int(wanted[1]), int(wanted[2] or len(data) - 1) + 1
            data, status = data[start:stop], HTTPStatus.PARTIAL_CONTENT
            extra = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{len(found.data)}"}
        self._answer(status, data, found, extra)

    def do_HEAD(self) -> None:
        """Give the facts about an object."""
        self.do_GET()

    def do_PUT(self) -> None:
        """Store an object, or a part of one."""
        self._parse()
        storage = self.server.storage
        if "uploadId" in self._query:
            with storage.lock:
                storage.uploads[self._query["uploadId"]][int(self._query["partNumber"])] = self._body
            self._answer(HTTPStatus.OK, b"", _Object(self._body, 0))
            return
        source = self.headers.get("x-goog-copy-source")
        with storage.lock:
            found = storage.objects.get(self._name)
            expected = self.headers.get("x-goog-if-generation-match")
            if expected is not None and int(expected) != (found.generation if found else 0):
                stored = None
            else:
                data = storage.objects[unquote(source)].data if source else self._body
                stored = _Object(data, next(storage.generations))
                storage.objects[self._name] = stored
        if stored is None:
            self._fail(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
        else:
            self._answer(HTTPStatus.OK, b"", stored)

    def do_POST(self) -> None:
        """Begin or end an upload in parts."""
        self._parse()
        storage = self.server.storage
        with storage.lock:
            if "uploads" in self._query:
                number = f"upload-{next(storage.generations)}"
                storage.uploads[number] = {}
                kind, told = "Initiate", f"<UploadId>{number}</UploadId>"
            else:
                parts = storage.uploads.pop(self._query["uploadId"])
                stored = _Object(
                    b"".join(data for _, data in sorted(parts.items())), next(storage.generations)
                )
                storage.objects[self._name] = stored
                kind, told = "Complete", f"<ETag>{escape(stored.etag)}</ETag>"
        text = f"<{kind}MultipartUploadResult>{told}</{kind}MultipartUploadResult>"
        self._answer(HTTPStatus.OK, text.encode())

    def do_DELETE(self) -> None:
        """Remove an object."""
        self._parse()
        storage = self.server.storage
        with storage.lock:
            if "uploadId" in self._query:
                storage.uploads.pop(self._query["uploadId"], None)
                is_there = True
            else:
                is_there = storage.objects.pop(self._name, None) is not None
        if is_there:
            self._answer(HTTPStatus.NO_CONTENT, b"")
        else:
            self._fail(HTTPStatus.NOT_FOUND, "NoSuchKey")

    def _list(self) -> None:
        prefix, delimiter = self._query.get("prefix", ""), self._query.get("delimiter", "")
        after = self._query.get("continuation-token") or self._query.get("start-after", "")
        bucket = self._name.rstrip("/")
        storage = self.server.storage
        with storage.lock:
            objects = {
                name.partition("/")[2]: found
                for name, found in storage.objects.items()
                if name.startswith(f"{bucket}/{prefix}")
            }
        rows, folders, last = [], set(), ""
        for name in sorted(objects):
            rest = name[len(prefix) :]
            folder = (
                prefix + rest.partition(delimiter)[0] + delimiter if delimiter and delimiter in rest else ""
            )
            if name <= after or (folder and folder <= after):
                continue
            if len(rows) + len(folders) == _PAGE_NAMES:
                break
            last = folder or name
            if folder:
                folders.add(folder)
                continue
            found = objects[name]
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found.modified_s))
            rows.append(
                f"<Contents><Key>{escape(name)}</Key><LastModified>{moment}.000Z</LastModified>"
                f"<ETag>{escape(found.etag)}</ETag><Size>{len(found.data)}</Size></Contents>"
            )
        else:
            last = ""
        more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if last else ""
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders)
        )
        text = f"<ListBucketResult>{more}{''.join(rows)}{prefixes}</ListBucketResult>"
        self._answer(HTTPStatus.OK, text.encode())

    def _fail(self, status: HTTPStatus, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _answer(
        self,
        status: HTTPStatus,
        body: bytes,
        about: _Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if about is not None:
            self.send_header("ETag", about.etag)
            self.send_header("x-goog-generation", str(about.generation))
            self.send_header("Last-Modified", formatdate(about.modified_s, usegmt=True))
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
