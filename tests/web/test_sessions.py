"""Sessions: the rights of a cookie, its lifetime, and its end. Plain objects, without requests."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer
from support.cheap_passwords import CheapPasswords
from support.clock import Clock

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.accounts.backends.callback import Callback
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.base import StorageUnavailable
from v1registry.web.sessions import ENDED_FOLDER, LIFETIMES, Session, Sessions

LIFETIME_S = 600
MIRA = User("mira_k")


class Place:
    """Sessions over a storage with a clock that the test sets."""

    def __init__(self, storage: Storage | None = None):
        self.clock = Clock(1_000_000.0)
        self.storage: Storage = MemoryStorage() if storage is None else storage
        self.users = UserStore(self.storage, passwords=CheapPasswords())
        self.users.create("mira_k", "s3cret-one", "mira@example.org")
        self.sessions = self.made()

    def made(self, keys: tuple[str, ...] = ("key",), lifetime_s: int = LIFETIME_S) -> Sessions:
        profiles = Accounts(self.users)
        return Sessions(self.storage, profiles, lambda: keys, lifetime_s=lifetime_s, clock=self.clock)

    def log_in(self) -> tuple[Session, str]:
        session = self.sessions.begin(MIRA)
        return session, self.sessions.cookie(session)

    def is_in(self, cookie: str) -> bool:
        session = self.sessions.read(cookie)
        return session is not None and session.user == MIRA


@pytest.fixture
def place() -> Place:
    return Place()


# -- cookies


def test_a_cookie_needs_no_quotes(place: Place) -> None:
    _, cookie = place.log_in()
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}", cookie)
    session = place.sessions.read(cookie)
    assert session is not None
    assert session.user == MIRA


def test_an_anonymous_session_has_a_cookie(place: Place) -> None:
    session = place.sessions.read(place.sessions.cookie(place.sessions.begin(None)))
    assert session is not None
    assert session.user is None


def test_each_log_in_makes_a_new_session(place: Place) -> None:
    ids = {place.log_in()[0].id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(id_) == 24 for id_ in ids)


def test_no_text_of_a_session_shows_its_secrets(place: Place) -> None:
    session, cookie = place.log_in()
    assert session.id not in repr(session)
    assert session.mark not in repr(session)
    said = json.loads(base64.urlsafe_b64decode(cookie.partition(".")[0] + "=="))
    assert "argon2" not in str(said)
    assert place.users.account("mira_k").password_mark not in str(said)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cookie: cookie[:-1],
        lambda cookie: cookie + "x",
        lambda cookie: cookie[1:],
        lambda cookie: cookie.swapcase(),
        lambda cookie: cookie.partition(".")[0],
        lambda cookie: cookie.partition(".")[2],
        lambda cookie: cookie.partition(".")[0] + ".",
        lambda cookie: "." + cookie.partition(".")[2],
        lambda cookie: f"{cookie}.{cookie}",
        lambda cookie: f" {cookie}",
        lambda cookie: f"{cookie}\n",
        lambda cookie: f'"{cookie}"',
        lambda cookie: cookie + "\0",
        lambda cookie: cookie * 30,
        lambda cookie: "",
        lambda cookie: ".",
        lambda cookie: "\xff\xfe",
        lambda cookie: "\ud800",
    ],
)
def test_a_changed_cookie_is_rejected(place: Place, spoil: Any) -> None:
    _, cookie = place.log_in()
    assert place.is_in(cookie)
    assert place.sessions.read(spoil(cookie)) is None


def test_no_cookie_gives_no_session(place: Place) -> None:
    assert place.sessions.read(None) is None


@given(text=st.text(max_size=200))
def test_any_text_as_a_cookie_is_rejected(text: str) -> None:
    assert _SHARED.sessions.read(text) is None


@given(said=st.binary(max_size=200))
def test_a_cookie_of_another_key_is_rejected(said: bytes) -> None:
    assert _SHARED.sessions.read(_signed("another key", said)) is None


def test_signatures_of_other_purposes_are_rejected(place: Place) -> None:
    session, cookie = place.log_in()
    payload = base64.urlsafe_b64decode(cookie.partition(".")[0] + "==")
    for salt in ("v1registry pages form", "v1registry confirmation link", "itsdangerous.Signer"):
        assert place.sessions.read(_signed("key", payload, salt)) is None
    assert place.sessions.read(_signed("key", payload)) is not None, "or this test would show nothing"
    assert place.sessions.read(place.sessions.form_token(session, "mira_k")) is None


def _signed(key: str, payload: bytes, salt: str = "v1registry pages session") -> str:
    signer = Signer(key, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    return signer.sign(base64.urlsafe_b64encode(payload).rstrip(b"=")).decode("ascii")


_SHARED = Place()


# -- keys


def test_old_keys_verify_and_the_newest_signs(place: Place) -> None:
    _, cookie = place.log_in()
    both, new = place.made(("key", "new")), place.made(("new",))
    assert both.read(cookie) is not None
    assert new.read(cookie) is None
    assert new.read(both.cookie(both.begin(MIRA))) is not None


def test_form_tokens_outlive_a_new_key_while_the_old_one_is_known(place: Place) -> None:
    session, _ = place.log_in()
    token = place.sessions.form_token(session, "mira_k")
    assert place.made(("key", "new")).is_form_token(session, "mira_k", token)
    assert not place.made(("new",)).is_form_token(session, "mira_k", token)


# -- time


@pytest.mark.parametrize(("seconds", "is_in"), [(LIFETIME_S - 1, True), (LIFETIME_S, False)])
def test_an_idle_session_ends(place: Place, seconds: int, is_in: bool) -> None:
    _, cookie = place.log_in()
    place.clock.now_s += seconds
    assert place.is_in(cookie) is is_in


def test_an_active_session_has_a_maximum_lifetime(place: Place) -> None:
    _, cookie = place.log_in()
    began = place.clock.now_s
    while place.clock.now_s < began + LIFETIMES * LIFETIME_S - LIFETIME_S / 2:
        place.clock.now_s += LIFETIME_S / 2
        session = place.sessions.read(cookie)
        assert session is not None
        newer = place.sessions.seen(session)
        assert newer is not None
        cookie = place.sessions.cookie(newer)
    place.clock.now_s = began + LIFETIMES * LIFETIME_S - 1
    assert place.is_in(cookie)
    place.clock.now_s += 1
    assert not place.is_in(cookie)


def test_a_fresh_cookie_is_not_sent_again(place: Place) -> None:
    session, _ = place.log_in()
    place.clock.now_s += LIFETIME_S / 10 - 1
    assert place.sessions.seen(session) is None
    place.clock.now_s += 1
    newer = place.sessions.seen(session)
    assert newer is not None
    assert (newer.id, newer.ends_at_s) == (session.id, session.ends_at_s)


def test_a_longer_lifetime_revives_no_session(place: Place) -> None:
    """Neither an expired session, nor an ended one whose record is pruned."""
    ended, ended_cookie = place.log_in()
    _, over_cookie = place.log_in()
    place.sessions.end(ended)
    for stat in list(place.storage.list(f"{ENDED_FOLDER}/")):
        place.storage.delete(stat.key)
    place.clock.now_s += LIFETIMES * LIFETIME_S
    later = place.made(lifetime_s=100 * LIFETIME_S)
    assert later.read(ended_cookie) is None
    assert later.read(over_cookie) is None


# -- ends


def test_an_ended_session_is_over_in_every_process(tmp_path: Any) -> None:
    place = Place(FileStorage(tmp_path, durable=False))
    session, cookie = place.log_in()
    _, other = place.log_in()
    elsewhere = Sessions(
        FileStorage(tmp_path, durable=False),
        Accounts(place.users),
        lambda: ["key"],
        lifetime_s=LIFETIME_S,
        clock=place.clock,
    )
    newer = place.sessions.cookie(Session(session.id, MIRA, session.mark, session.ends_at_s, 1_000_001))
    place.sessions.end(session)
    for copy in (cookie, newer):
        assert place.sessions.read(copy) is None
        assert elsewhere.read(copy) is None
    assert elsewhere.read(other) is not None


def test_the_id_of_a_session_is_not_stored_when_it_ends(place: Place) -> None:
    session, _ = place.log_in()
    place.sessions.end(session)
    (stat,) = place.storage.list(f"{ENDED_FOLDER}/")
    assert session.id not in stat.key
    assert place.storage.read(stat.key)[0] == b""


def test_an_anonymous_session_stores_nothing(place: Place) -> None:
    before = [stat.key for stat in place.storage.list("")]
    for _ in range(5):
        place.sessions.end(place.sessions.begin(None))
    assert [stat.key for stat in place.storage.list("")] == before


def test_records_of_ended_sessions_are_pruned() -> None:
    place = Place()
    place.clock.now_s = time.time()  # records have the time of the storage's clock
    for _ in range(40):
        place.sessions.end(place.log_in()[0])
    place.clock.now_s += LIFETIMES * LIFETIME_S - 5
    place.sessions.end(place.log_in()[0])
    assert len(list(place.storage.list(f"{ENDED_FOLDER}/"))) == 41
    place.clock.now_s += 10
    for _ in range(300):
        session, cookie = place.log_in()
        place.sessions.end(session)
        assert not place.is_in(cookie)
    # 300 new records of the storage's clock are 12 lifetimes old by this one, so few are left
    assert len(list(place.storage.list(f"{ENDED_FOLDER}/"))) < 100


def test_a_new_password_ends_all_sessions(place: Place) -> None:
    place.users.create("zoe_x", "s3cret-two")
    _, cookie = place.log_in()
    other = place.sessions.cookie(place.sessions.begin(User("zoe_x")))
    place.users.set_password("mira_k", "s3cret-two")
    assert not place.is_in(cookie)
    place.users.set_password("mira_k", "s3cret-one")
    assert not place.is_in(cookie), "the same password once more is another one"
    assert place.sessions.read(other) is not None


def test_disabled_and_deleted_accounts_lose_sessions(place: Place) -> None:
    _, cookie = place.log_in()
    place.users.set_active("mira_k", False)
    assert not place.is_in(cookie)
    place.users.set_active("mira_k", True)
    assert place.is_in(cookie)
    place.users.delete("mira_k")
    assert not place.is_in(cookie)


def test_a_later_account_does_not_get_the_session(place: Place) -> None:
    _, cookie = place.log_in()
    place.users.delete("mira_k")
    place.users.create("mira_k", "s3cret-one", "mira@example.org")
    assert not place.is_in(cookie)


def test_a_session_shows_the_current_user(place: Place) -> None:
    _, cookie = place.log_in()
    place.users.set_administrator("mira_k", True)
    place.users.set_groups("mira_k", ["red"])
    session = place.sessions.read(cookie)
    assert session is not None
    assert session.user == User("mira_k", frozenset({"red"}), is_administrator=True)


def test_an_outage_ends_no_session(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    _, cookie = place.log_in()

    def fail(key: str) -> Any:
        raise StorageUnavailable(key, "switched off")

    with monkeypatch.context() as patch:
        patch.setattr(place.storage, "stat", fail)
        with pytest.raises(StorageUnavailable):
            place.sessions.read(cookie)
    assert place.is_in(cookie)


# -- backends without lookup


def only_passwords(groups: int) -> tuple[Sessions, User]:
    backend = Callback(lambda username, password: True)
    user = User("mira_k", frozenset(f"group-number-{n}" for n in range(groups)), is_administrator=True)
    return Sessions(MemoryStorage(), Accounts(backend), lambda: ["key"]), user


def test_without_lookup_the_cookie_holds_the_user() -> None:
    sessions, user = only_passwords(20)
    session = sessions.read(sessions.cookie(sessions.begin(user)))
    assert session is not None
    assert session.user == user


@pytest.mark.parametrize("groups", [21, 150, 5000])
def test_groups_too_long_for_a_cookie_are_left_out(groups: int) -> None:
    sessions, user = only_passwords(groups)
    cookie = sessions.cookie(sessions.begin(user))
    assert len(cookie) < 3900
    session = sessions.read(cookie)
    assert session is not None
    assert session.user is not None
    assert session.user.name == "mira_k"
    assert session.user.groups in (user.groups, frozenset())


def test_the_longest_name_fits_into_a_cookie() -> None:
    sessions, _ = only_passwords(0)
    user = User("\U0001f433" * 100 + "é" * 155)
    session = sessions.read(sessions.cookie(sessions.begin(user)))
    assert session is not None
    assert session.user == user


# -- forms


def test_a_form_token_is_bound_to_session_and_user(place: Place) -> None:
    session, _ = place.log_in()
    other, _ = place.log_in()
    nobody = place.sessions.begin(None)
    token = place.sessions.form_token(session, "mira_k")
    is_token = place.sessions.is_form_token
    assert is_token(session, "mira_k", token)
    assert not is_token(other, "mira_k", token)
    assert not is_token(session, "zoe_x", token)
    assert not is_token(session, None, token)
    assert not is_token(nobody, None, token)
    for wrong in ("", token[:-1], f"{token}x", token.swapcase(), "\xff", "\ud800", "x" * 100_000):
        assert not is_token(session, "mira_k", wrong)


@given(text=st.text(max_size=100))
def test_no_other_text_is_a_token(text: str) -> None:
    assert not _SHARED.sessions.is_form_token(_SHARED.sessions.begin(None), None, text)
