"""Each number of the checklists in docs/protocol/ has a test that bears it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENTRY = re.compile(r"^- ([A-Z]{3})-(\d{3}) (.*)$", re.MULTILINE)
NAMED = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
NUMBERED = re.compile(r"_([A-Z]{3})_(\d{3}(?:_\d{3})*)(?=_)")
REPLACED = re.compile(r"\(replaced by (.*)\)")


def entries() -> dict[str, str]:
    """Return the text of each number."""
    documents = (ROOT / "docs" / "protocol").glob("*.md")
    return {
        f"{part}-{number}": text
        for path in documents
        for part, number, text in ENTRY.findall(path.read_text("utf-8"))
    }


def numbers_in(name: str) -> set[str]:
    """Return the numbers in the name of a test. It may bear several, as in ``test_CLI_016_017_search``."""
    return {f"{part}-{number}" for part, found in NUMBERED.findall(name) for number in found.split("_")}


def numbers_of_tests() -> set[str]:
    """Return the numbers that tests bear, those of the contracts for storages and backends too."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "fakes").rglob("*.py")]
    return {
        number
        for path in files
        for name in NAMED.findall(path.read_text("utf-8"))
        for number in numbers_in(name)
    }


def test_names_give_their_numbers() -> None:
    assert numbers_in("test_REG_008_json_with_a_different_id_is_400") == {"REG-008"}
    assert numbers_in("test_CLI_016_017_podman_search") == {"CLI-016", "CLI-017"}
    assert numbers_in("test_json_is_400") == set()


def test_each_number_has_a_test() -> None:
    found = entries()
    assert len(found) >= 200
    needed = {number for number, text in found.items() if not REPLACED.fullmatch(text)}
    assert needed - numbers_of_tests() == set()


def test_replaced_numbers_name_what_replaced_them() -> None:
    found = entries()
    replaced = {number: REPLACED.fullmatch(text) for number, text in found.items()}
    names = {number: re.findall(r"[A-Z]{3}-\d{3}", match[1]) for number, match in replaced.items() if match}
    assert names
    assert [number for number, others in names.items() if not others or set(others) - set(found)] == []


def test_no_test_bears_a_missing_number() -> None:
    assert numbers_of_tests() - set(entries()) == set()
