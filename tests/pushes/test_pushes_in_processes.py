"""Processes over one folder push different bytes under the same ids at once (decisions.md 5, 17)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.engine_client import Image, make_chain, tar_layer
from support.strict_engine import pull
from support.worker_processes import started_workers

from v1registry import FileStorage, Registry

#: Pushes the chain that a line names, and answers ``done`` or why an engine would have given up.
WORKER = """
import sys
from pathlib import Path

sys.path.insert(0, TESTS)
from pushes.test_pushes_in_processes import chain_of
from support.engine_client import UnexpectedAnswer
from support.strict_engine import StrictEngine
from v1registry import FileStorage, Registry

app = Registry(storage=FileStorage(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    repository, number = line.split()
    try:
        StrictEngine(app, repository, chain_of(int(number))).push()
        print("done", flush=True)
    except UnexpectedAnswer as error:
        print(str(error), flush=True)
""".replace("TESTS", repr(str(Path(__file__).parents[1])))

workers = partial(started_workers, WORKER)


def chain_of(number: int) -> list[Image]:
    """Return a chain of three images. The ids are always the same, JSON and layers depend on ``number``."""
    images = make_chain([tar_layer({f"etc/{level}": b"base"}) for level in range(3)], name="chain")
    return [
        Image(
            image.image_id,
            image.json.replace(b"1.9.1", f"1.{number}.0".encode()),
            tar_layer({"etc/machine": bytes([number]) * (1000 + number)}),
        )
        for image in images
    ]


@pytest.mark.real
@pytest.mark.parametrize("shares_repository", [True, False])
def test_pushes_of_one_chain_at_once_all_succeed(tmp_path: Path, shares_repository: bool) -> None:
    count = 4
    names = ["foo/app" if shares_repository else f"foo/app{number}" for number in range(count)]
    with workers(count, tmp_path) as processes:
        for number, (process, name) in enumerate(zip(processes, names, strict=True)):
            process.send(name, str(number))
        answers = [process.receive() for process in processes]
    assert answers == ["done"] * count
    storage = FileStorage(tmp_path / "data")
    pushed = [chain_of(number) for number in range(count)]
    pulled = pull(Registry(storage=storage), names[-1])
    assert [image in images for image, images in zip(pulled, zip(*pushed, strict=True), strict=True)] == [
        True
    ] * 3
    assert list(storage.list("uploads/")) == []
