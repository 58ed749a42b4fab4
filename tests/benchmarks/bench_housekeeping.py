"""Measure the runs of maintenance over a folder of many images.

    python tests/benchmarks/bench_housekeeping.py [--images 100000] [--folder DIR]

Each repository has ten images in a chain, with accounts; every second one has an artifact of ``/v2/`` too.
Layers have some hundred bytes, so ``verify --layers`` shows what it costs besides reading. Each command runs
in a process of its own: the columns are its CPU time, the time on the clock, and its largest memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_IN_CHAIN = 10

_COMMANDS = (
    ("usage", "--no-keep", "--most", "1"),
    ("verify",),
    ("verify", "--restart"),
    ("gc", "--dry-run"),
)

#: Runs a command, and prints its CPU time in seconds and its memory in KiB to standard error.
_RUN = """
import resource, sys
from v1registry.cli.main import main
code = main()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


class Filler:
    """Writes the files of a registry, without the syncs of a storage."""

    def __init__(self, root: Path):
        self._root = root

    def write(self, key: str, value: object) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def layer(self, image_id: str) -> bytes:
        return hashlib.sha256(image_id.encode()).digest() * 8

    def repository(self, number: int) -> None:
        name, incarnation = f"ns{number % 100}/app{number}", f"{number:016x}"
        folder, chain = f"repositories/{name}", list[str]()
        for place in range(_IN_CHAIN):
            image_id = hashlib.sha256(f"{number} {place}".encode()).hexdigest()
            chain.insert(0, image_id)
            self._image(chain, name, incarnation)
        self.write(f"{folder}/_incarnation", incarnation.encode())
        self.write(f"{folder}/_index_images", [{"id": image_id} for image_id in chain])
        self.write(f"{folder}/tag_latest", chain[0].encode())
        if number % 2:
            self._artifact(folder, incarnation)

    def _image(self, chain: list[str], name: str, incarnation: str) -> None:
        image_id, *parents = chain
        folder = f"images/{image_id}"
        fields = {"id": image_id, "comment": "x" * 300}
        document = json.dumps({**fields, **({"parent": parents[0]} if parents else {})}).encode()
        layer = self.layer(image_id)
        payload = hashlib.sha256(document + b"\n" + layer).hexdigest()
        self.write(f"{folder}/json", document)
        self.write(f"{folder}/layer", layer)
        self.write(f"{folder}/ancestry", chain)
        self.write(f"{folder}/_checksum", [f"sha256:{payload}"])
        mark = {"incarnation": incarnation, "is_published": True, "variant": ""}
        self.write(f"{folder}/_held_by/{name}", mark)

    def _artifact(self, folder: str, incarnation: str) -> None:
        parts = [self._blob(folder, incarnation, data) for data in (b"{}", os.urandom(200))]
        config, layer = ({"mediaType": "a/b", "digest": f"sha256:{part}", "size": 2} for part in parts)
        media_type = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}
        data = json.dumps(manifest).encode()
        sha256 = self._blob("", incarnation, data)
        record = {"media_type": media_type, "size": len(data), "image_id": None, "incarnation": incarnation}
        self.write(f"{folder}/_v2/manifests/{sha256}", record)
        side = {"digest": sha256, "image_id": None, "incarnation": incarnation}
        self.write(f"{folder}/_v2/tags/report", side)

    def _blob(self, folder: str, incarnation: str, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self.write(f"blobs/sha256/{sha256[:2]}/{sha256}/data", data)
        if folder:
            self.write(f"{folder}/_v2/blobs/{sha256}", {"incarnation": incarnation})
        return sha256


def measure(folder: Path, command: tuple[str, ...]) -> str:
    """Run a command; return a row of the table."""
    words = [sys.executable, "-c", _RUN, *command, "--quiet", "--storage", folder.as_uri()]
    began_s = time.perf_counter()
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    cpu_s, memory_kib = map(float, done.stderr.split()[-2:])
    wall_s = time.perf_counter() - began_s
    return f"{' '.join(command):<32} {cpu_s:8.1f} s {wall_s:8.1f} s {memory_kib / 1024:8.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        filler = Filler(Path(folder))
        for number in range(options.images // _IN_CHAIN):
            filler.repository(number)
        print(f"{options.images} images\n{'command':<32} {'CPU':>10} {'time':>10} {'memory':>12}")
        for command in _COMMANDS:
            print(measure(Path(folder), command), flush=True)


if __name__ == "__main__":
    main()
