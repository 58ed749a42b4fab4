"""docs/testing.md and its pages: their tests pass, and their tables have every fixture."""

from __future__ import annotations

import re
import shutil

import pytest
from support.documents import block, blocks, section
from support.programs import PROJECT
from v1registry_fakes import contracts

pytest_plugins = ["pytester"]

PAGES = sorted(PROJECT.glob("docs/testing/*.md"))

#: The modules of tests in the pages, as they are named there.
MODULES = [
    "testing-first",
    "testing-oci",
    "testing-engine",
    "testing-options",
    "testing-layer",
    "testing-filling",
    "testing-archive",
    "testing-unfinished",
    "testing-requests",
    "testing-faults",
    "testing-profiles",
    "testing-clock",
    "testing-tls",
    "testing-httpx",
    "testing-scopes",
    "testing-unittest",
    "testing-oauth",
    "testing-replay",
    "testing-contract",
    "testing-engine-deploy",
    "testing-engine-rules",
    "testing-engine-clock",
    "testing-engine-mirrors",
    "testing-engine-old",
    "testing-engine-environ",
    "testing-engine-faults",
]


def test_the_tests_in_the_pages_pass(pytester: pytest.Pytester) -> None:
    files = {name.replace("-", "_"): block(name) for name in MODULES}
    pytester.makepyfile(**{f"test_{name}": text for name, text in files.items()})
    contract = [name for name in dir(contracts.StorageContract) if name.startswith("test_")]

    outcomes = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "0").parseoutcomes()

    assert set(outcomes) <= {"passed"}
    assert outcomes["passed"] >= sum(text.count("def test_") for text in files.values()) + len(contract)


@pytest.mark.real
def test_the_command_line_of_docker_runs_as_documented(pytester: pytest.Pytester) -> None:
    if shutil.which("docker") is None:
        pytest.skip("needs the command docker: apt-get install docker-cli")
    pytester.makepyfile(block("testing-engine-command-line"))

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_fake_works_without_a_framework() -> None:
    names: dict[str, object] = {}
    exec(block("testing-without-framework"), names)

    assert list(eval("main()", names)) == ["1.0"]


def test_every_block_of_the_pages_is_named_for_them() -> None:
    names = [item.name for item in blocks() if item.path in PAGES and item.language != "text"]

    assert names
    assert [name for name in names if not name.startswith("testing-")] == []


def fixtures() -> dict[str, tuple[str, str]]:
    """Return each fixture of the plugin with its scope and the type of its value."""
    text = (PROJECT / "fakes" / "plugin.py").read_text("utf-8")
    found = re.findall(
        r'^@pytest\.fixture(?:\(scope="(\w+)"\))?\ndef (\w+)\([^)]*\) -> (?:Iterator\[)?([\w.]+)',
        text,
        re.MULTILINE,
    )
    return {name: (scope or "function", kind) for scope, name, kind in found}


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Return each fixture of the tables in a text with its scope and the first type that its row names."""
    found = re.findall(r"^\| `(\w+)` \| (function|class|module|session) \| `([\w.]+)`", text, re.MULTILINE)
    return {name: (scope, kind) for name, scope, kind in found}


def test_the_table_of_fixtures_has_each_with_scope_and_type() -> None:
    assert len(fixtures()) > 10
    assert rows(section("docs/testing.md", "Fixtures")) == fixtures()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_repeats_the_scopes_and_types_of_its_fixtures(path) -> None:
    found = rows(path.read_text("utf-8"))

    assert found.items() <= fixtures().items()


def test_every_page_is_linked_from_the_first() -> None:
    linked = re.findall(r"\]\(testing/([\w-]+\.md)\)", section("docs/testing.md", "Pages"))

    assert sorted(linked) == [path.name for path in PAGES]
