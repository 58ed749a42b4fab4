"""Users that the surrounding application or server has logged in."""

from __future__ import annotations

from typing import Any

import pytest

from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.base import BackendUnavailable
from v1registry.rights import User


def test_user_is_that_of_remote_user() -> None:
    backend = Environ()
    assert not backend.takes_passwords
    assert backend.user_of_request({"REMOTE_USER": "mira"}) == User("mira")


def test_missing_or_empty_key_is_no_user() -> None:
    for environ in ({}, {"REMOTE_USER": ""}, {"REMOTE_USER": None}, {"HTTP_REMOTE_USER": "mira"}):
        assert Environ().user_of_request(environ) is None


def test_application_can_use_its_own_key() -> None:
    assert Environ("my_app.user").user_of_request({"my_app.user": "mira", "REMOTE_USER": "other"}) == User(
        "mira"
    )


@pytest.mark.parametrize("name", ["mira kovac", "zoë", "zoÃ«", " ", "a/b", "\udcff"])
def test_any_text_is_a_name_in_the_environ(name: str) -> None:
    assert Environ().user_of_request({"REMOTE_USER": name}) == User(name)


@pytest.mark.parametrize("key", ["HTTP_X_REMOTE_USER", "http_user", "HTTP_AUTHORIZATION"])
def test_headers_are_refused_unless_they_are_allowed(key: str) -> None:
    with pytest.raises(ValueError, match="is a header that every client can send"):
        Environ(key)
    with pytest.raises(ValueError, match="is a header that every client can send"):
        Environ(groups=key)
    with pytest.raises(ValueError, match="is a header that every client can send"):
        Environ(administrator=key)
    assert Environ(key, allow_headers=True).user_of_request({key: "mira"}) == User("mira")


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        ("red", {"red"}),
        ("red,blue", {"red", "blue"}),
        (" red , blue\tgreen ", {"red", "blue", "green"}),
        ("", set()),
        (None, set()),
        (["red", "blue"], {"red", "blue"}),
        (frozenset({"red one"}), {"red one"}),
    ],
)
def test_groups_are_read_from_their_key(value: object, groups: set[str]) -> None:
    environ = {"REMOTE_USER": "mira", "app.groups": value}
    assert Environ(groups="app.groups").user_of_request(environ) == User("mira", frozenset(groups))


@pytest.mark.parametrize(
    ("value", "is_administrator"),
    [
        (True, True),
        ("1", True),
        ("yes", True),
        (" TRUE ", True),
        ("on", True),
        (False, False),
        (None, False),
        ("", False),
        ("0", False),
        ("no", False),
        ("mira", False),
        (1, False),
        (["yes"], False),
    ],
)
def test_administrators_are_read_from_their_key(value: object, is_administrator: bool) -> None:
    environ = {"REMOTE_USER": "mira", "app.admin": value}
    assert Environ(administrator="app.admin").user_of_request(environ) == User(
        "mira", is_administrator=is_administrator
    )


def test_groups_and_administrators_can_be_functions() -> None:
    def groups(environ: Any) -> list[str]:
        return ["staff", environ["REMOTE_USER"]]

    backend = Environ(groups=groups, administrator=lambda environ: environ["REMOTE_USER"] == "root")
    assert backend.user_of_request({"REMOTE_USER": "mira"}) == User("mira", frozenset({"staff", "mira"}))
    assert backend.user_of_request({"REMOTE_USER": "root"}) == User(
        "root", frozenset({"staff", "root"}), True, True
    )
    assert backend.user_of_request({}) is None


@pytest.mark.parametrize(
    ("backend", "environ"),
    [
        (Environ(), {"REMOTE_USER": b"mira"}),
        (Environ(), {"REMOTE_USER": object()}),
        (Environ(groups="g"), {"REMOTE_USER": "mira", "g": [1]}),
        (Environ(groups="g"), {"REMOTE_USER": "mira", "g": 1}),
        (Environ(groups=lambda environ: environ["nothing"]), {"REMOTE_USER": "mira"}),
        (Environ(administrator=lambda environ: environ["nothing"]), {"REMOTE_USER": "mira"}),
    ],
)
def test_value_of_a_wrong_type_is_unavailable_and_logged(
    backend: Environ, environ: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BackendUnavailable, match="cannot be determined") as caught:
        backend.user_of_request(environ)
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is caught.value.__cause__
    assert isinstance(record.exc_info[1], (TypeError, KeyError))


def test_truthy_answer_other_than_true_is_no_administrator() -> None:
    backend = Environ(administrator=lambda environ: "no")  # type: ignore[arg-type,return-value]
    assert backend.user_of_request({"REMOTE_USER": "mira"}) == User("mira")


def test_environ_is_not_changed() -> None:
    environ = {"REMOTE_USER": "mira", "app.groups": ["red"], "app.admin": "yes"}
    before = dict(environ)
    Environ(groups="app.groups", administrator="app.admin").user_of_request(environ)
    assert environ == before


def test_url_names_the_keys() -> None:
    environ = {"REMOTE_USER": "mira", "G": "red", "A": "1", "HTTP_X_USER": "other"}
    assert Environ.from_url("environ:REMOTE_USER").user_of_request(environ) == User("mira")
    backend = Environ.from_url("environ:REMOTE_USER?groups=G&administrator=A")
    assert backend.user_of_request(environ) == User("mira", frozenset({"red"}), is_administrator=True)
    backend = Environ.from_url("environ:HTTP_X_USER?allow_headers=yes")
    assert backend.user_of_request(environ) == User("other")


@pytest.mark.parametrize(
    "url",
    [
        "environ:",
        "environ:?groups=G",
        "REMOTE_USER",
        "environ:REMOTE_USER?allow_headers=maybe",
        "environ:REMOTE_USER?group=G",
    ],
)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"environ:REMOTE_USER, perhaps with"):
        Environ.from_url(url)


def test_empty_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="must be the name of a key of the WSGI environ"):
        Environ("")
