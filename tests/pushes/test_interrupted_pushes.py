"""A process that dies between any two calls of its storage, and the pushes that come after it.

The storage raises an exception from a chosen call on, so nothing that the process would do later happens. A
new process over the same storage then has to serve what was acknowledged, and a new push has to succeed.
"""

from __future__ import annotations

import pytest
from support.accounts_world import AccountsWorld, People
from support.engine_client import Image, UnexpectedAnswer, make_chain, tar_layer
from support.faulty_storage import FaultyStorage
from support.strict_engine import StrictEngine, pull

from v1registry import MemoryStorage, Registry
from v1registry.rights import User
from v1registry.storage.base import Storage

CHAIN = make_chain([tar_layer({"etc/base": b"base"}), tar_layer({"etc/top": b"top"})], name="interrupted")
OTHERS = [Image(image.image_id, image.json + b" ", tar_layer({"etc/other": b"other"})) for image in CHAIN]

#: More than the calls of a push that change the storage.
MOST_CALLS = 200

CHANGES = ("write", "delete", "delete_tree", "publish")


class Died(BaseException):
    """The process is gone."""


def app_over(storage: Storage, has_accounts: bool) -> Registry:
    """Return the application of a new process."""
    if has_accounts:
        return AccountsWorld(People.of(User("alice"), User("bob")), storage).app
    return Registry(storage=storage)


def push(app: Registry, repository: str, images: list[Image], has_accounts: bool) -> None:
    login = f"{repository.partition('/')[0]}:pw-{repository.partition('/')[0]}" if has_accounts else ""
    StrictEngine(app, repository, images, login=login).push()


@pytest.mark.parametrize(
    ("has_accounts", "before"),
    [(False, False), (True, False), (True, True)],
    ids=["open", "accounts", "another content is there"],
)
def test_push_interrupted_at_any_change_can_be_repeated(has_accounts: bool, before: bool) -> None:
    for calls in range(MOST_CALLS):
        memory = MemoryStorage()
        if before:
            push(app_over(memory, has_accounts), "bob/app", OTHERS, has_accounts)
        faulty = FaultyStorage(memory)
        faulty.fail(*CHANGES, error=Died(), skip=calls)
        try:
            push(app_over(faulty, has_accounts), "alice/app", CHAIN, has_accounts)
            return  # it was not interrupted any more
        except Died:
            pass
        app = app_over(memory, has_accounts)
        for stat in memory.list("images/"):
            assert stat.key.split("/")[2] != "_inprogress", (calls, stat.key)
        push(app, "alice/app", CHAIN, has_accounts)
        assert pull(app, "alice/app", login="alice:pw-alice" if has_accounts else "") == CHAIN, calls
        if before:
            assert pull(app, "bob/app", login="bob:pw-bob") == OTHERS, calls
    raise AssertionError(f"a push makes more than {MOST_CALLS} changes")


@pytest.mark.parametrize("has_accounts", [False, True], ids=["open", "accounts"])
def test_interrupted_push_does_not_stop_a_different_one(has_accounts: bool) -> None:
    """Another push of the same ids, with different bytes, decides as if the interrupted one had not been."""
    for calls in range(MOST_CALLS):
        memory = MemoryStorage()
        faulty = FaultyStorage(memory)
        faulty.fail(*CHANGES, error=Died(), skip=calls)
        try:
            push(app_over(faulty, has_accounts), "alice/app", CHAIN, has_accounts)
            return
        except Died:
            pass
        app = app_over(memory, has_accounts)
        push(app, "bob/app", OTHERS, has_accounts)
        pulled = pull(app, "bob/app", login="bob:pw-bob" if has_accounts else "")
        if has_accounts:
            assert pulled == OTHERS, calls
        else:
            assert all(
                image in pair for image, pair in zip(pulled, zip(CHAIN, OTHERS, strict=True), strict=True)
            ), calls
    raise AssertionError(f"a push makes more than {MOST_CALLS} changes")


@pytest.mark.parametrize("has_accounts", [False, True], ids=["open", "accounts"])
def test_failing_storage_is_an_error_and_never_half_an_image(has_accounts: bool) -> None:
    for calls in range(MOST_CALLS):
        memory = MemoryStorage()
        faulty = FaultyStorage(memory)
        app = app_over(faulty, has_accounts)
        faulty.fail(*CHANGES, skip=calls)
        try:
            push(app, "alice/app", CHAIN, has_accounts)
            return
        except UnexpectedAnswer as error:
            status = error.status
        assert status == 503, calls
        faulty.heal()
        push(app, "alice/app", CHAIN, has_accounts)
        assert pull(app, "alice/app", login="alice:pw-alice" if has_accounts else "") == CHAIN, calls
    raise AssertionError(f"a push makes more than {MOST_CALLS} changes")
