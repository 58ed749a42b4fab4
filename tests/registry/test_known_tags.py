"""Lists of tags that are remembered: what they cost, and that they are not stale."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from support.clock import Clock
from support.faulty_storage import FaultyStorage
from support.quiet_folders import Settle, settle

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.names import RepositoryName
from v1registry.registry import known_tags
from v1registry.registry.known_tags import COMPARED_EVERY_S, KnownTags
from v1registry.registry.repositories import Repositories
from v1registry.storage.base import Stat, StorageUnavailable

__all__ = ["settle"]

NAME = RepositoryName("team", "app")
FOLDER = "repositories/team/app"
FIRST, SECOND = "1" * 64, "2" * 64


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(tmp_path: Path) -> FaultyStorage:
    return FaultyStorage(FileStorage(tmp_path, durable=False))


@pytest.fixture
def repositories(storage: FaultyStorage, clock: Clock, settle: Settle) -> Repositories:
    """Return repositories over a quiet folder with two tags."""
    found = Repositories(storage, clock=clock)
    found.add_images(NAME, [{"id": FIRST}])
    for tag in ("a", "b"):
        found.set_tag(NAME, tag, FIRST, "")
    age(storage, f"{FOLDER}/tag_a", f"{FOLDER}/tag_b")
    settle()
    assert found.tags(NAME) == {"a": FIRST, "b": FIRST}
    return found


@pytest.fixture
def other(tmp_path: Path, clock: Clock) -> Repositories:
    """Another process on the folder."""
    return Repositories(FileStorage(tmp_path, durable=False), clock=clock)


def path_of(storage: FaultyStorage, key: str) -> Path:
    assert isinstance(storage.storage, FileStorage)
    return Path(storage.storage.path, key)


def age(storage: FaultyStorage, *keys: str) -> None:
    """Make values an hour old."""
    for key in keys:
        path = path_of(storage, key)
        before = path.stat().st_mtime - 3600
        os.utime(path, (before, before))


def write_in_place(storage: FaultyStorage, key: str, value: str) -> None:
    """Write a value as docker-registry 0.9 does."""
    with path_of(storage, key).open("w") as file:
        file.write(value)


# -- cost


def test_unchanged_list_costs_three_calls(storage: FaultyStorage, repositories: Repositories) -> None:
    before = storage.count()
    repositories.tags(NAME)
    assert storage.count() - before == 3
    assert storage.count("list") == 1


def test_unchanged_list_is_made_once(repositories: Repositories) -> None:
    assert repositories.tag_list(NAME).json is repositories.tag_list(NAME).json


def test_compared_list_reads_no_value(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    known = repositories.tag_list(NAME)
    clock.now_s += COMPARED_EVERY_S
    before = storage.count("read")
    assert repositories.tag_list(NAME) is known
    assert (storage.count("list"), storage.count("read") - before) == (2, 0)


def test_list_is_compared_once_in_a_while(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    for _ in range(10):
        clock.now_s += COMPARED_EVERY_S / 4
        repositories.tags(NAME)
    assert storage.count("list") == 3


def test_one_thread_compares_while_others_are_answered(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    clock.now_s += COMPARED_EVERY_S
    answers: list[dict[str, str]] = []

    def ask_meanwhile() -> None:
        thread = threading.Thread(target=lambda: answers.append(repositories.tags(NAME)))
        thread.start()
        thread.join(30)

    storage.before(ask_meanwhile, "list")
    assert [repositories.tags(NAME)] == answers
    assert storage.count("list") == 2


@pytest.mark.parametrize(("is_quiet", "most_lists"), [(True, 1), (False, 2)])
def test_requests_at_once_share_one_reading(
    tmp_path: Path, request: pytest.FixtureRequest, is_quiet: bool, most_lists: int
) -> None:
    storage = FaultyStorage(FileStorage(tmp_path, durable=False))
    repositories = Repositories(storage)
    repositories.add_images(NAME, [{"id": FIRST}])
    repositories.set_tag(NAME, "a", FIRST, "")
    if is_quiet:
        request.getfixturevalue("settle")()
    answers: list[dict[str, str]] = []
    threads = [threading.Thread(target=lambda: answers.append(repositories.tags(NAME))) for _ in range(8)]

    def let_others_come() -> None:
        before = storage.count("folder_version")
        for thread in threads:
            thread.start()
        while storage.count("folder_version") < before + len(threads):
            time.sleep(0)

    storage.before(let_others_come, "list")
    lists = storage.count("list")
    assert repositories.tags(NAME) == {"a": FIRST}
    for thread in threads:
        thread.join(30)
    assert answers == [{"a": FIRST}] * len(threads)
    assert storage.count("list") - lists <= most_lists


def test_failed_comparison_is_repeated(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    clock.now_s += COMPARED_EVERY_S
    storage.fail("list")
    with pytest.raises(StorageUnavailable):
        repositories.tags(NAME)
    storage.heal()
    write_in_place(storage, f"{FOLDER}/tag_a", SECOND)
    assert repositories.tags(NAME) == {"a": SECOND, "b": FIRST}


def test_values_of_a_list_are_asked_for_together(storage: FaultyStorage) -> None:
    asked: list[list[str]] = []

    class Watching(MemoryStorage):
        def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
            asked.append(list(keys))
            return super().read_many(asked[-1])

    watching = Watching()
    for number in range(30):
        watching.write(f"{FOLDER}/tag_{number:02}", FIRST.encode())
    assert len(Repositories(watching).tags(NAME)) == 30
    assert [len(keys) for keys in asked if len(keys) > 2] == [30]


def test_storage_without_versions_compares_and_does_not_read_again() -> None:
    class Plain(MemoryStorage):
        def folder_version(self, folder: str) -> str | None:
            return None

    storage = FaultyStorage(Plain(clock=Clock()))
    storage.write(f"{FOLDER}/tag_a", FIRST.encode())
    known = KnownTags(storage, clock=Clock())
    assert known.of(FOLDER).image_ids == known.of(FOLDER).image_ids == {"a": FIRST}
    assert (storage.count("list"), storage.count("read")) == (2, 1)
    storage.write(f"{FOLDER}/tag_a", SECOND.encode())
    assert known.of(FOLDER).image_ids == {"a": SECOND}


def test_some_of_many_tags_are_read_if_no_more_are_wanted(storage: FaultyStorage, clock: Clock) -> None:
    for number in range(30):
        storage.write(f"{FOLDER}/tag_{number:02}", FIRST.encode())
    assert list(Repositories(storage, clock=clock).tags(NAME, most=3)) == ["00", "01", "02"]
    assert storage.count("read") < 10


def test_memory_of_lists_is_bounded(
    storage: FaultyStorage, clock: Clock, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_tags, "KEPT_BYTES", 5000)
    known = KnownTags(storage, clock=clock)
    for repository in range(20):
        storage.write(f"{FOLDER}{repository}/tag_a", FIRST.encode())
    for number in range(20):
        storage.write(f"{FOLDER}/tag_{number}", FIRST.encode())
    settle()
    lists = [known.of(f"{FOLDER}{repository}") for repository in range(20)]
    assert [tags.serial != 0 for tags in lists] == [True] * 20
    assert len(known._lists) == 2
    assert (len(known.of(FOLDER).image_ids), known.of(FOLDER).serial) == (20, 0), "too large to be kept"


def test_list_of_a_missing_repository_is_not_kept(storage: FaultyStorage, clock: Clock) -> None:
    known = KnownTags(storage, clock=clock)
    assert (
        known.of("repositories/no/such").image_ids == known.of("repositories/no/" + "x" * 300).image_ids == {}
    )
    assert len(known._lists) == 0


# -- changes


def test_change_through_the_same_process_is_seen(repositories: Repositories) -> None:
    repositories.set_tag(NAME, "a", SECOND, "")
    assert repositories.tags(NAME) == {"a": SECOND, "b": FIRST}
    repositories.delete_tag(NAME, "a")
    assert repositories.tags(NAME) == {"b": FIRST}


def test_change_through_another_process_is_seen(
    repositories: Repositories, other: Repositories, settle: Settle
) -> None:
    other.set_tag(NAME, "a", SECOND, "")
    settle()
    assert repositories.tags(NAME) == {"a": SECOND, "b": FIRST}
    other.delete_tag(NAME, "a")
    settle()
    assert repositories.tags(NAME) == {"b": FIRST}
    other.set_tag(NAME, "c", FIRST, "")
    settle()
    assert repositories.tags(NAME) == {"b": FIRST, "c": FIRST}


def test_repository_that_another_process_made_again_has_its_own_tags(
    repositories: Repositories, other: Repositories, settle: Settle
) -> None:
    other.remove(NAME)
    other.set_tag(NAME, "new", SECOND, "")
    settle()
    assert repositories.tags(NAME) == {"new": SECOND}


def test_folder_that_just_changed_is_not_trusted(storage: FaultyStorage, clock: Clock) -> None:
    found = Repositories(storage, clock=clock)
    found.add_images(NAME, [{"id": FIRST}])
    for number in range(3):
        found.set_tag(NAME, str(number), FIRST, "")
        assert len(found.tags(NAME)) == len(found.tags(NAME)) == number + 1
    assert storage.count("list") == 6


# -- docker-registry beside us


def test_tag_that_docker_registry_adds_or_deletes_is_seen(
    storage: FaultyStorage, repositories: Repositories, settle: Settle
) -> None:
    write_in_place(storage, f"{FOLDER}/tag_c", SECOND)
    settle()
    assert repositories.tags(NAME) == {"a": FIRST, "b": FIRST, "c": SECOND}
    path_of(storage, f"{FOLDER}/tag_a").unlink()
    settle()
    assert repositories.tags(NAME) == {"b": FIRST, "c": SECOND}


def test_tag_that_docker_registry_moves_is_seen_after_two_seconds(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    write_in_place(storage, f"{FOLDER}/tag_a", SECOND)
    assert repositories.tag(NAME, "a") == SECOND, "a single tag is read each time"
    assert repositories.tags(NAME) == {"a": FIRST, "b": FIRST}
    clock.now_s += COMPARED_EVERY_S
    assert repositories.tags(NAME) == {"a": SECOND, "b": FIRST}


def test_tag_that_is_emptied_in_place_is_no_tag_after_two_seconds(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    write_in_place(storage, f"{FOLDER}/tag_a", "")
    clock.now_s += COMPARED_EVERY_S
    assert repositories.tags(NAME) == {"b": FIRST}


def test_two_values_of_one_moment_are_told_apart(
    storage: FaultyStorage, repositories: Repositories, clock: Clock
) -> None:
    write_in_place(storage, f"{FOLDER}/tag_a", SECOND)
    clock.now_s += COMPARED_EVERY_S
    assert repositories.tags(NAME)["a"] == SECOND
    path = path_of(storage, f"{FOLDER}/tag_a")
    status = path.stat()
    write_in_place(storage, f"{FOLDER}/tag_a", "3" * 64)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert storage.stat(f"{FOLDER}/tag_a").size == 64
    clock.now_s += COMPARED_EVERY_S
    assert repositories.tags(NAME)["a"] == "3" * 64


def test_list_in_memory_is_exact() -> None:
    storage: Storage = MemoryStorage()
    found = Repositories(storage, clock=Clock())
    found.set_tag(NAME, "a", FIRST, "")
    assert found.tags(NAME) == {"a": FIRST}
    storage.write(f"{FOLDER}/tag_a", SECOND.encode())
    assert found.tags(NAME) == {"a": SECOND}


@pytest.mark.parametrize("seed", range(10))
def test_lists_follow_three_programs_in_any_order(
    storage: FaultyStorage,
    repositories: Repositories,
    other: Repositories,
    clock: Clock,
    settle: Settle,
    seed: int,
) -> None:
    chance = random.Random(seed)
    stored = {"a": FIRST, "b": FIRST}
    moved: set[str] = set()  # in place, since the clock went on
    for _ in range(30):
        tag, image_id = chance.choice("abcd"), chance.choice("123") * 64
        step = chance.choice(["set", "set elsewhere", "write", "delete", "unlink", "wait"])
        if step in ("set", "set elsewhere"):
            (repositories if step == "set" else other).set_tag(NAME, tag, image_id, "")
            stored[tag] = image_id
        elif step == "write":
            moved |= {tag} & stored.keys()
            write_in_place(storage, f"{FOLDER}/tag_{tag}", image_id)
            stored[tag] = image_id
        elif step == "delete" and tag in stored:
            other.delete_tag(NAME, tag)
            del stored[tag]
        elif step == "unlink" and tag in stored:
            path_of(storage, f"{FOLDER}/tag_{tag}").unlink()
            del stored[tag]
        elif step == "wait":
            clock.now_s += COMPARED_EVERY_S
            moved.clear()
        settle()
        found = repositories.tags(NAME)
        assert found.keys() == stored.keys(), step
        assert {tag for tag in found if found[tag] != stored[tag]} <= moved, step
    clock.now_s += COMPARED_EVERY_S
    assert repositories.tags(NAME) == other.tags(NAME) == stored
