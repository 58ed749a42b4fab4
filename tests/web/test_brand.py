"""The name of the registry on its pages, and templates that extend the built-in ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.reader import Reader, words

from v1registry import MemoryStorage, Registry, SettingsError


def reader(**options: str) -> Reader:
    return Reader(Registry(storage=MemoryStorage(), **options))  # type: ignore[arg-type]


def test_the_title_is_in_the_head_and_in_the_title() -> None:
    page = reader(title="Acme <images>").page("/")
    assert words(page.select_one(".brand")) == "Acme <images>"
    assert words(page.title) == "Repositories – Acme <images>"


def test_the_title_is_registry_by_default() -> None:
    page = reader().page("/repositories/absent", 404)
    assert words(page.select_one(".brand")) == "Registry"
    assert words(page.title) == "Repository not found – Registry"


@pytest.mark.parametrize("title", ["", " ", "a\nb", "x" * 61, "\x1b[31m"])
def test_a_title_is_one_short_line(title: str) -> None:
    with pytest.raises(SettingsError, match="title: must be a line of 1 to 60 characters"):
        reader(title=title)


def test_a_template_extends_ours_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text(
        '{% extends "v1registry/base.html" %}{% block brand %}<b class="brand">Acme</b>{% endblock %}'
    )
    page = reader(templates=str(tmp_path)).page("/")
    assert words(page.select_one(".top .brand")) == "Acme"
    assert words(page.h1) == "Repositories"


def test_a_broken_macro_file_falls_back_to_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "_parts.html").write_text("{% macro turning(")
    page = reader(templates=str(tmp_path)).page("/")
    assert words(page.h1) == "Repositories"
    assert "the built-in templates are used" in caplog.text


def test_a_broken_template_has_one_traceback_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "repositories.html").write_text("{{ nothing.of.the.kind }}")
    browser = reader(templates=str(tmp_path))
    for _ in range(3):
        assert words(browser.page("/").h1) == "Repositories"
    lines = [record for record in caplog.records if "cannot be rendered" in record.message]
    assert [record.exc_info is not None for record in lines] == [True, False, False]


def test_an_unknown_static_file_in_a_template_falls_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "base.html").write_text("{{ static('absent.css') }}")
    assert words(reader(templates=str(tmp_path)).page("/").h1) == "Repositories"
    assert "absent.css" in caplog.text
