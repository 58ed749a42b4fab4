"""``prepare-v2`` with much work at once, and beside a garbage collection."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.accounts_world import image_of
from support.converted import Converted, store_chain

from v1registry import FileStorage, MemoryStorage
from v1registry.cli import prepare_v2
from v1registry.cli.main import main
from v1registry.distribution.from_v1 import Conversion, FromV1
from v1registry.distribution.parts import from_v1_of
from v1registry.distribution.places import Place
from v1registry.storage import KeyNotFound

JOBS, LAYERS = 8, 300

IMAGE = image_of("base")


def test_queue_of_a_command_has_room_for_the_layers_of_all_jobs() -> None:
    services = Converted(MemoryStorage()).services
    distribution = services.distribution
    from_v1 = from_v1_of(
        services.storage,
        services.settings,
        services.images,
        distribution.blobs,
        distribution.records,
        jobs=JOBS,
    )
    all_wait = threading.Event()

    def convert(job: int) -> int:
        work: dict[Hashable, Callable[[], Any]] = {(job, layer): all_wait.wait for layer in range(LAYERS)}
        return len(from_v1._work.run(work, None))

    with ThreadPoolExecutor(JOBS) as pool:
        jobs = [pool.submit(convert, job) for job in range(JOBS)]
        threading.Timer(0.5, all_wait.set).start()
        assert [job.result() for job in jobs] == [LAYERS] * JOBS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a tag in each of two repositories."""
    storage = FileStorage(tmp_path / "registry")
    store_chain(storage, [IMAGE])
    for name in ("app", "zoo"):
        storage.write(f"repositories/team/{name}/tag_latest", IMAGE.image_id.encode())
    monkeypatch.setattr(prepare_v2, "_PAUSE_S", 0)
    return tmp_path / "registry"


def collecting(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let a collection remove what became of the images of team/app, some times."""
    real, left = FromV1._are_kept, [times]

    def are_kept(from_v1: FromV1, place: Place, conversion: Conversion) -> bool:
        if place.repository.repository == "app" and left[0]:
            left[0] -= 1
            return False
        return real(from_v1, place, conversion)

    monkeypatch.setattr(FromV1, "_are_kept", are_kept)


def prepared(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["prepare-v2", "--json", "--quiet", "--storage", f"file://{folder}"])
    return code, {row["tag"]: row for row in json.loads(capsys.readouterr().out)}


def test_image_whose_result_is_collected_is_converted_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting(monkeypatch, 3)
    code, rows = prepared(folder, capsys)
    assert code == 0
    assert rows["team/app:latest"]["digest"] == rows["team/zoo:latest"]["digest"]


def test_image_whose_result_is_always_collected_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting(monkeypatch, 1000)
    code, rows = prepared(folder, capsys)
    assert code == 1
    assert rows["team/app:latest"]["reason"] == (
        "the garbage collection removed the result again and again: run the command again after it"
    )
    assert rows["team/zoo:latest"]["digest"]


def test_image_that_is_removed_meanwhile_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FromV1._read

    def read(from_v1: FromV1, *arguments: Any) -> Any:
        with suppress(KeyNotFound):
            FileStorage(folder).delete(f"images/{IMAGE.image_id}/json")
        return real(from_v1, *arguments)

    monkeypatch.setattr(FromV1, "_read", read)
    code, rows = prepared(folder, capsys)
    assert code == 1
    reasons = {row["reason"] for row in rows.values()}
    assert "the image was removed meanwhile" in reasons
    assert reasons <= {"the image was removed meanwhile", "the image is missing or incomplete"}
