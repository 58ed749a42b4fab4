"""The code in docs/ does what the text says."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import test_layout
from support.documents import block, blocks, ini_file, section
from support.programs import PROJECT
from webtest import TestApp

from v1registry import FileStorage, MemoryStorage, Registry


def test_every_block_is_run_by_a_test_or_says_why_not() -> None:
    tests = "".join(path.read_text("utf-8") for path in PROJECT.glob("tests/test_*.py"))
    found = [item for item in blocks() if item.language != "text"]
    names = [item.name for item in found if not item.reason]

    assert len(set(names)) == len(names)
    for item in found:
        assert f'"{item.name}"' in tests or item.reason, f"{item.path.name}: {item.name or item.text}"


# -- docs/api.md


def test_the_curl_transcript_is_what_the_registry_answers() -> None:
    client = TestApp(Registry(storage=MemoryStorage()))
    commands = re.findall(r"^\$ curl -s (.*)\n(.*)\n", block("curl"), re.MULTILINE)
    assert len(commands) == 5

    for command, expected in commands:
        words = shlex.split(command)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        body = words[words.index("-d") + 1].encode() if "-d" in words else b""
        (url,) = (word for word in words if word.startswith("localhost:5000"))
        # curl sends every body as a form
        environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"} if body else {}
        answer = client.request(
            url.removeprefix("localhost:5000"), method=method, body=body, environ=environ, expect_errors=True
        )
        assert answer.text == expected, command


# -- docs/embedding.md


def test_every_way_to_make_a_registry_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V1REGISTRY_STORAGE", f"file://{tmp_path}/registry")
    path = ini_file("serve-ini", tmp_path)
    code = block("make").replace("/srv", str(tmp_path)).replace("/etc/v1registry.ini", str(path))

    for line in code.splitlines():
        if line.startswith("Registry"):
            made = eval(
                line, {"Registry": Registry, "FileStorage": FileStorage, "MemoryStorage": MemoryStorage}
            )
            assert isinstance(made, Registry)
    exec(code, {})


@pytest.mark.parametrize(
    ("name", "application", "text"),
    [("in-front", "app.wsgi_app", "Hello"), ("environ", "application", "Hello")],
)
def test_an_application_keeps_its_own_paths(
    name: str, application: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V1REGISTRY_STORAGE", f"file://{tmp_path}/registry")
    names: dict[str, object] = {"__name__": "site"}
    exec(block(name), names)
    client = TestApp(eval(application, names))

    assert client.get("/").text == text
    assert client.get("/v1/_ping").json == {}


def test_user_of_the_application_writes_to_its_groups() -> None:
    names: dict[str, object] = {}
    exec(block("environ"), names)
    client = TestApp(names["application"])

    assert client.put("/v1/repositories/tools/app/", b"[]").status_int == 200
    assert client.put("/v1/repositories/other/app/", b"[]", expect_errors=True).status_int == 403


def test_a_function_checks_users() -> None:
    names: dict[str, object] = {}
    exec(block("callback"), names)
    client = TestApp(names["application"])

    client.authorization = ("Basic", ("mira", "correct horse"))
    assert client.get("/v1/users/").text == '"OK"'
    client.authorization = ("Basic", ("mira", "wrong"))
    assert client.get("/v1/users/", expect_errors=True).status_int == 401


# -- docs/internals.md


@pytest.mark.parametrize(
    "path",
    [
        *sorted(PROJECT.glob("docs/*.md")),
        *sorted(PROJECT.glob("docs/testing/*.md")),
        PROJECT / "CONTRIBUTING.md",
    ],
    ids=lambda path: path.name,
)
def test_every_module_that_a_document_names_exists(path: Path) -> None:
    for named in re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|txt|md))`", path.read_text("utf-8")):
        assert any((folder / named).exists() for folder in (PROJECT, PROJECT / "v1registry")), named


def test_every_folder_of_the_package_is_in_the_map() -> None:
    page = section("docs/internals.md", "Map")
    folders = {found.parent.name for found in PROJECT.glob("v1registry/*/__init__.py")}

    assert set(re.findall(r"^\| `(\w+)/`", page, re.MULTILINE)) - {"fakes"} == folders


def test_the_table_of_imports_is_the_one_that_is_tested() -> None:
    page = section("docs/internals.md", "Map").partition("### Who may import whom")[2]
    (ground,) = re.findall(r"^Every folder may import (.*)$", page, re.MULTILINE)
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", page, re.MULTILINE)
    names = re.compile(r"`(\w+)`")

    assert set(names.findall(ground)) == test_layout.GROUND
    assert {
        folder: set(names.findall(others)) for folders, others in rows for folder in names.findall(folders)
    } == test_layout.MAY_IMPORT


# -- docs/settings.md


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_settings", PROJECT / "docs" / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_current() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text("utf-8")

    assert page == maker().settings_page(), "run: python docs/make_settings.py"
