"""The records of grants: their number, their removal, and broken ones."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.faulty_storage import FaultyStorage
from support.oauth_world import BACK, OAuthWorld, digest, refused

from v1registry.oauth.grants import (
    ACCESS_LIFETIME_S,
    CODE_LIFETIME_S,
    MOST_GRANTS,
    REFRESH_LIFETIME_S,
    Grants,
)
from v1registry.storage.base import StorageFull, StorageUnavailable

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
