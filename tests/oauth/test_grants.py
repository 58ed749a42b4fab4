"""Codes, access tokens and refresh tokens: validity, lifetime, and removal."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from support.backends import UnavailableBackend
from support.faulty_storage import FaultyStorage
from support.oauth_world import BACK, CHALLENGE, MIRA, OAuthWorld, digest

from v1registry.accounts.base import BackendUnavailable
from v1registry.accounts.service import Accounts
from v1registry.errors import OAuthError
from v1registry.oauth.grants import (
    ACCESS_LIFETIME_S,
    CODE_LIFETIME_S,
    MOST_GRANTS,
    REFRESH_LIFETIME_S,
    Grants,
)
from v1registry.storage.base import StorageFull, StorageUnavailable


def refused(action: Callable[[], object]) -> str:
    """Return the error code of an action that must fail."""
    with pytest.raises(OAuthError) as error:
        action()
    assert error.value.status == 400
    return error.value.code


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


# -- what is left


def test_revoked_grant_leaves_no_records(world: OAuthWorld) -> None:
    issued = world.tokens()
    for _ in range(5):
        issued = world.grants.refresh(issued.refresh_token, world.application, ())
    # the grant; the code, six access tokens, one refresh token that is good and five that were used
    assert len(world.kept()) == 1 + 1 + 6 + 1 + 5
    (summary,) = world.grants.of_user("mira_k")
    world.grants.revoke("mira_k", summary.id)
    assert world.kept() == []


def test_number_of_tokens_of_a_grant_is_bounded(world: OAuthWorld) -> None:
    every = [world.tokens()]
    for _ in range(120):
        every.append(world.grants.refresh(every[-1].refresh_token, world.application, ()))
        world.clock.now_s += 1
    assert len(world.kept()) == 1 + 1 + 50 + 1 + 50
    # the newest 50 are good, what is older has ended
    assert [world.grants.verify(issued.access_token) is not None for issued in every] == [False] * 71 + [
        True
    ] * 50
    # what is too old to be remembered is unknown, and what is remembered ends all
    forgotten, remembered = every[0].refresh_token, every[-10].refresh_token
    assert refused(lambda: world.grants.refresh(forgotten, world.application, ())) == "invalid_grant"
    assert world.grants.verify(every[-1].access_token) is not None
    assert refused(lambda: world.grants.refresh(remembered, world.application, ())) == "invalid_grant"
    assert world.kept() == []


def test_expired_access_tokens_are_removed_at_a_refresh(world: OAuthWorld) -> None:
    issued = world.tokens()
    for _ in range(3):
        world.clock.now_s += ACCESS_LIFETIME_S - 10
        issued = world.grants.refresh(issued.refresh_token, world.application, ())
    assert len(world.grant().access_tokens) == 2
    assert len(world.kept()) == 1 + 1 + 2 + 1 + 3


def test_number_of_grants_to_an_application_is_bounded(
    world: OAuthWorld,
) -> None:
    other = world.add("other")
    kept = world.grants.redeem(world.code(application=other), other)
    every = []
    for _ in range(MOST_GRANTS + 3):
        every.append(world.tokens())
        world.clock.now_s += 1
    good = [world.grants.verify(issued.access_token) is not None for issued in every]
    assert good == [False] * 3 + [True] * MOST_GRANTS
    assert world.grants.verify(kept.access_token) is not None

    for _ in range(MOST_GRANTS + 3):
        world.code()
    grants = world.kept("accounts/oauth/grants/")
    # codes that nobody redeems push out nothing but each other
    assert len(grants) == 1 + (MOST_GRANTS - 1) + MOST_GRANTS


def test_expired_codes_are_removed_with_the_next_code_of_the_user(world: OAuthWorld) -> None:
    for _ in range(10):
        world.code()
    world.clock.now_s += CODE_LIFETIME_S
    world.code()
    assert len(world.kept()) == 2


def grant_something(world: OAuthWorld, username: str, *, is_redeemed: bool = True) -> None:
    """Issue a code for a new user."""
    world.users.create(username, "correct-horse")
    code = world.grants.issue_code(
        world.application,
        world.users.account(username),
        ("email_read",),
        redirect_uri=BACK,
        is_redirect_given=False,
        challenge=None,
    )
    if is_redeemed:
        world.grants.redeem(code, world.application)


def test_dead_grants_of_other_users_are_removed_a_few_at_a_time(world: OAuthWorld) -> None:
    for number in range(60):
        grant_something(world, f"user_{number}", is_redeemed=bool(number % 2))
        if number % 3 == 0:
            world.users.delete(f"user_{number}")
    # of the 40 who are there
    assert len(world.kept("accounts/oauth/tokens/")) >= 80

    world.clock.now_s += REFRESH_LIFETIME_S
    sizes = []
    for _ in range(40):
        world.clock.now_s += CODE_LIFETIME_S
        world.code()
        sizes.append(len(world.kept("accounts/oauth/grants/")))
    # the last code and its grant
    assert len(world.kept()) == 2
    # a few: eight codes and tokens are looked at, and what the user left before goes too
    assert all(before - after <= 8 for before, after in pairwise(sizes))


def test_work_for_one_token_does_not_grow_with_their_number() -> None:
    storage = FaultyStorage()
    world = OAuthWorld(storage)
    for number in range(40):
        grant_something(world, f"user_{number}")
    costs = []
    for many in (0, 80):
        for number in range(many):
            grant_something(world, f"other_{number}")
        before = storage.count()
        world.tokens()
        costs.append(storage.count() - before)
    few, more = costs
    # of mira_k there is one grant more
    assert more <= few + 5


def test_pointers_of_a_killed_issuer_are_removed_after_an_hour(world: OAuthWorld) -> None:
    class Killed(Exception):
        pass

    storage = FaultyStorage(world.storage)
    storage.fail("write", key="*/grants/*", error=Killed())
    code = world.code()
    dying = Grants(storage, world.applications, world.accounts, clock=world.clock)
    with pytest.raises(Killed):
        dying.redeem(code, world.application)
    # the code was not used by that
    world.grants.redeem(code, world.application)
    assert len(world.kept("accounts/oauth/tokens/")) == 3 + 2

    # all eight that are looked at are all that there are
    world.clock.now_s += 3600
    world.code()
    assert len(world.kept("accounts/oauth/tokens/")) == 3 + 2 + 1
    world.clock.now_s += 1
    world.code()
    assert len(world.kept("accounts/oauth/tokens/")) == 3 + 2


def test_full_storage_uses_up_no_code_and_no_refresh_token(world: OAuthWorld) -> None:
    storage = FaultyStorage(world.storage)
    storage.fail("write", error=StorageFull("any", "no room"))
    code = world.code()
    full = Grants(storage, world.applications, world.accounts, clock=world.clock)
    with pytest.raises(StorageUnavailable):
        full.redeem(code, world.application)
    issued = world.grants.redeem(code, world.application)
    with pytest.raises(StorageUnavailable):
        full.refresh(issued.refresh_token, world.application, ())
    world.grants.refresh(issued.refresh_token, world.application, ())


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"id": 1}', b"\xff\xfe"])
def test_broken_grant_is_unavailable_and_hides_no_other_grant(world: OAuthWorld, value: bytes) -> None:
    issued, others = world.tokens(), world.tokens()
    (newest, oldest) = sorted(world.grants.of_user("mira_k"), key=lambda one: one.id)
    for key in world.kept("accounts/oauth/grants/"):
        if key.endswith(newest.id):
            world.storage.write(key, value)
    results = []
    for token in (issued.access_token, others.access_token):
        try:
            results.append(world.grants.verify(token) is not None)
        except StorageUnavailable:
            results.append(None)
    assert sorted(results, key=str) == [None, True]
    assert world.grants.of_user("mira_k") == [oldest]
    # and nobody is kept from granting something
    world.tokens()
    assert len(world.grants.of_user("mira_k")) == 2


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff\xfe"])
def test_broken_pointer_is_a_failure_of_the_storage(world: OAuthWorld, value: bytes) -> None:
    issued = world.tokens()
    (key,) = [key for key in world.kept() if key.endswith(digest(issued.access_token))]
    world.storage.write(key, value)
    with pytest.raises(StorageUnavailable):
        world.grants.verify(issued.access_token)
    world.grants.refresh(issued.refresh_token, world.application, ())
