"""A program that tells which images a user may pull, and its tests.

pytest examples/testing/test_private_images.py
"""

from __future__ import annotations

import pytest
import requests
from v1registry_fakes import FakeOptions, FakeRegistry


class LoginRefused(Exception):
    """User name or password are wrong."""


def readable(
    session: requests.Session, url: str, names: list[str], auth: tuple[str, str] | None = None
) -> list[str]:
    """Return the repositories of a list that a user may pull, or all callers without a user.

    :raises LoginRefused: the registry does not know the user, or not with this password.
    """
    if auth and session.get(f"{url}/v1/users/", auth=auth, timeout=30).status_code == 401:
        raise LoginRefused(f"the registry does not accept the password of {auth[0]}")
    return [
        name
        for name in names
        if session.get(f"{url}/v1/repositories/{name}/images", auth=auth, timeout=30).status_code == 200
    ]


# -- tests

URL = "http://registry.example.com"
NAMES = ["alice/public", "alice/secret", "team/tool", "alice/missing"]


@pytest.fixture
def v1registry_options() -> FakeOptions:
    return {"auth": "users:"}


@pytest.fixture(autouse=True)
def people(v1registry: FakeRegistry) -> None:
    v1registry.add_user("alice", "correct horse")
    v1registry.add_user("bob", "battery staple", groups=["team"])
    v1registry.add_image("alice/public:1.0")
    for name in ("alice/secret", "team/tool"):
        v1registry.add_image(f"{name}:1.0")
        v1registry.add_repository(name, is_private=True)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (None, ["alice/public"]),
        (("alice", "correct horse"), ["alice/public", "alice/secret"]),
        (("bob", "battery staple"), ["alice/public", "team/tool"]),
    ],
)
def test_a_user_may_pull_what_is_public_or_theirs(
    v1registry_session: requests.Session, auth: tuple[str, str] | None, expected: list[str]
) -> None:
    assert readable(v1registry_session, URL, NAMES, auth) == expected


def test_a_wrong_password_is_told_apart_from_no_access(v1registry_session: requests.Session) -> None:
    with pytest.raises(LoginRefused, match="the password of alice"):
        readable(v1registry_session, URL, NAMES, ("alice", "wrong"))
