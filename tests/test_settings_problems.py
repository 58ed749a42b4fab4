"""Invalid settings: all problems at once, and no password in any of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry, SettingsError
from v1registry.settings import from_mapping, without_passwords, without_userinfo


def problems_of(**options: Any) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        Registry.from_settings({"storage": "memory:", **options})
    return raised.value.problems


def keys_of(**options: Any) -> list[str]:
    return sorted(problem.partition(":")[0] for problem in problems_of(**options))


# -- all problems at once


def test_an_invalid_value_is_no_missing_one() -> None:
    mail = {"mail": "smtp://mail.example.org", "mail_from": "registry@example.org"}

    assert keys_of(auth="users:", public_url="ftp://x", **mail) == ["public_url"]


def test_contradictions_are_judged_on_invalid_values_too() -> None:
    assert problems_of(layer_redirect="ftp://x", x_accel_redirect="/layers") == [
        "layer_redirect: must be a URL such as https://registry.example.com, not 'ftp://x'",
        "layer_redirect and x_accel_redirect exclude each other",
    ]


def test_values_of_another_type_do_not_stop_the_judgement() -> None:
    keys = keys_of(index=5, pages=None, link_path=7, layer_redirect=[], mail=None, search_limit=object())
    assert keys == ["index", "layer_redirect", "link_path", "pages", "search_limit"]


def test_backend_policy_and_mail_are_judged_with_the_other_settings() -> None:
    options = {"auth": "nothing://x", "policy": "no_such_module:may", "mail": "x://y"}

    assert keys_of(storage="z", v2="maybe", **options) == [
        "auth", "mail", "mail", "policy", "storage", "v2",
    ]  # fmt: skip


def test_backend_policy_and_mail_are_judged_together() -> None:
    options = {"auth": "nothing://x", "policy": "no_such_module:may", "mail": "x://y"}
    with pytest.raises(SettingsError) as raised:
        Registry(MemoryStorage(), public_url="https://x.example", **options)

    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["auth", "policy", "mail"]


def test_an_invalid_sender_is_reported_once() -> None:
    options = {"auth": "users:", "mail": "smtp://mail.example.org", "public_url": "https://x.example"}

    assert keys_of(mail_from="nobody", **options) == ["mail_from"]


# -- no passwords


@pytest.mark.parametrize("key", ["index", "public_url", "layer_redirect"])
@pytest.mark.parametrize(
    "value",
    [
        "htps://mira:s3cret@index.example.org",
        "mira:s3cret@index.example.org",
        "https:/mira:s3cret@index.example.org",
        "https://mira:s3 cret@index.example.org",
        "https://mira:s3/cret@index.example.org?x=1",
        "https://mira:p@s3cret@index.example.org/?x",
        "https://s3cret@index.example.org?x=1",
        "https://index.example.org?token=s3cret",
        "https://index.example.org/#token=s3cret",
        "https://mira:s3\ncret@index.example.org",
    ],
)
def test_an_invalid_url_is_shown_without_password(key: str, value: str) -> None:
    (problem,) = problems_of(**{key: value})

    assert problem.startswith(f"{key}: must be a URL")
    assert "index.example.org" in problem
    for part in ("s3", "cret"):
        assert part not in problem.partition(", not ")[2].replace("secret", "")


@pytest.mark.parametrize("key", ["public_url", "layer_redirect"])
def test_a_url_that_clients_see_has_no_password(key: str) -> None:
    assert problems_of(**{key: "https://mira:s3cret@registry.example.org"}) == [
        f"{key}: must be a URL without user name and password, because every client sees it, "
        "not 'https://...@registry.example.org'"
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mail", "smpt:mira:s3cret@mail.example.org"),
        ("mail", "smtp//mira:s3cret@mail.example.org"),
        ("mail", b"smtp://mira:s3cret@mail.example.org"),
        ("policy", "mira:s3cret@host"),
        ("storage", "mira s3cret@host"),
        ("storage", "s3//mira:s3cret@host"),
        ("auth", "lpad://host/dc=x????bind_dn=cn=a,bind_password=s3cret"),
        ("auth", b"ldap://host/dc=x????bind_password=s3cret"),
    ],
)
def test_no_problem_shows_a_password(key: str, value: Any) -> None:
    problems = problems_of(**{"auth": "users:", "public_url": "https://x.example", key: value})

    assert "s3cret" not in "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a.example/x", "https://a.example/x"),
        ("mira", "mira"),
        ("a@b@c", "...@c"),
        ("https://x?q", "https://x?q"),
        ("https://x?a=1&b=2", "https://x?a=...&b=..."),
    ],
)
def test_what_holds_no_secret_is_shown(text: str, shown: str) -> None:
    assert without_userinfo(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("smtp://mira:s3 cret@mail.example.org", "smtp://mira:...@mail.example.org"),
        ("ldap://h/dc=x????bind_dn=cn=a,bind_password=s3 &cret#,start_tls=yes",
         "ldap://h/dc=x????bind_dn=cn=a,bind_password=...,start_tls=yes"),
        ("ldap://h/dc=x????bind_password_file=/etc/password", "ldap://h/dc=x????bind_password_file=/etc/password"),
        ("bucket://h/x?secret_key=s3cret", "bucket://h/x?secret_key=..."),
        ("a://h:1/x,b://mira:s3cret@h", "a://h:1/x,b://mira:...@h"),
        ("smtp://u:s3@h.org:587?from=a@b.org", "smtp://u:...@h.org:587?from=a@b.org"),
        ("smtp://u:s3@h.org?starttls=1&from=a@b.org", "smtp://u:...@h.org?starttls=1&from=a@b.org"),
        ("smtp://u:s?from=3@h.org?from=a@b.org", "smtp://u:...@h.org?from=a@b.org"),
        ("smtp://u:s3?from=a@h.org", "smtp://u:...@h.org"),
    ],
)  # fmt: skip
def test_a_valid_value_is_shown_without_its_passwords(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


# -- where serve listens


def test_address_port_workers_and_tls_are_settings() -> None:
    settings = from_mapping(
        {"host": "::1", "port": "0", "workers": "4", "tls_cert": "/etc/cert.pem", "tls_key": "/etc/key.pem"}
    )

    assert (settings.host, settings.port, settings.workers) == ("::1", 0, 4)
    assert (settings.tls_cert, settings.tls_key) == ("/etc/cert.pem", "/etc/key.pem")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", "70000"),
        ("port", "tcp://10.0.0.1:5000"),
        ("port", "-1"),
        ("workers", "0"),
        ("workers", "1000"),
        ("host", ""),
        ("host", "http://x"),
        ("host", "[::1]"),
        ("host", "a b"),
    ],
)
def test_an_invalid_address_port_or_number_of_workers_is_an_error(key: str, value: str) -> None:
    assert keys_of(**{key: value}) == [key]


def test_a_fake_refuses_settings_of_serve() -> None:
    with pytest.raises(SettingsError) as raised:
        FakeRegistry(port=5000, host="0.0.0.0")

    assert raised.value.problems == [
        f"{name}: is for v1registry serve; a fake chooses its live port itself" for name in ("host", "port")
    ]


@pytest.mark.parametrize(("given", "missing"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_certificate_and_key_are_needed_together(given: str, missing: str) -> None:
    assert problems_of(**{given: "file.pem"}) == [
        f"{missing} is missing: https needs both tls_cert and tls_key"
    ]


# -- modules beside the ini file


@pytest.fixture
def ini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ini file; modules beside it are forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "registry.ini"


def test_a_policy_beside_the_ini_file_is_found(ini: Path) -> None:
    name = f"rules_{ini.parent.name}".replace("-", "_")
    (ini.parent / f"{name}.py").write_text(
        "def may(user, action, namespace, repository):\n    return False\n"
    )
    ini.write_text(f"[v1registry]\nstorage = memory:\nauth = users:\npolicy = {name}:may\n")

    assert Registry.from_ini(ini).settings.policy == f"{name}:may"


def test_a_file_beside_the_ini_file_hides_no_installed_module(ini: Path) -> None:
    (ini.parent / "json.py").write_text("raise AssertionError\n")
    ini.write_text("[v1registry]\nstorage = memory:\n")
    Registry.from_ini(ini)

    assert sys.path[-1] == str(ini.parent)


def test_a_missing_module_is_reported_with_the_places() -> None:
    assert problems_of(auth="users:", policy="no_such_module_here:may") == [
        "policy: 'no_such_module_here:may' names nothing: No module named 'no_such_module_here'; "
        "the module must be beside the ini file, in a folder of PYTHONPATH, or installed"
    ]
