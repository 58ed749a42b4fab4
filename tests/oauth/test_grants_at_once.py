"""Simultaneous uses of codes and refresh tokens, by threads and by processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from support.clock import Clock
from support.faulty_storage import FaultyStorage
from support.oauth_world import BACK, OAuthWorld
from support.worker_processes import Worker, started_workers

from v1registry.errors import OAuthError
from v1registry.oauth.grants import CODE_LIFETIME_S, MOST_GRANTS, Grants, Issued
from v1registry.storage.base import StorageUnavailable
from v1registry.storage.filesystem import FileStorage

THREADS = 12


def at_once(action: Callable[[], Issued], count: int = THREADS) -> tuple[list[Issued], list[str]]:
    """Run an action in many threads at once; return the results, and the error codes of failures."""
    barrier = threading.Barrier(count)

    def act(_: int) -> Issued | str:
        barrier.wait()
        try:
            return action()
        except OAuthError as error:
            return error.code

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(act, range(count)))
    won = [result for result in results if isinstance(result, Issued)]
    return won, [result for result in results if isinstance(result, str)]


@pytest.mark.parametrize("attempt", range(5))
def test_OAU_010_one_of_many_threads_redeems_a_code(attempt: int) -> None:
    world = OAuthWorld()
    code, others = world.code(), world.tokens()
    won, lost = at_once(lambda: world.grants.redeem(code, world.application))
    assert (len(won), lost) == (1, ["invalid_grant"] * (THREADS - 1))
    # the code was used more than once, so what it gave is revoked
    assert world.grants.verify(won[0].access_token) is None
    assert world.grants.verify(others.access_token) is not None


@pytest.mark.parametrize("attempt", range(5))
def test_OAU_014_one_of_many_threads_uses_a_refresh_token(
    attempt: int,
) -> None:
    world = OAuthWorld()
    first = world.tokens()
    won, lost = at_once(lambda: world.grants.refresh(first.refresh_token, world.application, ()))
    assert (len(won), lost) == (1, ["invalid_grant"] * (THREADS - 1))
    for issued in (first, won[0]):
        assert world.grants.verify(issued.access_token) is None


@pytest.mark.parametrize("attempt", range(20))
def test_grant_that_ends_during_a_refresh_stays_ended(attempt: int) -> None:
    world = OAuthWorld()
    issued = world.tokens()
    (summary,) = world.grants.of_user("mira_k")
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(
            at_once, lambda: world.grants.refresh(issued.refresh_token, world.application, ()), 1
        )
        assert pool.submit(world.grants.revoke, "mira_k", summary.id).result()
        won, _ = refreshing.result()
    assert world.grants.of_user("mira_k") == []
    for tokens in (issued, *won):
        assert world.grants.verify(tokens.access_token) is None


def test_different_codes_are_redeemed_at_the_same_time() -> None:
    world = OAuthWorld()
    codes = [world.code() for _ in range(THREADS)]
    todo = iter(codes)
    mutex = threading.Lock()

    def redeem() -> Issued:
        with mutex:
            code = next(todo)
        return world.grants.redeem(code, world.application)

    won, lost = at_once(redeem)
    assert (len(won), lost) == (THREADS, [])
    assert all(world.grants.verify(issued.access_token) for issued in won)
    assert len(world.grants.of_user("mira_k")) == THREADS


#: Uses the code or the refresh token of each line of its standard input for the application ci-bot, and
#: answers with the new tokens, or with the code of the error.
WORKER = """
import sys
from v1registry.accounts.users import UserStore
from v1registry.errors import OAuthError
from v1registry.oauth.applications import Applications
from v1registry.oauth.grants import Grants
from v1registry.accounts.service import Accounts
from v1registry.storage.filesystem import FileStorage

storage = FileStorage(sys.argv[1])
applications = Applications(storage)
grants = Grants(storage, applications, Accounts(UserStore(storage)))
application = applications.get("ci-bot")
print("ready", flush=True)
for line in sys.stdin:
    method, secret = line.split()
    try:
        if method == "redeem":
            issued = grants.redeem(secret, application)
        else:
            issued = grants.refresh(secret, application, ("email_read",))
        answer = f"{issued.access_token} {issued.refresh_token}"
    except OAuthError as error:
        answer = error.code
    print(answer, flush=True)
"""


workers = partial(started_workers, WORKER)


def ask_at_once(processes: Sequence[Worker], *words: str) -> list[str]:
    """Send one line to all processes and return their answers."""
    for process in processes:
        process.send(*words)
    return [process.receive() for process in processes]


@pytest.mark.real
@pytest.mark.parametrize("method", ["redeem", "refresh"])
def test_OAU_010_one_of_many_processes_uses_a_code_or_refresh_token(tmp_path: Path, method: str) -> None:
    world = OAuthWorld(FileStorage(tmp_path / "data"))
    world.clock.now_s = time.time()
    with workers(4, tmp_path) as processes:
        for _ in range(5):
            others = world.tokens()
            secret = world.code() if method == "redeem" else world.tokens().refresh_token
            answers = ask_at_once(processes, method, secret)
            won = [answer.split() for answer in answers if answer != "invalid_grant"]
            assert len(won) == 1, answers
            assert world.grants.verify(won[0][0]) is None
            # those who come later find nothing either
            assert set(ask_at_once(processes, "refresh", won[0][1])) == {"invalid_grant"}
            assert world.grants.verify(others.access_token) is not None


@pytest.mark.real
def test_revocation_counts_in_all_processes(tmp_path: Path) -> None:
    world = OAuthWorld(FileStorage(tmp_path / "data"))
    world.clock.now_s = time.time()
    with workers(2, tmp_path) as processes:
        one, other = processes
        first, _ = one.ask("redeem", world.code()).split()
        assert world.grants.verify(first) is not None
        access, refresh = other.ask("redeem", world.code()).split()
        world.grants.revoke_all("mira_k")
        assert [world.grants.verify(token) for token in (first, access)] == [None, None]
        assert ask_at_once(processes, "refresh", refresh) == ["invalid_grant"] * 2


@pytest.mark.parametrize("method", ["redeem", "refresh"])
def test_OAU_010_second_use_before_the_write_ends_the_grant(
    method: str,
) -> None:
    world = OAuthWorld()
    won: list[Issued] = []
    used = world.code() if method == "redeem" else world.tokens().refresh_token

    def use(grants: Grants) -> Issued:
        if method == "redeem":
            return grants.redeem(used, world.application)
        return grants.refresh(used, world.application, ("email_read",))

    storage = FaultyStorage(world.storage)
    storage.before(lambda: won.append(use(world.grants)), "write", "delete")
    late = Grants(storage, world.applications, world.accounts, clock=world.clock)
    with pytest.raises(OAuthError, match="used before") as error:
        use(late)
    assert error.value.code == "invalid_grant"
    assert world.grants.verify(won[0].access_token) is None
    # nothing is left of both
    assert world.kept() == []


def test_grant_that_ends_before_the_write_leaves_no_records() -> None:
    world = OAuthWorld()
    token = world.tokens().refresh_token
    storage = FaultyStorage(world.storage)
    storage.before(lambda: world.grants.revoke_all("mira_k"), "write", "delete")
    late = Grants(storage, world.applications, world.accounts, clock=world.clock)
    with pytest.raises(OAuthError) as error:
        late.refresh(token, world.application, ("email_read",))
    assert error.value.code == "invalid_grant"
    assert world.kept() == []


def issue_code(world: OAuthWorld, grants: Grants) -> str:
    """Return a code of mira_k, as a different process issues it."""
    return grants.issue_code(
        world.application,
        world.account,
        ("email_read",),
        redirect_uri=BACK,
        is_redirect_given=False,
        challenge=None,
    )


@pytest.mark.parametrize("why", ["expired", "too many", "tidied"])
def test_grant_that_is_used_during_its_removal_stays(why: str) -> None:
    """A code that is expired by one clock may be redeemed by another one at the same time."""
    world = OAuthWorld()
    code, won = world.code(), []
    for _ in range(MOST_GRANTS - 1 if why == "too many" else 0):
        world.clock.now_s += 0.01
        world.code()
    storage = FaultyStorage(world.storage)
    storage.before(lambda: won.append(world.grants.redeem(code, world.application)), "write", "delete")
    ahead_s = 0 if why == "too many" else CODE_LIFETIME_S
    ahead = Clock(world.clock.now_s + ahead_s)
    other = Grants(storage, world.applications, world.accounts, clock=ahead)
    if why == "tidied":
        other.tidy()
    else:
        issue_code(world, other)
    assert world.grants.verify(won[0].access_token) is not None
    world.grants.refresh(won[0].refresh_token, world.application, ("email_read",))


def test_removal_that_fails_ends_nothing() -> None:
    world = OAuthWorld()
    unused = world.code()
    world.clock.now_s += CODE_LIFETIME_S
    stuck = FaultyStorage(world.storage)
    stuck.fail("delete")
    with pytest.raises(StorageUnavailable):
        issue_code(world, Grants(stuck, world.applications, world.accounts, clock=world.clock))
    world.clock.now_s -= CODE_LIFETIME_S
    assert world.grants.verify(world.grants.redeem(unused, world.application).access_token) is not None


def test_interrupted_removal_leaves_pointers_that_are_tidied_away() -> None:
    world = OAuthWorld()
    issued = world.tokens()
    stuck = FaultyStorage(world.storage)
    stuck.fail("delete", skip=1)
    with pytest.raises(StorageUnavailable):
        Grants(stuck, world.applications, world.accounts, clock=world.clock).revoke_all("mira_k")
    assert world.grants.verify(issued.access_token) is None
    assert world.grants.of_user("mira_k") == []
    assert len(world.kept()) == 3, "the pointers of the code and of two tokens"
    world.clock.now_s += 3601
    world.grants.tidy()
    assert world.kept() == []
