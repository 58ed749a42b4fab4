"""The cache of answers of an index, and the tokens that are accepted."""

from __future__ import annotations

import gc
import socket
from collections.abc import Mapping
from contextlib import closing

import pytest
from support.clock import Clock
from support.engine_client import make_image
from support.set_index import DELETE, IDS, NAME, READ, WRITE, Index, make_access
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry, SettingsError, errors
from v1registry.access import index as foreign
from v1registry.access.index import Claim, ForeignIndexAccess
from v1registry.names import RepositoryName
from v1registry.rights import Action

# -- how long


def test_allowed_answer_is_kept_until_it_expires(
    access: ForeignIndexAccess, index: Index, clock: Clock
) -> None:
    access.rights(READ, {})
    clock.now_s += 59.999
    access.rights(READ, {})
    assert len(index.asked) == 1
    clock.now_s += 0.001
    access.rights(READ, {})
    assert len(index.asked) == 2


def test_the_time_begins_with_the_question(index: Index, clock: Clock) -> None:
    class SlowIndex(Index):
        def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
            clock.now_s += 30
            return super().image_ids(repository, authorization)

    slow = SlowIndex()
    access = make_access(slow, clock)
    access.rights(READ, {})
    clock.now_s += 29
    access.rights(READ, {})
    assert len(slow.asked) == 1
    clock.now_s += 1
    access.rights(READ, {})
    assert len(slow.asked) == 2


def test_a_refusal_is_asked_again_each_time(access: ForeignIndexAccess, index: Index) -> None:
    index.ids = None
    for _ in range(3):
        with pytest.raises(errors.Unauthorized):
            access.rights(READ, {})
    assert len(index.asked) == 3
    index.ids = IDS
    access.rights(READ, {})


def test_a_token_that_was_withdrawn_ends_with_its_time(
    access: ForeignIndexAccess, index: Index, clock: Clock
) -> None:
    access.rights(READ, {})
    index.ids = None
    access.rights(READ, {})
    clock.now_s += 60
    for _ in range(2):
        with pytest.raises(errors.Unauthorized):
            access.rights(READ, {})


def test_a_trouble_of_the_index_is_no_refusal_and_ends_with_it(
    access: ForeignIndexAccess, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> frozenset[str] | None:
        raise errors.IndexUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(index, "image_ids", fail)
        with pytest.raises(errors.IndexUnavailable):
            access.rights(READ, {})
    access.rights(READ, {})


def test_who_may_use_an_image_is_kept_when_the_answer_is_yes(
    access: ForeignIndexAccess, index: Index, clock: Clock
) -> None:
    claim = Claim.of(READ)
    index.allows = False
    assert not access.may_use(claim, "0" * 64)
    assert not access.may_use(claim, "0" * 64)
    assert len(index.asked) == 2
    index.allows = True
    assert access.may_use(claim, "0" * 64)
    assert access.may_use(claim, "0" * 64)
    assert len(index.asked) == 3
    assert access.may_use(claim, "1" * 64)
    assert access.may_use(Claim.of(WRITE), "0" * 64)
    assert len(index.asked) == 5
    clock.now_s += 60
    assert access.may_use(claim, "0" * 64)
    assert len(index.asked) == 6


def test_a_token_to_delete_is_asked_about_each_time(access: ForeignIndexAccess, index: Index) -> None:
    for _ in range(2):
        access.rights(DELETE, {})
    assert len(index.asked) == 2


def test_with_no_time_nothing_is_kept(index: Index, clock: Clock) -> None:
    access = make_access(index, clock, keep_s=0)
    for _ in range(2):
        access.rights(READ, {})
        access.may_use(Claim.of(READ), "0" * 64)
    assert len(index.asked) == 4


def test_headers_differ_by_every_byte(access: ForeignIndexAccess, index: Index) -> None:
    for header in (READ, READ.replace("=A", "=B"), READ.replace("Token", "token"), f"Token {READ}"):
        access.rights(header, {})
    assert len(index.asked) == 4


# -- how much


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(
    index: Index, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_KEPT_IDS", 6)  # two lists with two ids each
    access = make_access(index, clock)
    first, second, third = (READ.replace("=A", f"={letter}") for letter in "XYZ")
    for header in (first, second, third):
        access.rights(header, {})
    for header in (second, third):
        access.rights(header, {})
    assert len(index.asked) == 3
    access.rights(first, {})
    assert len(index.asked) == 4


def test_a_list_that_is_larger_than_all_that_is_kept_is_not_kept(
    index: Index, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_KEPT_IDS", 2)
    access = make_access(index, clock)
    for _ in range(2):
        access.rights(READ, {})
    assert len(index.asked) == 2


def test_neither_headers_nor_signatures_are_kept(access: ForeignIndexAccess) -> None:
    secret = "S3CRETSIGNATURE9"
    access.rights(READ.replace("=A", f"={secret}"), {})
    gc.collect()
    reached: list[object] = [access]
    seen: set[int] = set()
    texts: list[object] = []
    while reached:
        current = reached.pop()
        if id(current) in seen or isinstance(current, type):
            continue
        seen.add(id(current))
        if isinstance(current, (str, bytes)):
            texts.append(current)
        elif isinstance(current, Mapping):
            reached += [*current.keys(), *current.values()]
        elif isinstance(current, (list, tuple, set, frozenset)):
            reached += current
        elif type(current).__module__.startswith("v1registry"):
            reached += vars(current).values()
    assert set(texts) >= IDS
    assert not [text for text in texts if secret in repr(text)]
    assert secret not in repr(Claim.of(READ.replace("=A", f"={secret}")))


# -- what counts as a token


@pytest.mark.parametrize(
    ("header", "actions"),
    [
        (READ, {Action.READ}),
        (WRITE, {Action.READ, Action.WRITE}),
        (DELETE, {Action.DELETE}),
        (READ.replace("Token", "tOkEn"), {Action.READ}),
        (f"Token {READ}", {Action.READ}),
        ('Token access=read,repository=foo/bar,signature="A"', {Action.READ}),
        ('Token signature:A, repository:"foo/bar", access:read', {Action.READ}),
        (f"{READ},{WRITE.partition(' ')[2]}", {Action.READ}),
        (f"{WRITE},{WRITE.partition(' ')[2]}", {Action.READ, Action.WRITE}),
        (f"{READ},{DELETE.partition(' ')[2]}", set()),
        (f"{READ},access=write", {Action.READ}),
        (READ.replace("read", "admin"), set()),
    ],
)
def test_REG_041_a_claim_is_what_every_reader_of_the_header_finds(header: str, actions: set[Action]) -> None:
    claim = Claim.of(header)
    assert (claim.authorization, claim.repository, claim.actions) == (header, NAME, actions)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Token ",
        "Token Token",
        "Basic Og==",
        "Basic Zm9vOmJhcg==",
        f" {READ}",
        f"{READ} ",
        f"{READ},",
        READ.replace(",", ";"),
        READ.replace("Token ", "Token\t"),
        READ.replace("foo/bar", "bar"),
        READ.replace("foo/bar", "foo/bar/"),
        READ.replace("foo/bar", "/bar"),
        READ.replace("foo/bar", "foo/.."),
        READ.replace("foo/bar", "foo/b%2Fr"),
        READ.replace("foo/bar", "foo/b?x"),
        READ.replace("foo/bar", ""),
        READ.replace(",access=read", ""),
        READ.replace('repository="foo/bar",', ""),
        READ + ',repository="foo/other"',
        READ + ",y=z",
        READ + ',x="access=write"',
        READ + "\xa0",
        READ.replace("=read", "=\xa0read"),
        READ + ",\u00e9access=write",
        READ + "\r\nX-Other: y",
        READ + "\x00",
    ],
)
def test_REG_040_everything_else_is_none_and_nobody_is_asked(
    access: ForeignIndexAccess, index: Index, header: str | None
) -> None:
    with pytest.raises(errors.Unauthorized) as refused:
        access.rights(header, {})
    assert refused.value.headers == {"WWW-Authenticate": "Token"}
    assert not access.is_good_token(header, NAME)
    assert index.asked == []


def test_repositories_of_any_depth_have_tokens(access: ForeignIndexAccess, index: Index) -> None:
    rights = access.rights(READ.replace("foo/bar", "foo/bar/deep"), {})
    assert rights.can_read(RepositoryName("foo", "bar/deep"))
    with pytest.raises(errors.Unauthorized):
        rights.can_read(NAME)
    assert index.asked[0].startswith("foo/bar/deep ")


def test_rights_are_those_of_the_token(access: ForeignIndexAccess, index: Index) -> None:
    rights = access.rights(READ, {})
    assert rights.has_token
    assert rights.may_list(NAME)
    assert not rights.may_list(RepositoryName("foo", "other"))
    assert not rights.sees_deleted(NAME)
    assert access.is_good_token(READ, NAME)
    assert not access.is_good_token(READ, RepositoryName("foo", "other"))
    with pytest.raises(errors.Forbidden):
        rights.issue_token(Action.READ, NAME)
    assert len(index.asked) == 1


# -- settings


def test_an_index_and_accounts_of_its_own_exclude_each_other() -> None:
    with pytest.raises(SettingsError) as refused:
        Registry(
            storage=MemoryStorage(), index="https://index.example.com", auth="users:", images="elsewhere"
        )
    assert len(refused.value.problems) == 2
    assert all("index" in problem for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("value", "is_good"), [("0", True), ("60", True), ("-1", False), ("1.5", False), ("", False)]
)
def test_the_time_that_answers_are_kept_is_a_whole_number(value: str, is_good: bool) -> None:
    settings = {"storage": "memory:", "index": "https://index.example.com", "index_cache_s": value}
    if is_good:
        assert Registry.from_settings(settings).settings.index_cache_s == int(value)
    else:
        with pytest.raises(SettingsError):
            Registry.from_settings(settings)


def test_nothing_is_asked_before_a_token_comes() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        client = Client(Registry(storage=MemoryStorage(), index=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        image = make_image(b"layer")
        assert client.get("/v1/_ping").status_int == 200
        assert client.put_json(image).status_int == 401
        answer = client.get(f"/v1/images/{image.image_id}/json", {"Authorization": READ})
        assert answer.status_int == 503
