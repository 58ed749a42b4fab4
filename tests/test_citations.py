"""Every citation of the protocol, and every link in the documentation, leads somewhere."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROTOCOL = ROOT / "docs" / "protocol"

#: Documents of other projects, which docs/protocol/ and docstrings name as sources.
FOREIGN = {"hub_registry_spec", "docker-io_api", "registry_api", "docker-io_accounts_api"}
FOREIGN |= {"docker_io_oauth_api", "docker_io_accounts_api", "v1", "config", "layer"}

NUMBER = r"\d+[a-z]?(?:\.\d+)*(?![\w.]*\w)"
CITATION = re.compile(
    rf"([\w-]+)\.md\b(?:`` |` | )?(?:row |section )?((?:{NUMBER})(?:(?:,? and |, | to | or ){NUMBER})*)?"
)
REVERSED_CITATION = re.compile(rf"\b({NUMBER}) of ([\w-]+)\.md\b")
OWN_SECTION = re.compile(rf"\bsections? ({NUMBER}(?:(?:, | and | to ){NUMBER})*)")
CHECKLIST_ID = re.compile(r"\b(?:test_)?((?:REG|HUB|OAU|STO|CLI|ENG|DST|RMT)[-_]\d{3})(?!\d)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@cache
def texts() -> dict[str, str]:
    """Return path -> text of what people wrote: code, tests and documents, without test data in JSON."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    suffixes = {".py", ".md", ".cfg", ".toml", ".txt", ".html", ".js", ".css", ".ini", ".sh", ".example"}
    found = [ROOT / path for path in sorted(set(listed)) if Path(path).suffix in suffixes]
    found = [path for path in found if path.is_file() and path != Path(__file__)]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in found}


def unwrapped(text: str) -> str:
    """Return a text with wrapped lines joined, comment marks left out, so that a citation may be wrapped."""
    return re.sub(r"\n[ \t]*(?:#:? |\* )?[ \t]*(?=\S)", " ", text)


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+[a-z]?(?:\.\d+)*", text)


@cache
def sections(name: str) -> Counter[str]:
    """Return the numbers of the headings of a document of the protocol."""
    text = (PROTOCOL / f"{name}.md").read_text("utf-8")
    return Counter(re.findall(r"^#+ (\d+[a-z]?(?:\.\d+)*)\.? ", text, re.MULTILINE))


@cache
def checklist() -> Counter[str]:
    """Return the ids of all checklists, each as it is defined."""
    text = "\n".join(path.read_text("utf-8") for path in PROTOCOL.glob("*.md"))
    return Counter(re.findall(r"^- ([A-Z]{3}-\d{3}) ", text, re.MULTILINE))


def slug(heading: str) -> str:
    """Return the anchor that hosts of Markdown give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    without_code = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)}


DOCUMENTS = sorted(path.stem for path in PROTOCOL.glob("*.md"))


def broken_citations(path: str, text: str) -> list[str]:
    """Return the citations in a text of sections that do not exist."""
    cited = [(name, found or "") for name, found in CITATION.findall(unwrapped(text))]
    cited += [(name, found) for found, name in REVERSED_CITATION.findall(unwrapped(text))]
    if path.startswith("docs/protocol/"):
        cited += [(Path(path).stem, found) for found in OWN_SECTION.findall(unwrapped(text))]
    broken = []
    for name, found in cited:
        if name in DOCUMENTS and name != "README":
            broken += [
                f"{path}: {name}.md {number}" for number in numbers(found) if number not in sections(name)
            ]
        elif found and name not in FOREIGN:
            broken.append(f"{path}: {name}.md {found}")
    return broken


def test_every_cited_section_exists() -> None:
    found = texts()

    assert sum(len(CITATION.findall(text)) for text in found.values()) > 300
    assert [line for path, text in found.items() for line in broken_citations(path, text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "(registry.md 99)",
        "(registry.md 4.1, 4.99)",
        "(oauth.md 3.1 to 3.99)",
        "(hub.md 6.3; decisions.md 99)",
        "(decisions.md\n    # 2, 99)",
        "(decisions.md 8b)",
        "(regsitry.md 4.1)",
        "(4.99 of registry.md)",
    ],
)
def test_a_citation_of_a_missing_section_is_found(text: str) -> None:
    assert len(broken_citations("any.py", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "(registry.md 4.1, after docker-registry 0.9.1)",
        "(hub.md 3 to 5 and 7)",
        "(decisions.md 2, 3, 8a)",
        "see registry.md.",
    ],
)
def test_a_citation_of_an_existing_section_is_accepted(text: str) -> None:
    assert broken_citations("any.py", text) == []


def test_every_named_document_exists() -> None:
    known = FOREIGN | {path.stem for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]}

    named = {
        f"{path}: {name}.md"
        for path, text in texts().items()
        for name, _ in CITATION.findall(text)
        if name not in known
    }

    assert named == set()


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name not in ("README", "real-clients")])
def test_sections_are_numbered_once(name: str) -> None:
    assert [number for number, count in sections(name).items() if count > 1] == []


def test_checklist_ids_are_defined_once_and_cited_ones_exist() -> None:
    cited = {
        (path, found.replace("_", "-"))
        for path, text in texts().items()
        for found in CHECKLIST_ID.findall(text)
    }

    assert len(cited) > 200
    assert [(path, name) for path, name in sorted(cited) if name not in checklist()] == []
    assert [name for name, count in checklist().items() if count > 1] == []


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda path: path.name
)
def test_links_of_documents_lead_somewhere(path: Path) -> None:
    without_code = re.sub(
        r"^```.*?^```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in LINK.findall(without_code):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        linked = path if not place else (path.parent / place).resolve()
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target
