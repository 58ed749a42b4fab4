"""Settings from the environment, ini files and PasteDeploy."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from paste.deploy import loadapp, loadfilter
from support.wsgi_client import call

from v1registry import Registry, SettingsError
from v1registry.settings import from_environment, from_ini

# -- where settings come from


def test_the_environment_names_settings_in_capitals() -> None:
    environment = {
        "V1REGISTRY_STORAGE": "memory:",
        "V1REGISTRY_SEARCH_LIMIT": "7",
        "OTHER": "x",
        "v1registry_message": "x",
    }
    assert from_environment(environment) == {"storage": "memory:", "search_limit": "7"}
    assert Registry.from_environment(environment).settings.search_limit == 7


def test_the_default_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V1REGISTRY_STORAGE", "memory:")
    monkeypatch.setenv("V1REGISTRY_MESSAGE", "from the environment")
    assert Registry.from_environment().settings.message == "from the environment"


def test_an_unknown_variable_with_the_prefix_is_an_error() -> None:
    with pytest.raises(SettingsError, match="did you mean storage"):
        Registry.from_environment({"V1REGISTRY_STORAG": "memory:"})


def test_an_ini_file_has_a_section(tmp_path: Path) -> None:
    path = tmp_path / "registry.ini"
    path.write_text(
        "[other]\nx = 1\n[v1registry]\nstorage = memory:\nmessage = 100%% of grüße %(x)s\nSEARCH_LIMIT = 7\n"
    )
    assert from_ini(path) == {"storage": "memory:", "message": "100%% of grüße %(x)s", "search_limit": "7"}
    assert Registry.from_ini(path).settings.search_limit == 7


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[other]\n", "there is no section [v1registry]"),
        (b"", "there is no section [v1registry]"),
        (b"storage = memory:\n", ", line 1: settings must be below a line [v1registry]"),
        (b"[v1registry]\nstorage = a\nstorage = b\n", ", line 3: storage must be given once"),
        (b"[v1registry]\n[v1registry]\n", ", line 2: the section [v1registry] must be given once"),
        (b"[v1registry]\nstorage: memory:\nauth\nsecret hunter2\n", ", line 3, 4: must be KEY = VALUE"),
        (b"[v1registry]\nmessage = \xff\n", ": must be UTF-8: invalid start byte at byte 23"),
    ],
)
def test_an_invalid_ini_file_is_reported_with_its_path(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "registry.ini"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        from_ini(path)
    assert str(path) in str(raised.value)
    assert text in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_missing_ini_file_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.ini"):
        Registry.from_ini(tmp_path / "missing.ini")


PASTE_INI = """
[DEFAULT]
debug = true

[app:main]
use = egg:v1registry
storage = memory:
message = from paste

[app:site]
paste.app_factory = a_site:make

[filter:registry]
use = egg:v1registry
storage = memory:

[pipeline:both]
pipeline = registry site

[app:wrong]
use = egg:v1registry
storage = memory:
serach_limit = 5
"""


@pytest.fixture
def paste_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("a_site")

    def make(global_conf: object, **local_conf: str) -> Any:
        def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"the site"]

        return site

    module.make = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_site", module)
    path = tmp_path / "paste.ini"
    path.write_text(PASTE_INI)
    return f"config:{path}"


def test_a_paste_app_is_the_registry(paste_uri: str) -> None:
    assert call(loadapp(paste_uri), "GET", "/").body == b'"from paste"'


def test_a_paste_filter_is_in_front_of_an_app(paste_uri: str) -> None:
    app = loadapp(paste_uri, name="both")
    assert call(app, "GET", "/").body == b"the site"
    assert call(app, "GET", "/v1/_ping").body == b"{}"
    assert isinstance(loadfilter(paste_uri, name="registry")(app), Registry)


def test_a_paste_section_with_an_unknown_key_is_an_error(paste_uri: str) -> None:
    with pytest.raises(SettingsError, match="did you mean search_limit"):
        loadapp(paste_uri, name="wrong")
