"""Compare v1registry with its peers and with the limits of the machine, in one run, and print one table.

    python tests/benchmarks/compare.py [--suites small,layers] [--rounds 3] [--write]

The peers are docker-registry 0.9.1 (installed from PyPI at the first run; it needs Python 2.7), Debian's
docker-registry 2.8, nginx, and a bare function under the server of ``v1registry serve``. ``wrk`` has to be
installed. Measurements go round all servers before they are repeated. Figures are medians of the rounds.
CPU times are those of the server, and are steadier than rates on a busy machine.

Suites: ``limits`` (SHA-256, disk, loopback), ``small`` (small requests on 16 connections), ``layers`` (bodies
of 100 MiB and 1 GiB), ``image`` (push and pull of 20 layers), ``growth`` (by the number of repositories),
``gc`` (garbage collection over 100,000 images). All of them take about an hour and 10 GiB of disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from comparison import growth, limits, page, small, transfers
from comparison.results import Results
from comparison.servers import PROJECT, Servers

SUITES = ("limits", "small", "layers", "image", "growth", "gc")


def main() -> int:
    options = _parse()
    # so that servers are stopped and data is deleted
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    results = Results.load(options.add_to) if options.add_to else Results()
    work = Path(tempfile.mkdtemp(prefix="compare-", dir=options.work))
    servers = Servers(work, options.peers.resolve())
    suites: dict[str, Callable[[], None]] = {
        "limits": lambda: limits.measure(work, results, options.rounds),
        "small": lambda: small.measure(servers, results, options.rounds, options.seconds),
        "layers": lambda: transfers.measure(servers, results, options.rounds, options.seconds, options.sizes),
        "image": lambda: transfers.measure_image(servers, results, options.rounds),
        "growth": lambda: growth.measure(servers, results, options.rounds, options.repositories),
        "gc": lambda: growth.measure_collection(servers, results, options.images, options.images // 10),
    }
    try:
        for name in options.suites:
            print(f"{name} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
            try:
                suites[name]()
            except (LookupError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
                results.failures.append(f"{name} was not measured to its end: {error}")
                print(results.failures[-1], file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.json:
        results.save(options.json)
    if options.write:
        page.write(PROJECT / "docs" / "performance.md", results)
    print(page.markdown(results))
    return 1 if results.failures else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suites", type=_suites, default=list(SUITES), help="with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default: 3)")
    parser.add_argument("--sizes", type=_numbers, default=[100, 1024], help="of layers, in MiB")
    parser.add_argument("--repositories", type=_numbers, default=[10, 1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--images", type=int, default=100_000, help="of the suite gc")
    parser.add_argument("--work", help="the folder for data (default: that of temporary files)")
    parser.add_argument(
        "--peers", type=Path, default=Path.home() / ".cache" / "v1registry-peers",
        help="where docker-registry 0.9.1 is, or is installed (default: ~/.cache/v1registry-peers)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--add-to", type=Path, help="begin with the figures of this file")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _suites(text: str) -> list[str]:
    chosen = text.split(",") if text else []
    if unknown := set(chosen) - set(SUITES):
        raise argparse.ArgumentTypeError(f"suites are {', '.join(SUITES)}, not {', '.join(sorted(unknown))}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
