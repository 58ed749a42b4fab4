"""Which part of the package may import which: lazy imports and those for type checkers count too."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"v1registry": ROOT / "v1registry", "v1registry_fakes": ROOT / "fakes"}

#: What every folder may import.
GROUND = {
    "storage", "rights", "names", "reserved_names", "errors", "log", "settings", "paths", "signing",
    "clock", "version",
}  # fmt: skip

#: Folder or module at the top -> the others that it may import, besides GROUND.
MAY_IMPORT: dict[str, set[str]] = {
    "wsgi": set(),
    "layers": set(),
    "archives": {"layers"},
    "client": {"layers", "archives"},
    "accounts": set(),
    "registry": {"wsgi", "layers"},
    "access": {"wsgi", "registry", "accounts"},
    "search": {"registry"},
    "distribution": {"wsgi", "registry", "layers", "access", "archives", "search"},
    "hub": {"wsgi", "registry", "access", "accounts", "search"},
    "oauth": {"wsgi", "access", "accounts"},
    "web": {
        "wsgi", "layers", "registry", "access", "accounts", "search", "distribution", "hub", "oauth",
        "housekeeping",
    },
    "openers": {"access", "accounts", "registry", "search"},
    "account_assembly": {"openers", "registry", "access", "accounts"},
    "assembly": {
        "account_assembly", "openers", "wsgi", "registry", "access", "accounts", "search", "distribution",
        "hub", "oauth", "web", "mirror",
    },
    "app": {"assembly", "wsgi", "accounts", "oauth", "web", "housekeeping"},
    "mirror": {"client", "wsgi", "registry", "access", "distribution", "archives", "layers", "hub"},
    "housekeeping": {"layers", "registry", "access", "distribution"},
    "cli": {
        "wsgi", "app", "assembly", "openers", "client", "access", "accounts", "oauth", "registry",
        "housekeeping", "distribution", "search",
    },
    "fakes": {
        "app", "wsgi", "layers", "registry", "accounts", "oauth", "distribution", "archives", "client", "cli",
        "search",
    },
}  # fmt: skip

#: The ground floor itself, from bottom to top.
GROUND_MAY_IMPORT: dict[str, set[str]] = {
    "version": set(),
    "log": set(),
    "paths": set(),
    "errors": set(),
    "names": {"errors"},
    "rights": {"names", "errors", "storage"},
    "converters": {"names", "paths"},
    "setting_rows": {"converters"},
    "settings": {"setting_rows"},
    "clock": set(),
    "storage": {"log", "clock"},
    "signing": {"storage"},
    "reserved_names": {"errors", "log", "storage"},
}


def modules() -> dict[str, Path]:
    """Return the modules of both packages: dotted name -> file."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of both packages that a module imports, wherever the statement stands."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{source}.{alias.name}"
                if target in known:
                    yield target
                elif source in known:
                    yield source


KNOWN = modules()
IMPORTS = {name: set(imports_of(name, path, KNOWN)) - {name} for name, path in KNOWN.items()}


def part_of(module: str) -> str:
    """Return the folder or top module to which a module belongs.

    >>> part_of("v1registry.web.views.texts"), part_of("v1registry.app"), part_of("v1registry_fakes.images")
    ('web', 'app', 'fakes')
    """
    package, _, rest = module.partition(".")
    return "fakes" if package == "v1registry_fakes" else rest.partition(".")[0]


@pytest.mark.parametrize("part", sorted({part_of(name) for name in KNOWN} - {""}))
def test_a_part_imports_only_what_it_may(part: str) -> None:
    allowed = GROUND_MAY_IMPORT[part] if part in GROUND_MAY_IMPORT else MAY_IMPORT[part] | GROUND
    if part == "fakes":
        # users of the package import its public names
        allowed = allowed | {""}
    wrong = {
        f"{name} imports {target}"
        for name, targets in IMPORTS.items()
        for target in targets
        if part_of(name) == part and part_of(target) not in allowed | {part}
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_allowed_imports_have_no_circle() -> None:
    above = {part: allowed | GROUND for part, allowed in MAY_IMPORT.items()}
    assert list(TopologicalSorter(above | GROUND_MAY_IMPORT).static_order())


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_have_no_circle(package: str) -> None:
    """A package's ``__init__`` that only names the public parts of the folder is no part of a circle."""
    graph = {name: targets for name, targets in IMPORTS.items() if name.partition(".")[0] == package}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_tables_name_existing_parts() -> None:
    assert set(MAY_IMPORT) | set(GROUND_MAY_IMPORT) == {part_of(name) for name in KNOWN} - {""}


def test_webob_is_imported_by_one_module() -> None:
    """Its warning on Python 3.11 and 3.12 is suppressed there."""
    found = {
        name
        for name, path in KNOWN.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("webob"))
        or (isinstance(node, ast.Import) and any(alias.name.startswith("webob") for alias in node.names))
    }
    assert found == {"v1registry.wsgi.framework"}


def test_modules_have_at_most_400_lines_and_contract_suites_500() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    sizes_lines = {
        path: len((ROOT / path).read_bytes().splitlines()) for path in listed if (ROOT / path).is_file()
    }
    long = [
        f"{path}: {lines}"
        for path, lines in sizes_lines.items()
        if lines > (500 if path.startswith("fakes/contracts/") else 400)
    ]
    assert sizes_lines
    assert not long, "split by subject: " + ", ".join(long)
