"""What a request with an account asks the storage besides what the request needs on an open server."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from support.accounts_world import Person, image_of
from support.credentials import basic
from support.quiet_folders import Settle, settle
from support.two_account_servers import IMAGE, PRIVATE, PUBLIC, Asked, TwoServers

from v1registry.names import RepositoryName

__all__ = ["settle"]  # for runs with a folder in the place of memory, which has no versions for a second

#: The keys that only a server with accounts looks at.
KEYS: Final = {
    "user": "accounts/users/*",
    "other accounts": "accounts/[!u]*",
    "marks": "images/*/_held_by/*/*",
    "holders": "images/*/_held_by/[!/]*",
    "incarnation": "repositories/*/_incarnation",
    "private": "repositories/*/_private",
    "collaborators": "repositories/*/_collaborators",
    "announced": "uploads/_announced*",
    "deletions": "uploads/_deleted*",
}
OF_IMAGES = ("json", "ancestry", "layer")
OF_V2 = ("manifest", "digest", "blob")


@pytest.fixture(scope="module")
def servers() -> TwoServers:
    return TwoServers.over_memory()


def added_calls(servers: TwoServers, asked: Asked) -> dict[str, int]:
    """Return how often the third of equal requests looks at the keys of accounts."""
    ask = servers.asker(asked)
    answers = [ask(servers.server.app) for _ in range(2)]
    before = {name: servers.storage.count(key=pattern) for name, pattern in KEYS.items()}
    answers.append(ask(servers.server.app))
    assert {status for status, _ in answers} == {200}
    counts = {name: servers.storage.count(key=pattern) - before[name] for name, pattern in KEYS.items()}
    counts["holders"] -= counts["marks"]  # the pattern fits both
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("what", OF_IMAGES)
def test_image_with_a_token_costs_three_calls_more(servers: TwoServers, what: str) -> None:
    asked = Asked("mira", "token", PRIVATE, what)
    assert added_calls(servers, asked) == {"user": 1, "marks": 1, "incarnation": 1}


@pytest.mark.parametrize("what", OF_IMAGES)
def test_own_image_with_basic_costs_four_calls_more(servers: TwoServers, what: str, settle: Settle) -> None:
    settle()
    asked = Asked("mira", "Basic", PRIVATE, what)
    assert added_calls(servers, asked) == {"user": 1, "holders": 1, "marks": 1, "incarnation": 1}


@pytest.mark.parametrize("what", OF_IMAGES)
def test_public_image_costs_four_calls_more_without_credentials(servers: TwoServers, what: str) -> None:
    asked = Asked("", "anonymous", PUBLIC, what)
    assert added_calls(servers, asked) == {"holders": 1, "private": 1, "marks": 1, "incarnation": 1}


@pytest.mark.parametrize("kind", ["Basic", "token"])
@pytest.mark.parametrize("what", ["tag", "tags"])
def test_own_tag_costs_one_call_more(servers: TwoServers, kind: str, what: str) -> None:
    assert added_calls(servers, Asked("mira", kind, PRIVATE, what)) == {"user": 1}


@pytest.mark.parametrize("what", ["tag", "tags"])
def test_tag_costs_a_collaborator_two_calls_more(servers: TwoServers, what: str) -> None:
    assert added_calls(servers, Asked("alice", "token", PRIVATE, what)) == {"user": 1, "collaborators": 1}


@pytest.mark.parametrize("kind", ["Basic", "token"])
@pytest.mark.parametrize("what", OF_V2)
def test_own_manifest_or_blob_costs_two_calls_more(servers: TwoServers, kind: str, what: str) -> None:
    assert added_calls(servers, Asked("mira", kind, PRIVATE, what)) == {"user": 1, "incarnation": 1}


@pytest.mark.parametrize("what", ["json", "tag", "manifest"])
def test_nothing_of_accounts_is_parsed_again(servers: TwoServers, what: str) -> None:
    for asked in (Asked("mira", kind, PRIVATE, what) for kind in ("Basic", "token")):
        ask = servers.asker(asked)
        ask(servers.server.app)
        before = [servers.storage.count("read", key=pattern) for pattern in KEYS.values()]
        ask(servers.server.app)
        assert [servers.storage.count("read", key=pattern) for pattern in KEYS.values()] == before


# -- listings of holders


def test_short_listing_of_holders_is_kept(servers: TwoServers, settle: Settle) -> None:
    settle()
    search = servers.server.app._services.access.holders._search
    names = list(search.in_namespace(IMAGE.image_id, "mira"))
    before = servers.storage.count("list")
    assert list(search.in_namespace(IMAGE.image_id, "mira")) == names
    assert {str(name) for name in names} == {PRIVATE, PUBLIC}
    assert servers.storage.count("list") == before


def test_namespace_without_holders_is_not_listed(servers: TwoServers) -> None:
    search = servers.server.app._services.access.holders._search
    before = servers.storage.count("list")
    assert list(search.in_namespace(IMAGE.image_id, "eve")) == []
    assert servers.storage.count("list") == before


def test_long_listing_of_holders_is_complete(settle: Settle) -> None:
    servers = TwoServers.over_memory()
    search = servers.server.app._services.access.holders._search
    for number in range(40):
        name = RepositoryName("eve", f"app-{number:02}")
        servers.other_storage.write(f"images/{IMAGE.image_id}/_held_by/{name}", b"{}")
        settle()
        found = [str(found) for found in search.in_namespace(IMAGE.image_id, "eve")]
        assert found == [f"eve/app-{number:02}" for number in range(number + 1)]
    assert {len(kept) for _, kept in search._listings.values()} == {16}


def test_number_of_kept_listings_is_bounded(settle: Settle) -> None:
    servers = TwoServers.over_memory()
    search = servers.server.app._services.access.holders._search
    most = search._listings.maxsize
    assert most == 10_000
    for number in range(30):
        servers.other_storage.write(f"images/{number:064}/_held_by/eve/app", b"{}")
    settle()
    search._listings = type(search._listings)(10)
    for number in range(30):
        assert len(list(search.in_namespace(f"{number:064}", "eve"))) == 1
    assert len(search._listings) == 10


def test_listing_of_a_folder_that_just_changed_is_not_kept(tmp_path: Path) -> None:
    servers = TwoServers.over_folder(tmp_path)
    image, person = image_of("later"), Person(servers.server.app, basic("eve"))
    for number in range(3):
        servers.owner.push(f"mira/new-{number}", image)
        assert person.image(image) == 200
        search = servers.server.app._services.access.holders._search
        names = [str(name) for name in search.in_namespace(image.image_id, "mira")]
        assert names == [f"mira/new-{one}" for one in range(number + 1)]
