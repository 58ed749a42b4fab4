"""The tables of members in docs/testing/ say which arguments and defaults the fakes have."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator

import pytest
from support.programs import PROJECT
from v1registry_fakes import FakeEngine, FakeRegistry

#: page -> the class whose members its table has
PAGES = {
    "fake-registry.md": FakeRegistry,
    "filling.md": FakeRegistry,
    "requests.md": FakeRegistry,
    "docker-engine.md": FakeEngine,
}

#: Arguments of FakeEngine.fail that faults.md describes, and one that is described with the status.
_DESCRIBED_ELSEWHERE = {"method", "path", "route", "after", "times", "probability", "seed", "error"}

#: What a document writes for a default that is too long for it.
_LEFT_OUT = "..."


def documented() -> Iterator[tuple[str, str]]:
    """Return each page with a signature of its tables, such as ``image(name)``."""
    for page in PAGES:
        text = (PROJECT / "docs" / "testing" / page).read_text("utf-8")
        for cell in re.findall(r"^\| (`\w+\([^|]*) \| [^|]+ \| .*\|$", text, re.MULTILINE):
            for signature in re.findall(r"`(\w+\([^`…]*\))`", cell):
                yield page, signature


def arguments(signature: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the name of a documented method, and each argument with its kind and default."""
    (function,) = ast.parse(f"def {signature}: ...").body
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    before = [""] * (len(given.args) - len(given.defaults)) + [ast.unparse(each) for each in given.defaults]
    found = [(each.arg, "any", default) for each, default in zip(given.args, before, strict=True)]
    if given.vararg is not None:
        found.append((given.vararg.arg, "many", ""))
    found += [
        (each.arg, "keyword", ast.unparse(default) if default else "")
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    return function.name, found


_KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "any",
    inspect.Parameter.VAR_POSITIONAL: "many",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
}


@pytest.mark.parametrize(("page", "signature"), list(documented()))
def test_a_documented_signature_is_that_of_the_method(page: str, signature: str) -> None:
    name, found = arguments(signature)
    real = list(inspect.signature(getattr(PAGES[page], name)).parameters.values())[1:]

    assert [(argument, kind) for argument, kind, _ in found] == [
        (each.name, _KINDS[each.kind]) for each in real
    ]
    for (_, _, default), each in zip(found, real, strict=True):
        if default != _LEFT_OUT:
            assert default == ("" if each.default is each.empty else repr(each.default)), each.name


def test_every_public_member_is_in_a_table() -> None:
    texts = {page: (PROJECT / "docs" / "testing" / page).read_text("utf-8") for page in [*PAGES, "faults.md"]}
    registry = "".join(texts[page] for page in texts if page != "docker-engine.md")
    engine = texts["docker-engine.md"] + texts["requests.md"]

    for kind, text in ((FakeRegistry, registry), (FakeEngine, engine)):
        names = {name for name in dir(kind) if not name.startswith("_")}
        assert {name for name in names if not re.search(rf"`{name}\b", text)} == set()


def first_cells(page: str, heading: str) -> set[str]:
    """Return the names in the first column of the tables below a heading."""
    text = (PROJECT / "docs" / "testing" / page).read_text("utf-8").partition(f"{heading}\n")[2]
    cells = re.findall(r"^\| (`[^|]*) \|", text.partition("\n## ")[0], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


@pytest.mark.parametrize(
    ("method", "page", "heading"),
    [
        (FakeRegistry.add_image, "filling.md", "| argument of `add_image` | type | meaning |"),
        (FakeRegistry.fail, "faults.md", "## Faults"),
        (FakeEngine.__init__, "docker-engine.md", "## Options"),
        (FakeEngine.on_run, "docker-engine.md", "| argument | type | default | meaning |"),
        (FakeEngine.on_exec, "docker-engine.md", "| argument | type | default | meaning |"),
        (FakeEngine.fail, "docker-engine.md", "## Faults"),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_every_argument_is_documented(method: Callable[..., object], page: str, heading: str) -> None:
    names = set(inspect.signature(method).parameters) - {"self"}
    described = _DESCRIBED_ELSEWHERE if method == FakeEngine.fail else set()

    assert names - first_cells(page, heading) <= described
