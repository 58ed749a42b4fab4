"""Settings from keywords and mappings, storages, backends and policies, and their errors."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from v1registry import FileStorage, MemoryStorage, Registry, Settings, SettingsError
from v1registry.openers import open_storage
from v1registry.settings import descriptions, from_mapping


def settings_of(**options: Any) -> Settings:
    return from_mapping({"storage": "memory:", **options})


def problems_of(**options: Any) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        from_mapping({"storage": "memory:", **options})
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


# -- keys


def test_without_options_all_settings_have_their_defaults() -> None:
    assert settings_of() == Settings()


def test_every_setting_has_a_valid_default_and_a_description() -> None:
    assert list(descriptions()) == [field.name for field in dataclasses.fields(Settings)]
    for name, (default, description) in descriptions().items():
        assert description
        text = " ".join(default) if isinstance(default, tuple) else str(default)
        assert settings_of(**{name: text}) == Settings(), name
        assert settings_of(**{name: default}) == Settings(), name


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("storag", "storage"),
        ("public-url", "public_url"),
        ("publicurl", "public_url"),
        ("serach_limit", "search_limit"),
        ("token_lifetime", "token_lifetime_s"),
        ("PUBLIC_URL", "public_url"),
    ],
)
def test_an_unknown_key_suggests_the_nearest_known_one(key: str, nearest: str) -> None:
    assert problems_of(**{key: "x"}) == [f"{key}: there is no such setting; did you mean {nearest}?"]


def test_an_unknown_key_without_a_near_one_lists_all() -> None:
    (problem,) = problems_of(xyzzy="x")
    assert problem.startswith("xyzzy: there is no such setting; known: storage, auth, ")
    assert problem.endswith(list(descriptions())[-1])


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        Registry.from_settings(
            {"v2": "maybe", "xyzzy": "1", "search_limit": "0", "public_url": "ftp://x", "storage": "nothing"}
        )
    keys = [problem.partition(":")[0] for problem in raised.value.problems]
    assert sorted(keys) == ["public_url", "search_limit", "storage", "v2", "xyzzy"]


def test_settings_that_exclude_each_other_are_an_error() -> None:
    problems = problems_of(layer_redirect="https://cdn.example.com/", x_accel_redirect="/layers")
    assert problems == ["layer_redirect and x_accel_redirect exclude each other"]
    problems = problems_of(x_accel_redirect="/layers", x_sendfile="yes")
    assert problems == ["x_accel_redirect and x_sendfile exclude each other"]


@pytest.mark.parametrize("pages", ["/accounts/activate", "/accounts/activate/registry"])
def test_pages_below_link_path_are_an_error(pages: str) -> None:
    assert problems_of(pages=pages) == [
        "pages and link_path exclude each other: pages must not be below the path of links in mails"
    ]


def test_a_missing_folder_of_templates_is_an_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert problems_of(templates=missing) == [f"templates: must be an existing directory, not {missing!r}"]
    assert from_mapping({"templates": str(tmp_path)}).templates == str(tmp_path)


# -- values


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("search_limit", "1", 1),
        ("search_limit", " 250 ", 250),
        ("token_lifetime_s", "999999999", 999999999),
        ("max_document_bytes", "0", 0),
        ("max_document_bytes", "16777216", 16 << 20),
        ("max_document_bytes", "16M", 16 << 20),
        ("max_document_bytes", "16 MiB", 16 << 20),
        ("max_document_bytes", "16mb", 16 << 20),
        ("max_expanded_bytes", "2t", 2 << 40),
        ("max_refused_bytes", "3 k", 3 << 10),
        ("max_refused_bytes", "3B", 3),
        ("secret", "old, new", ("old", "new")),
        ("secret", "old  new", ("old", "new")),
        ("secret", "", ()),
        ("trusted_proxies", "127.0.0.1, 10.0.0.0/8 ::1", ("127.0.0.1", "10.0.0.0/8", "::1")),
        ("public_url", "https://example.com:8443/prefix", "https://example.com:8443/prefix"),
        ("public_url", "HTTPS://Example.com", "https://Example.com"),
        ("public_url", "", ""),
        ("endpoints", "a.example.com, b:5000,[::1]:1", "a.example.com, b:5000,[::1]:1"),
        ("v2", "absent", "absent"),
        ("message", "grüße", "grüße"),
        ("x_accel_redirect", "/internal/layers/", "/internal/layers/"),
    ],
)
def test_text_becomes_a_value(key: str, text: str, value: object) -> None:
    assert getattr(settings_of(**{key: text}), key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("search_limit", 7),
        ("max_document_bytes", 0),
        ("secret", ("old", "new")),
        ("secret", []),
        ("trusted_proxies", ["127.0.0.1"]),
        ("message", "x"),
    ],
)
def test_a_value_of_the_right_type_is_accepted(key: str, value: Any) -> None:
    accepted = getattr(settings_of(**{key: value}), key)
    assert accepted == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("search_limit", "0", "must be a whole number above 0, not '0'"),
        ("search_limit", "-1", "must be a whole number above 0, not '-1'"),
        ("search_limit", "1.5", "must be a whole number above 0, not '1.5'"),
        ("search_limit", "", "must be a whole number above 0, not ''"),
        ("search_limit", 0, "must be a whole number above 0, not 0"),
        ("token_lifetime_s", -1, "must be a whole number above 0, not -1"),
        ("search_limit", 10**9, "must be a whole number above 0, not 1000000000"),
        ("search_limit", True, "must be text or int, not True"),
        ("search_limit", None, "must be text or int, not None"),
        ("search_limit", 1.0, "must be text or int, not 1.0"),
        ("max_document_bytes", "-1", "must be a number of bytes, such as 16777216, 16M or 64GiB, not '-1'"),
        ("max_document_bytes", -1, "must be a number of bytes, such as 16777216, 16M or 64GiB, not -1"),
        ("max_document_bytes", "16 X",
         "must be a number of bytes, such as 16777216, 16M or 64GiB, not '16 X'"),
        ("v2", "Ping", "must be one of on, pull, ping, absent, pass, not 'Ping'"),
        ("v2", None, "must be text or str, not None"),
        ("tags_form", "list", "must be one of object, hub, not 'list'"),
        ("search_names", "", "must be one of auto, short, long, not ''"),
        ("message", 5, "must be text or str, not 5"),
        ("public_url", "example.com",
         "must be a URL such as https://registry.example.com, not 'example.com'"),
        ("public_url", "https://", "must be a URL such as https://registry.example.com, not 'https://'"),
        ("public_url", "https://x/?q", "must be a URL such as https://registry.example.com, not 'https://x/?q'"),
        ("public_url", "http://[", "must be a URL such as https://registry.example.com, not 'http://['"),
        ("public_url", "http://x:y", "must be a URL such as https://registry.example.com, not 'http://x:y'"),
        ("public_url", "http://x y", "must be a URL such as https://registry.example.com, not 'http://x y'"),
        ("public_url", "http://x\r\nSet-Cookie: x",
         "must be a URL such as https://registry.example.com, not 'http://x\\r\\nSet-Cookie: x'"),
        ("endpoints", "http://x", "must be host[:port], or several with commas, not 'http://x'"),
        ("endpoints", "a,,b", "must be host[:port], or several with commas, not 'a,,b'"),
        ("endpoints", "a\r\nSet-Cookie: x",
         "must be host[:port], or several with commas, not 'a\\r\\nSet-Cookie: x'"),
        ("x_accel_redirect", "layers", "must be an internal location such as /layers, not 'layers'"),
        ("x_accel_redirect", "/a\nb", "must be an internal location such as /layers, not '/a\\nb'"),
        ("trusted_proxies", "localhost",
         "must be IP addresses or networks, not 'localhost'"),
        ("trusted_proxies", "10.0.0.1/8",
         "must be IP addresses or networks such as 10.0.0.0/8, not '10.0.0.1/8'"),
        ("trusted_proxies", ["x"], "must be IP addresses or networks, not 'x'"),
        ("trusted_proxies", {"10.0.0.1"}, "must be text or tuple, not {'10.0.0.1'}"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_reported_with_the_expected_one(key: str, value: Any, expected: str) -> None:
    assert problems_of(**{key: value}) == [f"{key}: {expected}"]


@pytest.mark.parametrize("value", [["two words"], ["a,b"], [""], 5, None, b"x"])
def test_an_invalid_secret_is_not_shown(value: Any) -> None:
    (problem,) = problems_of(secret=value)
    assert problem.startswith("secret: ")
    assert repr(value) not in problem
    assert "two words" not in problem


def test_keywords_are_checked_as_mappings_are() -> None:
    with pytest.raises(SettingsError, match="search_limit: must be a whole number above 0"):
        Registry(storage=MemoryStorage(), search_limit=0)
    with pytest.raises(SettingsError, match="did you mean search_limit"):
        Registry(storage=MemoryStorage(), search_limits=5)


# -- storages


def test_a_storage_is_a_url_or_an_object(tmp_path: Path) -> None:
    storage = MemoryStorage()
    assert open_storage(storage) is storage
    assert isinstance(open_storage("memory:"), MemoryStorage)
    folder = open_storage(f"file://{tmp_path}/my%20data")
    assert isinstance(folder, FileStorage)
    assert folder.path == f"{tmp_path}/my data"
    assert list(tmp_path.iterdir()) == []


def test_two_registries_of_one_url_of_memory_share_nothing() -> None:
    assert open_storage("memory:") is not open_storage("memory:")


def test_a_storage_may_be_named_by_module_and_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_module_of_storages")
    ready = MemoryStorage()
    module.make, module.ready, module.other = MemoryStorage, ready, object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert isinstance(open_storage(f"{module.__name__}:make"), MemoryStorage)
    assert open_storage(f"{module.__name__}:ready") is ready
    with pytest.raises(ValueError, match="or a storage, not"):
        open_storage(f"{module.__name__}:other")


@pytest.fixture
def bucket_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with entry points for storages."""
    name = f"buckets_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from v1registry import MemoryStorage\n"
        "class Bucket(MemoryStorage):\n"
        "    def __init__(self, url):\n"
        "        super().__init__()\n"
        "        self.url = url\n"
        "def number(url):\n"
        "    return 7\n"
    )
    folder = tmp_path / f"{name}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        f"[v1registry.storage]\nbucket = {name}:Bucket\nseven = {name}:number\n"
        f"lost = {name}:is_not_there\nbroken = {name}_missing:Bucket\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("bucket_package")
def test_an_entry_point_adds_a_storage() -> None:
    storage = Registry.from_settings({"storage": "bucket://host/x"}).storage
    assert isinstance(storage, MemoryStorage)
    assert vars(storage)["url"] == "bucket://host/x"


@pytest.mark.usefixtures("bucket_package")
@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("seven://x", "or a storage, not 7"),
        ("lost://x", "lost: its package cannot be used: .*is_not_there"),
        ("broken://x", "broken: its package cannot be used: No module named"),
        ("other://x", "known: az:, broken:, bucket:, file:, gs:, lost:, memory:, s3:, seven:"),
    ],
)
def test_an_invalid_entry_point_of_a_storage_is_an_error(place: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"storage: .*{text}"):
        Registry.from_settings({"storage": place})


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("", "must name a place for the data, such as file:///srv/registry or memory:"),
        ("/srv/registry", "must be a URL such as file:///srv/registry or memory:, not '/srv/registry'"),
        ("file://relative/path", "is in the place of a host"),
        ("file:", "is not absolute"),
        ("memory:x", "must be memory:"),
        ("ftp://host/x", "ftp: is not a scheme of a storage; known: az:, file:, gs:, memory:, s3:"),
        ("no_such_module_here:make", "names nothing: No module named"),
        ("os:no_such_attribute", "names nothing: module 'os' has no attribute"),
        (".relative:make", "names nothing"),
        (":make", "names nothing"),
        (None, "or a storage, not None"),
        (5, "or a storage, not 5"),
        (Path("/srv"), "or a storage, not"),
    ],
)
def test_an_invalid_storage_is_an_error(place: object, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Registry.from_settings({"storage": place})
    (problem,) = raised.value.problems
    assert problem.startswith("storage: ")
    assert text in problem


def test_a_missing_storage_is_an_error() -> None:
    with pytest.raises(SettingsError, match="storage: must name a place for the data"):
        Registry.from_settings({})


# -- who may do what


def test_invalid_backend_and_policy_are_reported_together() -> None:
    with pytest.raises(SettingsError) as raised:
        Registry(storage=MemoryStorage(), auth="nothing://x", policy="no_such_module_here:policy")
    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["auth", "policy"]


@pytest.mark.parametrize(
    ("key", "value"), [("auth", object()), ("policy", 5), ("policy", "x"), ("auth", "x")]
)
def test_an_invalid_backend_or_policy_is_an_error(key: str, value: object) -> None:
    with pytest.raises(SettingsError) as raised:
        Registry(storage=MemoryStorage(), **{"auth": "users:", key: value})
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [key]
