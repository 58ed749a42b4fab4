"""Measure the pages with 10,000 repositories, 1,000 tags of 20 layers each, and a layer of 50,000 files.

    python tests/benchmarks/bench_pages.py [--rounds 7] [--repositories 10000] [--tags 1000]
                                           [--files 50000] [--folder DIR]

Each page is requested in this process, without a server and without sessions. The columns are the median of
the rounds, the slowest round, and the first request, which reads templates and stored file lists. The ratio
is to an empty page: that of an unknown path. On the server with accounts every second repository is private;
the anonymous visitor sees the others, the administrator all. Target: each page within 200 ms.

Half of the layers of a tag are its own, the others are shared by ten tags.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import io
import json
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.accounts.base import Backend
from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.registry.images import Images
from v1registry.rights import Content, User

TARGET_MS = 200.0
LAYERS = 20
PRIVATE = "secret"

Ask = Callable[[str], bytes]


def image_id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def layer_of_files(count: int) -> bytes:
    """Return a layer of ``count`` files: a tenth in one folder, the others in ``count / 100`` folders."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number in range(count):
            folder = "all" if number % 10 == 0 else f"usr/lib/part-{number % (count // 100 + 1):04}"
            member = tarfile.TarInfo(f"./{folder}/file-{number:06}.py")
            member.size, member.mtime = number % 7, 1_400_000_000 + number
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return gzip.compress(archive.getvalue(), 1)


class Filler:
    """Writes images and repositories to a storage as a push does."""

    def __init__(self, storage: Storage):
        self.storage = storage

    def image(self, name: str, ancestors: list[str], layer: bytes, holder: RepositoryName) -> str:
        """Store a complete image that ``holder`` holds, and return its id."""
        image_id = image_id_of(name)
        document = {
            "id": image_id,
            "created": "2014-06-01T08:15:30.123456789Z",
            "author": "Mira Kovac <mira@example.org>",
            "container_config": {
                "Cmd": ["/bin/sh", "-c", f"apt-get install -y {name} && rm -rf /var/lib/apt"]
            },
            "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
            "architecture": "amd64",
            "os": "linux",
        }
        if ancestors:
            document["parent"] = ancestors[0]
        held = layout.repository_folders(holder)[-1].removeprefix(f"{layout.REPOSITORIES}/")
        values = {
            layout.JSON: json.dumps(document).encode(),
            layout.ANCESTRY: json.dumps([image_id, *ancestors]).encode(),
            layout.CHECKSUM: json.dumps([f"sha256:{image_id}"]).encode(),
            layout.LAYER: layer,
            f"_held_by/{held}": b"",
        }
        for key, value in values.items():
            self.storage.write(layout.image_key(image_id, key), value)
        return image_id

    def chain(self, name: str, length: int, ancestors: list[str], holder: RepositoryName) -> list[str]:
        """Store a chain of images; return their ids and those of the ancestors, the newest first."""
        chain = list(ancestors)
        for number in range(length):
            layer = b"x" * (1000 + 37 * number)
            chain.insert(0, self.image(f"{name}-{number}", chain, layer, holder))
        return chain

    def repository(self, name: RepositoryName, tags: dict[str, str], **keys: bytes) -> None:
        folder = layout.repository_folders(name)[-1]
        self.storage.write(f"{folder}/{layout.IMAGE_LIST}", b"[]")
        for key, value in keys.items():
            self.storage.write(f"{folder}/{key}", value)
        for tag, image_id in tags.items():
            self.storage.write(layout.tag_key(folder, tag), image_id.encode())
            self.storage.write(layout.tag_info_key(folder, tag), b"{}")


def fill(storage: Storage, options: argparse.Namespace) -> dict[str, str]:
    """Fill an empty storage; return label -> path of the pages to measure."""
    filler = Filler(storage)
    for number in range(options.repositories):
        namespace = f"team-{number % 100:02}" if number % 100 else "library"
        keys = (
            {layout.DESCRIPTION: b"What **everybody** needs, number %d" % number} if number % 5 == 0 else {}
        )
        if number % 2:
            keys[layout.PRIVATE] = b""
        filler.repository(RepositoryName(namespace, f"app-{number:05}"), {}, **keys)
    name = RepositoryName("library", "many-tags")
    tags: dict[str, str] = {}
    for number in range(options.tags):
        if number % 10 == 0:
            base = filler.chain(f"base-{number}", LAYERS // 2, [], name)
        tags[f"1.{number}"] = filler.chain(f"tag-{number}", LAYERS // 2, base, name)[0]
    filler.repository(
        name, tags, **{layout.DESCRIPTION: b"# Tags\n\n* one\n* two\n\n" + b"Words *and* words. " * 200}
    )
    large = RepositoryName("library", "large")
    long = filler.chain("long", 200, [], large)
    contents = layer_of_files(options.files)
    below = filler.image("below", [], layer_of_files(options.files // 2), large)
    files = filler.image("files", [below], contents, large)
    filler.repository(large, {"long": long[0], "files": files})
    images = Images(storage)
    images.files(Content(files))
    images.diff([Content(files), Content(below)])
    return {
        "list, first page": "/",
        "list, page 100": "/?page=100",
        "list, last page": "/?page=999999",
        "search, all are hits": "/?q=app",
        "search, hits in descriptions": "/?q=everybody",
        "search, 1 hit": "/?q=app-09999",
        "search, no hit": "/?q=nothing-like-it",
        f"repository of {options.tags:,} tags": "/repositories/many-tags",
        "image of 200 layers": f"/images/{long[0]}",
        f"layer of {options.files:,} files, root": f"/images/{files}/files",
        "the same, the largest folder": f"/images/{files}/files?path=all",
        f"changes of {options.files:,} files": f"/images/{files}/changes",
        "the same, its last page": f"/images/{files}/changes?page=99999",
        "an empty page": "/nothing",
    }


def asker(app: Any, headers: dict[str, str]) -> Ask:
    def ask(address: str) -> bytes:
        path, _, query = address.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_HOST": "localhost",
            "HTTP_ACCEPT": "text/html",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **headers,
        }
        statuses: list[str] = []
        body = b"".join(app(environ, lambda status, headers, exc_info=None: statuses.append(status)))
        expected = "404" if path == "/nothing" else "200"
        if not statuses[0].startswith(expected):
            raise SystemExit(f"{address}: {statuses[0]}")
        return body

    return ask


class Administrator(Backend):
    """A backend with one user, an administrator."""

    def authenticate(self, username: str, password: str) -> User | None:
        return User("root", is_administrator=True) if password == PRIVATE else None


def timed_ms(ask: Ask, address: str) -> tuple[float, int]:
    start = time.perf_counter()
    size = len(ask(address))
    return (time.perf_counter() - start) * 1000, size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder with the files")
    options = parser.parse_args()
    basic = "Basic " + base64.b64encode(f"root:{PRIVATE}".encode()).decode()
    print(f"| page | storage | who | KiB | median of {options.rounds}, ms | slowest | first | ratio |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    over = []
    for kind in ("memory", "file"):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            storage: Storage = MemoryStorage() if kind == "memory" else FileStorage(folder, durable=False)
            pages = fill(storage, options)
            accounts = Registry(storage=storage, auth=Administrator())
            visitors = {
                "open server": asker(Registry(storage=storage), {}),
                "anonymous": asker(accounts, {}),
                "administrator": asker(accounts, {"HTTP_AUTHORIZATION": basic}),
            }
            for who, ask in visitors.items():
                firsts = {name: timed_ms(ask, address) for name, address in pages.items()}
                rounds = [
                    {name: timed_ms(ask, address)[0] for name, address in pages.items()}
                    for _ in range(options.rounds)
                ]
                floor = statistics.median(times["an empty page"] for times in rounds)
                for name, (first, size) in firsts.items():
                    times = [measured[name] for measured in rounds]
                    median = statistics.median(times)
                    print(
                        f"| {name} | {kind} | {who} | {size / 1024:.0f} | {median:.1f} | {max(times):.1f} "
                        f"| {first:.1f} | {median / floor:.0f} |",
                        flush=True,
                    )
                    if median > TARGET_MS:
                        over.append(f"{name}, {kind}, {who}: {median:.0f} ms")
    print(f"\nabove {TARGET_MS:.0f} ms: " + ("; ".join(over) or "none"))


if __name__ == "__main__":
    main()
