"""Tokens that were verified are remembered: which, how many, and for how long."""

from __future__ import annotations

import pytest
from support.clock import Clock

from v1registry.access.credentials import TokenFields, parse_authorization
from v1registry.access.distribution_tokens import DistributionTokens, Scope
from v1registry.access.tokens import Tokens
from v1registry.access.verified import VerifiedTokens
from v1registry.names import RepositoryName
from v1registry.rights import Action, User

NAME = RepositoryName("mira", "app")
MIRA = User("mira")
KEY = "the-key-of-these-tests"


def fields_of(token: str) -> TokenFields:
    parsed = parse_authorization(f"Token {token}")
    assert isinstance(parsed, list)
    return parsed[0]


def test_token_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, verified = Tokens([KEY]), []
    verify = tokens._verify
    monkeypatch.setattr(tokens, "_verify", lambda *texts: (verified.append(texts), verify(*texts))[1])
    fields = fields_of(tokens.issue(NAME, Action.READ, MIRA))
    assert tokens.verify(fields) is tokens.verify(fields) is not None
    assert len(verified) == 1


@pytest.mark.parametrize("after_s", [0, 1, 3600])
def test_remembered_token_expires(after_s: int) -> None:
    clock = Clock()
    tokens = Tokens([KEY], lifetime_s=60, clock=clock)
    fields = fields_of(tokens.issue(NAME, Action.READ, MIRA))
    assert tokens.verify(fields) is not None
    clock.now_s += 59
    assert tokens.verify(fields) is not None
    clock.now_s += 1 + after_s
    assert tokens.verify(fields) is None
    clock.now_s -= 1 + after_s
    assert tokens.verify(fields) is not None


@pytest.mark.parametrize("name", ["signature", "repository", "access"])
@pytest.mark.parametrize("value", ["", "mira/other", "write"])
def test_remembered_token_with_another_field_is_invalid(name: str, value: str) -> None:
    tokens = Tokens([KEY])
    fields = fields_of(tokens.issue(NAME, Action.READ, MIRA))
    assert tokens.verify(fields) is not None
    assert tokens.verify(TokenFields({**fields.values, name: value})) is None
    without = {other: text for other, text in fields.values.items() if other != name}
    assert tokens.verify(TokenFields(without)) is None
    assert tokens.verify(fields) is not None


def test_remembered_fields_are_not_interchangeable() -> None:
    tokens = Tokens([KEY])
    values = fields_of(tokens.issue(NAME, Action.READ, MIRA)).values
    assert tokens.verify(TokenFields(values)) is not None
    joined = {"signature": values["signature"] + values["repository"], "access": values["access"]}
    assert tokens.verify(TokenFields(joined)) is None


def test_remembered_v2_token_expires() -> None:
    clock = Clock()
    tokens = DistributionTokens([KEY], lifetime_s=60, clock=clock)
    token, _, _ = tokens.issue(Scope(), MIRA, service="localhost")
    assert tokens.verify(token, "localhost") is tokens.verify(token, "localhost") is not None
    clock.now_s += 60
    assert tokens.verify(token, "localhost") is None


def test_remembered_v2_token_is_for_its_service_alone() -> None:
    tokens = DistributionTokens([KEY])
    token, _, _ = tokens.issue(Scope(), MIRA, service="localhost")
    assert tokens.verify(token, "localhost") is not None
    assert tokens.verify(token, "example.org") is None
    assert tokens.verify(token + "x", "localhost") is None


def test_refresh_token_never_counts_as_a_remembered_token() -> None:
    tokens = DistributionTokens([KEY])
    refresh = tokens.issue_refresh("mira", service="localhost", mark="")
    token, _, _ = tokens.issue(Scope(), MIRA, service="localhost")
    for _ in range(2):
        assert tokens.verify(token, "localhost") is not None
        assert tokens.verify_refresh(refresh, "localhost") is not None
        assert tokens.verify(refresh, "localhost") is None
        assert tokens.verify_refresh(token, "localhost") is None


def test_tokens_of_two_registries_are_not_shared() -> None:
    ours, theirs = Tokens([KEY]), Tokens(["a-different-key-of-others"])
    fields = fields_of(ours.issue(NAME, Action.READ, MIRA))
    assert ours.verify(fields) is not None
    assert theirs.verify(fields) is None


def test_number_of_remembered_tokens_is_bounded() -> None:
    known = VerifiedTokens[int]()
    for number in range(5000):
        known.keep(str(number), token=number, expires_at_s=10)
    assert len(known) == 4096
    assert (known.find("0", now_s=1), known.find("4999", now_s=1)) == (None, 4999)


def test_token_that_was_used_last_is_kept_longest() -> None:
    known = VerifiedTokens[int]()
    known.keep("used", token=0, expires_at_s=10)
    for number in range(1, 5000):
        known.keep(str(number), token=number, expires_at_s=10)
        assert known.find("used", now_s=1) == 0


def test_expired_token_is_removed() -> None:
    known = VerifiedTokens[int]()
    known.keep("a", token=1, expires_at_s=10)
    assert known.find("a", now_s=10) is None
    assert len(known) == 0


def test_long_token_is_not_remembered() -> None:
    known = VerifiedTokens[int]()
    known.keep("a" * 2049, token=1, expires_at_s=10)
    known.keep("a" * 2000, "b" * 49, token=1, expires_at_s=10)
    assert len(known) == 0


@pytest.mark.parametrize(("number", "is_kept"), [(16, True), (17, False), (3000, False)])
def test_token_of_many_repositories_is_not_remembered(number: int, is_kept: bool) -> None:
    tokens = DistributionTokens([KEY])
    # names so much alike are compressed, so the token is short
    scope = Scope({RepositoryName("mira", f"app-{one}"): frozenset([Action.READ]) for one in range(number)})
    token, _, _ = tokens.issue(scope, MIRA, service="localhost")
    first, second = tokens.verify(token, "localhost"), tokens.verify(token, "localhost")
    assert first == second is not None
    assert (first is second) is is_kept


def test_invalid_tokens_are_not_remembered() -> None:
    tokens = Tokens([KEY])
    for number in range(100):
        assert tokens.verify(TokenFields({"signature": f"{number}.x", "repository": "mira/app"})) is None
    assert len(tokens._verified) == 0


def test_mark_differs_with_account_and_password() -> None:
    tokens = Tokens([KEY])
    pairs = [("1", "a"), ("1", "b"), ("2", "a"), ("", "1 a"), ("1 a", "")]
    marks = [tokens.mark_of(*pair) for pair in pairs * 2]
    assert marks[:5] == marks[5:]
    assert len(set(marks[:3])) == 3
    assert tokens.mark_of("", "") == ""
