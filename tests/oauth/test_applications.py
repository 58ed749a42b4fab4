"""Registered applications: their fields, secrets and records."""

from __future__ import annotations

import pytest
from support.clock import Clock
from support.oauth_world import BACK, OAuthWorld, digest

from v1registry import MemoryStorage
from v1registry.oauth.applications import (
    ApplicationExists,
    Applications,
    InvalidApplication,
    UnknownApplication,
    is_redirect_uri,
)
from v1registry.oauth.scopes import ACCOUNT_SCOPES, DEFAULT_SCOPES, SCOPES, in_words
from v1registry.storage.base import StorageUnavailable


@pytest.fixture
def applications() -> Applications:
    return Applications(MemoryStorage(), clock=Clock(1_400_000_000))


def test_application_is_added_found_listed_and_removed(applications: Applications) -> None:
    added, secret = applications.add(
        " Example CI ", [BACK, "http://localhost:8000/"], client_id="ci-bot", description="Builds."
    )
    other, _ = applications.add("Other", [BACK])

    assert (added.name, added.description) == ("Example CI", "Builds.")
    assert added.scopes == ACCOUNT_SCOPES
    assert not added.is_public
    assert not added.is_trusted
    assert added.created_at.isoformat() == "2014-05-13T16:53:20+00:00"
    assert secret is not None
    assert (len(secret), secret.isalnum()) == (40, True)
    assert applications.get("ci-bot") == added
    assert {application.client_id for application in applications.list()} == {"ci-bot", other.client_id}

    applications.remove("ci-bot")
    assert applications.get("ci-bot") is None
    assert list(applications.list()) == [other]
    with pytest.raises(UnknownApplication):
        applications.remove("ci-bot")


def test_client_id_is_unique_and_a_later_application_is_different(
    applications: Applications,
) -> None:
    first, _ = applications.add("First", [BACK], client_id="ci-bot")
    with pytest.raises(ApplicationExists):
        applications.add("Second", [BACK], client_id="ci-bot")
    assert applications.get("ci-bot") == first

    applications.remove("ci-bot")
    later, _ = applications.add("First", [BACK], client_id="ci-bot")
    assert later.id != first.id


def test_secret_authenticates_and_only_its_digest_is_stored() -> None:
    storage = MemoryStorage()
    applications = Applications(storage)
    added, secret = applications.add("CI", [BACK], client_id="ci-bot")
    other, other_secret = applications.add("CI", [BACK], client_id="other")
    assert secret is not None

    assert applications.authenticated("ci-bot", secret) == added
    assert applications.authenticated("other", other_secret) == other
    wrong_secrets = [
        None,
        "",
        secret[:-1],
        secret + "x",
        secret.swapcase(),
        other_secret,
        digest(secret),
        "\ud800",
    ]
    assert [applications.authenticated("ci-bot", wrong) for wrong in wrong_secrets] == [None] * 8
    assert applications.authenticated("nobody", secret) is None
    assert applications.authenticated("../ci-bot", secret) is None
    stored = b"".join(storage.read(stat.key)[0] for stat in storage.list(""))
    assert secret.encode() not in stored
    assert digest(secret).encode() in stored


def test_rotated_secret_replaces_the_old_one(applications: Applications) -> None:
    added, old = applications.add("CI", [BACK], client_id="ci-bot")
    new = applications.rotate_secret("ci-bot")

    assert applications.authenticated("ci-bot", old) is None
    assert applications.authenticated("ci-bot", new) == added
    for unknown in ("nobody", "../x", ""):
        with pytest.raises(UnknownApplication):
            applications.rotate_secret(unknown)


def test_public_application_has_no_secret(applications: Applications) -> None:
    public, secret = applications.add("App", ["org.example.app:/back"], client_id="app", is_public=True)

    assert secret is None
    assert applications.authenticated("app", None) == applications.authenticated("app", "") == public
    assert applications.authenticated("app", "guess") is None
    with pytest.raises(InvalidApplication, match="has no secret"):
        applications.rotate_secret("app")


@pytest.mark.parametrize(
    "uri",
    [
        "https://ci.example.org",
        "https://ci.example.org:8443/back?a=b&c=%20",
        "http://localhost/",
        "http://localhost:1/x",
        "http://127.0.0.1:8000/back",
        "http://127.1.2.3/",
        "http://[::1]:8000/",
        "org.example.app:/back",
        "org.example.app://back",
        "https://[2001:db8::1]/",
        "https://x/" + "a" * 1990,
    ],
)
def test_valid_redirect_uri_is_accepted(uri: str, applications: Applications) -> None:
    assert is_redirect_uri(uri)
    assert applications.add("CI", [uri])[0].redirect_uris == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/back",
        "//ci.example.org/",
        "ci.example.org/back",
        "http://ci.example.org/",
        "http://localhost.evil.org/",
        "http://10.0.0.1/",
        "https://ci.example.org/#",
        "https://ci.example.org/#x",
        "https://",
        "https:///back",
        "https:back",
        "https://user@ci.example.org/",
        "https://u:p@ci.example.org/",
        "https://ci.example.org:x/",
        "https://[::1/",
        "https://ci.example.org:99999/",
        "https://ci.example.org/ x",
        "https://ci.example.org/\n",
        "https://ci.example.org/\x00",
        "https://ci.example.org/é",
        "https://ci.example.org/%",
        "https://ci.example.org/\\evil.org",
        'https://x/"',
        "https://x/<",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "myapp:/back",
        ".x.y:/",
        "ftp://ci.example.org/",
        "JavaScript:alert(1)",
        "vbscript:x",
        "about:blank",
        "https://x/" + "a" * 1991,
    ],
)
def test_invalid_redirect_uri_is_refused(uri: str, applications: Applications) -> None:
    assert not is_redirect_uri(uri)
    with pytest.raises(InvalidApplication, match="redirect_uris"):
        applications.add("CI", [BACK, uri])
    assert list(applications.list()) == []


def test_all_problems_are_reported_together(applications: Applications) -> None:
    with pytest.raises(InvalidApplication) as refused:
        applications.add(
            "", [], client_id="a:b", description="x" * 1001, scopes=["all"], is_public=True, is_trusted=True
        )
    problems = " ".join(refused.value.problems)
    for word in ("client_id", "name", "description", "redirect_uris", "scopes", "public"):
        assert word in problems


@pytest.mark.parametrize(
    ("options", "is_taken"),
    [
        ({"client_id": "a" * 100}, True),
        ({"client_id": "a" * 101}, False),
        ({"client_id": ""}, False),
        ({"client_id": ".a"}, False),
        ({"client_id": "a/b"}, False),
        ({"client_id": "a b"}, False),
        ({"name": "x" * 100}, True),
        ({"name": "x" * 101}, False),
        ({"name": "a\nb"}, False),
        ({"name": "Müller & <Söhne>"}, True),
        ({"description": "x" * 1000}, True),
        ({"scopes": []}, False),
        ({"scopes": ["repo_read"]}, True),
        ({"redirect_uris": [f"https://x/{n}" for n in range(50)]}, True),
        ({"redirect_uris": [f"https://x/{n}" for n in range(51)]}, False),
    ],
)
def test_field_at_its_bound_is_accepted_and_one_past_refused(
    options: dict[str, object], is_taken: bool, applications: Applications
) -> None:
    given: dict[str, object] = {"name": "CI", "redirect_uris": [BACK], **options}
    if is_taken:
        applications.add(**given)  # type: ignore[arg-type]
    else:
        with pytest.raises(InvalidApplication):
            applications.add(**given)  # type: ignore[arg-type]
    assert len(list(applications.list())) == is_taken


@pytest.mark.parametrize("value", [b"", b"[]", b"{", b'{"id": 1}', b"\xff"])
def test_broken_application_is_unavailable_and_hides_no_other(value: bytes, world: OAuthWorld) -> None:
    world.applications.add("Other", [BACK], client_id="other")
    world.storage.write("accounts/oauth/applications/ci-bot", value)
    with pytest.raises(StorageUnavailable):
        world.applications.authenticated("ci-bot", world.secret)
    assert [application.client_id for application in world.applications.list()] == ["other"]
    world.applications.remove("ci-bot")


# -- the surrounding application


def test_registry_registers_applications_and_verifies_tokens(world: OAuthWorld) -> None:
    registry = world.another_app()
    added, secret = registry.applications.add("Other", [BACK], client_id="other")
    assert world.applications.authenticated("other", secret) == added

    token = world.tokens(("email_read",)).access_token
    bearer = registry.grants.verify(token)
    assert bearer is not None
    assert (bearer.user.name, bearer.scopes, bearer.client_id) == ("mira_k", {"email_read"}, "ci-bot")
    (grant,) = registry.grants.of_user("mira_k")
    assert registry.grants.revoke("mira_k", grant.id)
    assert registry.grants.verify(token) is None


def test_every_scope_has_a_description() -> None:
    assert set(DEFAULT_SCOPES) < set(ACCOUNT_SCOPES) < set(SCOPES)
    assert len(in_words(SCOPES)) == 6
    assert len(set(in_words(SCOPES))) == 6
