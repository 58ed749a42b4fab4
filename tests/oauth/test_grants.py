"""Codes, access tokens and refresh tokens: validity, lifetime, and revocation."""

from __future__ import annotations

import re

import pytest
from support.backends import UnavailableBackend
from support.oauth_world import BACK, CHALLENGE, MIRA, OAuthWorld, digest, refused

from v1registry.accounts.base import BackendUnavailable
from v1registry.accounts.service import Accounts
from v1registry.oauth.grants import ACCESS_LIFETIME_S, CODE_LIFETIME_S, REFRESH_LIFETIME_S, Grants

# -- access tokens


def test_access_token_allows_what_was_granted(world: OAuthWorld) -> None:
    issued = world.tokens(("email_read", "profile_read"))

    assert re.fullmatch(r"[A-Za-z0-9]{30}", issued.access_token)
    assert re.fullmatch(r"[A-Za-z0-9]{30}", issued.refresh_token)
    assert issued.scopes == ("email_read", "profile_read")
    bearer = world.grants.verify(issued.access_token)
    assert bearer is not None
    assert (bearer.user, bearer.scopes, bearer.client_id) == (MIRA, {"email_read", "profile_read"}, "ci-bot")
    assert not bearer.is_trusted


def test_token_of_a_trusted_application_is_trusted(world: OAuthWorld) -> None:
    trusted = world.add("trusted", is_trusted=True)
    token = world.grants.redeem(world.code(application=trusted), trusted).access_token
    bearer = world.grants.verify(token)
    assert bearer is not None
    assert bearer.is_trusted


@pytest.mark.parametrize(
    "token", ["", "x", "a" * 30, "a" * 29, "a" * 31, "../" * 10, "é" * 30, "\ud800" * 30, "a" * 10_000]
)
def test_token_that_was_never_issued_is_invalid(world: OAuthWorld, token: str) -> None:
    world.tokens()
    assert world.grants.verify(token) is None
    assert refused(lambda: world.grants.redeem(token, world.application)) == "invalid_grant"
    assert refused(lambda: world.grants.refresh(token, world.application, ())) == "invalid_grant"
    world.grants.revoke_token(token, world.application)
    assert len(world.grants.of_user("mira_k")) == 1


def test_code_and_tokens_cannot_replace_each_other(world: OAuthWorld) -> None:
    code, issued = world.code(), world.tokens()

    for other in (code, issued.refresh_token):
        assert world.grants.verify(other) is None
    for other in (issued.access_token, issued.refresh_token):
        assert refused(lambda other=other: world.grants.redeem(other, world.application)) == "invalid_grant"
    for other in (code, issued.access_token):
        assert (
            refused(lambda other=other: world.grants.refresh(other, world.application, ())) == "invalid_grant"
        )
    # and none of that ended anything
    assert world.grants.verify(issued.access_token) is not None
    world.grants.redeem(code, world.application)


def test_stored_values_contain_no_code_or_token(world: OAuthWorld) -> None:
    code = world.code()
    issued = world.grants.redeem(code, world.application)
    stored = b"".join(
        stat.key.encode() + world.storage.read(stat.key)[0] for stat in world.storage.list("accounts/oauth/")
    )
    for secret in (code, issued.access_token, issued.refresh_token):
        assert secret.encode() not in stored
        assert digest(secret).encode() in stored
        assert secret not in repr(issued)


@pytest.mark.parametrize(
    ("after_s", "is_good"), [(0, True), (ACCESS_LIFETIME_S - 1, True), (ACCESS_LIFETIME_S, False)]
)
def test_access_token_is_valid_for_180_days(world: OAuthWorld, after_s: float, is_good: bool) -> None:
    token = world.tokens().access_token
    world.clock.now_s += after_s
    assert (world.grants.verify(token) is not None) is is_good


def test_token_ends_with_its_application(world: OAuthWorld) -> None:
    issued, code = world.tokens(), world.code()
    world.applications.remove("ci-bot")
    assert world.grants.verify(issued.access_token) is None

    later = world.add("ci-bot")
    assert world.grants.verify(issued.access_token) is None
    assert refused(lambda: world.grants.refresh(issued.refresh_token, later, ())) == "invalid_grant"
    assert refused(lambda: world.grants.redeem(code, later)) == "invalid_grant"
    assert world.grants.of_user("mira_k") == []


def test_token_ends_with_its_user(world: OAuthWorld) -> None:
    issued, code = world.tokens(), world.code()
    world.users.delete("mira_k")
    assert world.grants.verify(issued.access_token) is None
    assert world.grants.of_user("mira_k") == []

    world.users.create("mira_k", "other-horse")
    assert world.grants.verify(issued.access_token) is None
    for use in (
        lambda: world.grants.refresh(issued.refresh_token, world.application, ()),
        lambda: world.grants.redeem(code, world.application),
    ):
        assert refused(use) == "invalid_grant"
    assert world.grants.of_user("mira_k") == []


def test_changed_password_ends_no_grant(world: OAuthWorld) -> None:
    issued = world.tokens()
    world.users.set_password("mira_k", "battery-staple")
    assert world.grants.verify(issued.access_token) is not None
    world.grants.refresh(issued.refresh_token, world.application, ("email_read",))


def test_disabled_user_is_returned_and_gets_no_new_tokens(world: OAuthWorld) -> None:
    issued, code = world.tokens(), world.code()
    world.users.set_active("mira_k", False)

    bearer = world.grants.verify(issued.access_token)
    assert bearer is not None
    assert not bearer.user.is_active
    assert refused(lambda: world.grants.redeem(code, world.application)) == "invalid_grant"
    assert (
        refused(lambda: world.grants.refresh(issued.refresh_token, world.application, ())) == "invalid_grant"
    )

    world.users.set_active("mira_k", True)
    world.grants.redeem(code, world.application)
    world.grants.refresh(issued.refresh_token, world.application, ("email_read",))


def test_bearer_has_the_current_rights_of_the_user(world: OAuthWorld) -> None:
    token = world.tokens().access_token
    world.users.set_groups("mira_k", ["team"])
    bearer = world.grants.verify(token)
    assert bearer is not None
    assert bearer.user.groups == {"team"}


def test_token_is_not_verified_while_the_backend_is_unavailable(world: OAuthWorld) -> None:
    token = world.tokens().access_token
    grants = Grants(world.storage, world.applications, Accounts(UnavailableBackend()), clock=world.clock)
    with pytest.raises(BackendUnavailable):
        grants.verify(token)


# -- codes


def test_OAU_010_reuse_of_a_code_revokes_its_tokens(world: OAuthWorld) -> None:
    code = world.code()
    issued = world.grants.redeem(code, world.application)
    newer = world.grants.refresh(issued.refresh_token, world.application, ("email_read",))
    others = world.tokens()

    assert refused(lambda: world.grants.redeem(code, world.application)) == "invalid_grant"

    assert world.grants.verify(issued.access_token) is None
    assert world.grants.verify(newer.access_token) is None
    assert (
        refused(lambda: world.grants.refresh(newer.refresh_token, world.application, ())) == "invalid_grant"
    )
    # what the user granted at another time is not concerned
    assert world.grants.verify(others.access_token) is not None


@pytest.mark.parametrize(
    ("after_s", "is_good"), [(CODE_LIFETIME_S - 0.001, True), (CODE_LIFETIME_S, False), (61, False)]
)
def test_OAU_011_code_is_valid_for_60_seconds(world: OAuthWorld, after_s: float, is_good: bool) -> None:
    code = world.code()
    world.clock.now_s += after_s
    if is_good:
        world.grants.redeem(code, world.application)
    else:
        assert refused(lambda: world.grants.redeem(code, world.application)) == "invalid_grant"


def test_OAU_012_code_is_invalid_for_a_different_application(
    world: OAuthWorld,
) -> None:
    other, code = world.add("other"), world.code()
    assert refused(lambda: world.grants.redeem(code, other)) == "invalid_grant"
    issued = world.grants.redeem(code, world.application)
    # nor does a used one revoke anything in other hands
    assert refused(lambda: world.grants.redeem(code, other)) == "invalid_grant"
    assert world.grants.verify(issued.access_token) is not None


def test_code_remembers_redirect_uri_and_challenge(world: OAuthWorld) -> None:
    grant = world.grants.of_code(world.code(challenge=CHALLENGE, is_redirect_given=True), world.application)
    assert (grant.code.challenge, grant.code.redirect_uri, grant.code.is_redirect_given) == (
        CHALLENGE,
        BACK,
        True,
    )


# -- refresh tokens


def test_OAU_014_refresh_token_works_once_and_gives_new_tokens(world: OAuthWorld) -> None:
    first = world.tokens()
    second = world.grants.refresh(first.refresh_token, world.application, first.scopes)

    assert len({first.access_token, first.refresh_token, second.access_token, second.refresh_token}) == 4
    # the old access token stays good until it expires
    assert world.grants.verify(first.access_token) == world.grants.verify(second.access_token) is not None


def test_reuse_of_a_refresh_token_revokes_the_grant(world: OAuthWorld) -> None:
    family, others = [world.tokens()], world.tokens()
    for _ in range(3):
        family.append(world.grants.refresh(family[-1].refresh_token, world.application, ("email_read",)))

    old = family[1].refresh_token
    assert refused(lambda: world.grants.refresh(old, world.application, ())) == "invalid_grant"

    assert [world.grants.verify(issued.access_token) for issued in family] == [None] * 4
    last = family[-1].refresh_token
    assert refused(lambda: world.grants.refresh(last, world.application, ())) == "invalid_grant"
    assert world.grants.verify(others.access_token) is not None
    assert len(world.grants.of_user("mira_k")) == 1


def test_refresh_token_is_invalid_for_a_different_application(world: OAuthWorld) -> None:
    other, issued = world.add("other"), world.tokens()
    assert refused(lambda: world.grants.refresh(issued.refresh_token, other, ())) == "invalid_grant"
    world.grants.refresh(issued.refresh_token, world.application, ())
    # a used one neither, and in other hands it revokes nothing
    assert refused(lambda: world.grants.refresh(issued.refresh_token, other, ())) == "invalid_grant"
    assert world.grants.verify(issued.access_token) is not None


def test_OAU_015_refresh_may_narrow_scopes_and_get_them_back(world: OAuthWorld) -> None:
    issued = world.tokens(("profile_read", "email_read"))
    wider = ("email_read", "email_write")
    assert (
        refused(lambda: world.grants.refresh(issued.refresh_token, world.application, wider))
        == "invalid_scope"
    )

    narrow = world.grants.refresh(issued.refresh_token, world.application, ("email_read",))
    assert narrow.scopes == ("email_read",)
    bearer = world.grants.verify(narrow.access_token)
    assert bearer is not None
    assert bearer.scopes == {"email_read"}
    # RFC 6749, 6: the refresh token keeps all that was granted
    whole = world.grants.refresh(narrow.refresh_token, world.application, ("email_read", "profile_read"))
    assert whole.scopes == ("profile_read", "email_read")


@pytest.mark.parametrize(
    ("after_s", "is_good"), [(REFRESH_LIFETIME_S - 1, True), (REFRESH_LIFETIME_S, False)]
)
def test_unused_refresh_token_ends_after_360_days(world: OAuthWorld, after_s: float, is_good: bool) -> None:
    token = world.tokens().refresh_token
    world.clock.now_s += after_s
    assert bool(world.grants.of_user("mira_k")) is is_good
    if is_good:
        world.grants.refresh(token, world.application, ())
    else:
        assert refused(lambda: world.grants.refresh(token, world.application, ())) == "invalid_grant"


# -- the end


def test_user_lists_and_revokes_grants(world: OAuthWorld) -> None:
    first = world.tokens(("profile_read",))
    world.clock.now_s += 10
    second = world.tokens(("email_read", "email_write"))
    world.code()  # nothing came of it yet

    shown = world.grants.of_user("mira_k")
    assert [summary.scopes for summary in shown] == [("email_read", "email_write"), ("profile_read",)]
    assert [summary.application for summary in shown] == [world.application] * 2
    assert shown[1].granted_at.isoformat() == "2014-05-13T16:53:20+00:00"

    assert world.grants.revoke("mira_k", shown[0].id)
    assert not world.grants.revoke("mira_k", shown[0].id)
    assert world.grants.verify(second.access_token) is None
    assert (
        refused(lambda: world.grants.refresh(second.refresh_token, world.application, ())) == "invalid_grant"
    )
    assert world.grants.verify(first.access_token) is not None
    assert world.grants.of_user("mira_k") == [shown[1]]


def test_user_cannot_revoke_grants_of_other_users(world: OAuthWorld) -> None:
    world.users.create("robert", "correct-horse")
    world.tokens()
    (summary,) = world.grants.of_user("mira_k")
    assert world.grants.of_user("robert") == []
    for username, grant_id in [
        ("robert", summary.id),
        ("mira_k", ""),
        ("mira_k", "../x"),
        ("mira_k", "0" * 32),
        ("robert", f"../mira_k/{summary.id}"),
        ("", summary.id),
        ("mira_k", summary.id.upper() + "\n"),
    ]:
        assert not world.grants.revoke(username, grant_id)
    assert world.grants.of_user("mira_k") == [summary]


def test_revoke_all_removes_all_records_of_a_user(world: OAuthWorld) -> None:
    codes, tokens = [world.code() for _ in range(2)], [world.tokens() for _ in range(3)]

    assert world.grants.revoke_all("mira_k") == 5
    assert [world.grants.verify(issued.access_token) for issued in tokens] == [None] * 3
    for code in codes:
        assert refused(lambda code=code: world.grants.redeem(code, world.application)) == "invalid_grant"
    assert world.kept() == []
    assert world.grants.revoke_all("mira_k") == 0


def test_revocation_ends_an_access_token_or_the_whole_grant(world: OAuthWorld) -> None:
    first = world.tokens()
    second = world.grants.refresh(first.refresh_token, world.application, ())

    world.grants.revoke_token(first.access_token, world.application)
    assert world.grants.verify(first.access_token) is None
    assert world.grants.verify(second.access_token) is not None
    world.grants.revoke_token(first.access_token, world.application)

    world.grants.revoke_token(second.refresh_token, world.application)
    assert world.grants.verify(second.access_token) is None
    assert world.kept() == []


def test_application_cannot_revoke_tokens_of_a_different_one(world: OAuthWorld) -> None:
    other, issued = world.add("other"), world.tokens()
    for token in (issued.access_token, issued.refresh_token):
        assert refused(lambda token=token: world.grants.revoke_token(token, other)) == "invalid_grant"
    assert world.grants.verify(issued.access_token) is not None
