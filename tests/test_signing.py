"""Signers by purpose, and signed values as commit 2da4a84 made them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from itsdangerous import Signer
from support.clock import Clock

from v1registry import MemoryStorage
from v1registry.access.credentials import TokenFields, parse_authorization
from v1registry.access.tokens import Tokens
from v1registry.accounts.confirmations import Links
from v1registry.rights import Action, User
from v1registry.signing import SECRET_KEY, Signers, shared_secret
from v1registry.storage.base import StorageUnavailable
from v1registry.web.sessions import Session, Sessions

KEYS = ["the-key"]
NOW_S = 1_400_000_000.0

REPOSITORY_TOKEN = (
    "signature=WyJtaXJhX2svYXBwIiwid3JpdGUiLDE0MDAwNDMyMDAsIjgtZnFxZ3d3NGU3cSIsWyJtaXJhX2siLFsi"
    "dGVhbSJdLGZhbHNlXSwiIixudWxsXQ.sNynNUG72cztpG7FAF5hcVzpjqjkYGl18YU6oDH6mV0"
    ',repository="mira_k/app",access=write'
)
LINK = (
    "WyJtaXJhX2siLCI3MDM3MDIyZTk3ZTllMDM0YmNmNDE1YThlOGVlMmM3YSIsMTQwMDI1OTIwMF0."
    "JyA05_Ye8h1TWHa5keBG-j2OefkTkm3MQQwBorU1EYg"
)
COOKIE = (
    "WyJhYmNkZWYiLCBbXSwgIiIsIDE0MDAwNDMyMDAsIDE0MDAwMDAwMDBd.7i-p56yLGBVWD2UKNiqcxKb3R3ffY_ND6WnReDwhejM"
)
FORM_TOKEN = "o0ldDOc3mtq5-awVvOBJsuAfKn8_nxUjnA50ths2uCc"


def test_recorded_repository_token_is_valid_and_no_two_are_equal() -> None:
    tokens = Tokens(KEYS, clock=Clock(NOW_S))
    (fields,) = parse_authorization(f"Token {REPOSITORY_TOKEN}")  # type: ignore[misc]  # one token
    assert isinstance(fields, TokenFields)
    token = tokens.verify(fields)
    assert token is not None
    assert (str(token.repository), token.access) == ("mira_k/app", Action.WRITE)
    assert token.user == User("mira_k", frozenset({"team"}))
    issued = {tokens.issue(token.repository, Action.WRITE, token.user) for _ in range(2)}
    assert len(issued | {REPOSITORY_TOKEN}) == 3


def test_recorded_link_is_valid_and_signed_again() -> None:
    links = Links(KEYS, clock=Clock(NOW_S))
    link = links.read(LINK)
    assert link is not None
    assert link.username == "mira_k"
    assert link.is_for("mira@example.org", "state")
    assert links.sign("mira_k", "mira@example.org", "state") == LINK


def test_recorded_session_cookie_and_form_token_are_valid() -> None:
    profiles: Any = None  # the session has no user
    sessions = Sessions(MemoryStorage(), profiles, KEYS, clock=Clock(NOW_S))
    session = sessions.read(COOKIE)
    assert session == Session("abcdef", None, "", 1_400_043_200, 1_400_000_000)
    assert sessions.is_form_token(session, None, FORM_TOKEN)
    assert sessions.cookie(session) == COOKIE


def test_newest_key_signs_and_all_keys_verify() -> None:
    old, both, new = (Signers(keys).of("examples") for keys in (["old"], ["old", "new"], ["new"]))
    assert both.unsign(old.sign("seven")) == b"seven"
    assert new.unsign(both.sign("seven")) == b"seven"
    assert not new.validate(old.sign("seven"))


def test_signature_for_one_purpose_is_invalid_for_another() -> None:
    signers = Signers(KEYS)
    assert not signers.of("others").validate(signers.of("examples").sign("seven"))


def test_serializer_has_the_signatures_of_the_signer() -> None:
    signers = Signers(KEYS)
    text = signers.serializer("examples").dumps(["seven"])
    assert signers.of("examples").validate(text)


def test_keys_are_asked_for_once_at_the_first_use() -> None:
    asked: list[str] = []

    def keys() -> list[str]:
        asked.append("keys")
        return KEYS

    signers = Signers(keys)
    assert asked == []
    signers.of("examples").sign("seven")
    signers.of("others").sign("seven")
    assert asked == ["keys"]


def test_without_keys_all_threads_share_one_random_key() -> None:
    signers = Signers()

    def make(_: int) -> Signer:
        return signers.of("examples")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(64)))
    text = made[0].sign("seven")
    assert all(signer.validate(text) for signer in made)
    assert not Signers().of("examples").validate(text)


def test_shared_secret_is_made_once() -> None:
    storage = MemoryStorage()
    secret = shared_secret(storage)
    assert len(bytes.fromhex(secret)) == 32
    assert shared_secret(storage) == secret


@pytest.mark.parametrize("value", [b"", b"0123456789abcde", "é".encode() * 32])
def test_damaged_shared_secret_is_refused(value: bytes) -> None:
    storage = MemoryStorage()
    storage.write(SECRET_KEY, value)
    with pytest.raises(StorageUnavailable, match="at least 16 ASCII characters"):
        shared_secret(storage)
