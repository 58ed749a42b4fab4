"""What a layer changes against the layers below it: the result of ``…/diff``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from v1registry.layers import changes
from v1registry.layers.changes import Comparison
from v1registry.layers.compression import ExpansionLimitExceeded
from v1registry.layers.listing import files

SAMPLE = Path(__file__).parents[1] / "data" / "docker-registry-0.9.1-data" / "images"
ROOT = "cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2"
CHILD = "28720365c5e7476a011e4f43ac003ee5f16247a263b9d623aa85ed311d73bf39"

Rows = Sequence[list[Any]]


def sample_files(image_id: str) -> list[Any]:
    with (SAMPLE / image_id / "layer").open("rb") as layer:
        return files(layer)


def diff(
    image: Rows, ancestors: Sequence[Rows], *, opaque: Sequence[str] = (), above: Sequence[Sequence[str]] = ()
) -> dict[str, dict[str, Any]]:
    """Return the diff of an image.

    :param ancestors: the nearest first.
    :param opaque: the opaque folders of the image.
    :param above: the opaque folders of each ancestor, if one has any.
    """
    comparison = Comparison(image, opaque)
    for number, rows in enumerate(ancestors):
        comparison.compare(rows, above[number] if above else ())
    found: dict[str, dict[str, Any]] = json.loads(b"".join(comparison.dump(lambda: image)))
    return found


def names(found: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return the sorted names of each kind that has any."""
    return {kind: sorted(entries) for kind, entries in found.items() if entries}


def row(name: str, *, deleted: bool = False, size: int = 0) -> list[Any]:
    return [name, "f", deleted, size, 1430000000, 420, 0, 0]


def test_REG_031_diff_equals_that_of_docker_registry() -> None:
    expected = json.loads((SAMPLE / CHILD / "_diff").read_bytes())
    assert diff(sample_files(CHILD), [sample_files(ROOT)]) == expected


def test_REG_031_stored_rows_of_docker_registry_are_compared() -> None:
    child, root = (json.loads((SAMPLE / image_id / "_files").read_bytes()) for image_id in (CHILD, ROOT))
    assert diff(child, [root]) == json.loads((SAMPLE / CHILD / "_diff").read_bytes())


def test_REG_031_files_are_deleted_changed_or_created() -> None:
    image = [row("/gone", deleted=True), row("/edited", size=2), row("/back"), row("/new")]
    parent = [row("/gone"), row("/back", deleted=True)]
    root = [row("/gone"), row("/edited", size=1), row("/back"), row("/other")]
    assert diff(image, [parent, root]) == {
        "deleted": {"/gone": row("/gone", deleted=True)[1:]},
        "changed": {"/edited": row("/edited", size=2)[1:]},
        "created": {"/back": row("/back")[1:], "/new": row("/new")[1:]},
    }


def test_REG_031_nearest_ancestor_decides() -> None:
    image, has, deletes = [row("/f")], [row("/f")], [row("/f", deleted=True)]
    assert list(diff(image, [has, deletes])["changed"]) == ["/f"]
    assert list(diff(image, [deletes, has])["created"]) == ["/f"]


def test_REG_031_root_image_creates_or_deletes_all_its_files() -> None:
    assert diff([row("/a"), row("/b", deleted=True)], []) == {
        "deleted": {"/b": row("/b", deleted=True)[1:]},
        "changed": {},
        "created": {"/a": row("/a")[1:]},
    }
    assert diff([], []) == {"deleted": {}, "changed": {}, "created": {}}


def test_REG_031_last_row_with_a_name_counts() -> None:
    image = [row("/f", deleted=True), row("/f", size=3)]
    parent = [row("/f"), row("/f", deleted=True)]
    assert diff(image, [parent]) == {"deleted": {}, "changed": {}, "created": {"/f": row("/f", size=3)[1:]}}


# -- the end of the comparison


def test_comparison_is_decided_if_no_ancestor_can_change_it() -> None:
    comparison = Comparison([row("/a"), row("/b"), row("/gone", deleted=True)])
    assert not comparison.is_decided
    comparison.compare([row("/a")])
    assert not comparison.is_decided
    comparison.compare([row("/b", deleted=True)])
    assert comparison.is_decided
    assert Comparison([row("/gone", deleted=True)]).is_decided
    assert not Comparison([], [""]).is_decided, "an opaque folder may delete files of every ancestor"


def test_ancestor_that_cannot_be_read_changes_nothing() -> None:
    def rows() -> Any:
        yield row("/a")
        raise ValueError

    comparison = Comparison([row("/a")])
    with pytest.raises(ValueError):
        comparison.compare(rows())
    comparison.compare([])
    assert names(json.loads(b"".join(comparison.dump(lambda: [row("/a")])))) == {"created": ["/a"]}


# -- names


@pytest.mark.parametrize("ours", ["etc/a", "/etc/a", "./etc/a", "//etc/a"])
@pytest.mark.parametrize("theirs", ["etc/a", "/etc/a", "./etc/a", ".//./etc/a"])
def test_names_are_compared_without_leading_dot_and_slash(ours: str, theirs: str) -> None:
    assert names(diff([row(ours)], [[row(theirs)]])) == {"changed": [ours]}


def test_other_dots_are_parts_of_names() -> None:
    assert names(diff([row(".a"), row("../a"), row("b/./c")], [[row("a"), row("b/c")]])) == {
        "created": ["../a", ".a", "b/./c"]
    }


def test_name_of_a_million_folders_is_compared_at_once() -> None:
    long = "./" * 500_000 + "d/" * 500_000 + "f"
    assert list(names(diff([row(long)], [[row(long)], [row("x")]], opaque=["y"], above=[["z"], []]))) == [
        "changed"
    ]


# -- opaque folders


def test_opaque_folder_deletes_what_ancestors_have_below() -> None:
    image = [row("old"), row("old/new"), row("old/kept", size=2)]
    parent = [row("./old/"), row("./old/x"), row("./old/kept"), row("./older/y")]
    root = [row("/old/z/deep", size=7), row("/old/x")]
    found = diff(image, [parent, root], opaque=["old/"])
    assert names(found) == {
        "deleted": ["./old/x", "/old/z/deep"],
        "changed": ["old", "old/kept"],
        "created": ["old/new"],
    }
    assert found["deleted"]["/old/z/deep"] == row("", deleted=True, size=7)[1:]


def test_opaque_root_deletes_everything_of_ancestors() -> None:
    found = diff([row("a")], [[row("/"), row("a"), row("b/c")]], opaque=[""])
    assert names(found) == {"deleted": ["b/c"], "changed": ["a"]}


def test_what_ancestors_deleted_is_not_deleted_again() -> None:
    deletes = [row("d/x", deleted=True), row("d/sub", deleted=True)]
    root = [row("d/x"), row("d/sub/y"), row("d/z")]
    assert names(diff([], [deletes, root], opaque=["d"])) == {"deleted": ["d/z"]}


@pytest.mark.parametrize("between", [([row("d", deleted=True)], ()), ([], ("d",)), ([], ("/d/",))])
def test_file_in_a_folder_that_an_ancestor_emptied_is_created(between: tuple[Rows, Sequence[str]]) -> None:
    rows, opaque = between
    found = diff([row("d/a"), row("e/a")], [rows, [row("d/a"), row("e/a")]], above=[opaque, ()])
    assert names(found) == {"changed": ["e/a"], "created": ["d/a"]}


def test_opaque_folder_of_an_ancestor_does_not_hide_its_own_files() -> None:
    assert names(diff([row("d/a")], [[row("d/a")]], above=[("d",)])) == {"changed": ["d/a"]}


def test_number_of_deleted_files_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_NAMES_LIMIT", 5)
    ancestor = [row(f"d/{number}") for number in range(5)]
    assert len(diff([], [ancestor], opaque=["d"])["deleted"]) == 5
    with pytest.raises(ExpansionLimitExceeded, match="more than 5 files"):
        diff([], [[*ancestor, row("d/5")]], opaque=["d"])
    with pytest.raises(ExpansionLimitExceeded, match="more than 5 files"):
        diff([], [[row(f"{number}", deleted=True) for number in range(6)]])


def test_check_ends_a_comparison() -> None:
    def check() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        Comparison([row("a")], check=check)
