"""Sessions of users who logged in on the pages, kept in signed cookies.

The storage knows only the sessions that were ended before they expired. A session holds a signature of the
account's state, so that a changed password ends it. Each log-in makes a new session (no session fixation).
Forms carry a token that is bound to the session. Anonymous visitors get a session without a user for that.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from ..accounts.passwords import encoded
from ..accounts.profiles import state_of
from ..accounts.service import Accounts
from ..clock import SYSTEM_CLOCK, Clock
from ..rights import User
from ..signing import Keys, Signers
from ..storage.base import KeyNotFound, Storage

ENDED_FOLDER: Final = "accounts/sessions"

#: The maximum lifetime of a session, as a multiple of its idle lifetime.
LIFETIMES: Final = 12

#: How many records of ended sessions are checked for removal when a session ends.
_PRUNED_AT_ONCE: Final = 50

#: Maximum length of a cookie, in characters. Browsers keep 4096 bytes with name and attributes (RFC 6265,
#: 6.1).
_LONGEST_COOKIE: Final = 3900

#: Maximum length of the JSON in a cookie, in characters. base64 makes it a third longer.
_LONGEST_JSON: Final = 2800


@dataclass(frozen=True)
class Session:
    """The content of a session cookie."""

    id: str = field(repr=False)
    user: User | None  #: the user as of the log-in; None for an anonymous visitor
    mark: str = field(repr=False)  #: a signature of the account's state at the log-in
    ends_at_s: int  #: the latest end, in seconds since the epoch
    seen_at_s: int  #: the last refresh of the cookie, in seconds since the epoch


class Sessions:
    """Makes, reads and ends sessions. Safe for threads and, if the storage is, for processes.

    :param keys: returns the secrets, the newest last. The newest signs, all verify. Called at the first use.
    :param lifetime_s: idle lifetime of a session, in seconds.
    """

    def __init__(
        self,
        storage: Storage,
        accounts: Accounts,
        keys: Keys,
        *,
        lifetime_s: int = 3600,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._storage = storage
        self._accounts = accounts
        self._signers = Signers(keys)
        self._lifetime_s = lifetime_s
        self._clock = clock

    def begin(self, user: User | None) -> Session:
        """Return a new session of an authenticated user, or of an anonymous visitor.

        :raises BackendUnavailable: the backend does not answer.
        """
        now = int(self._clock.time_s())
        account = None if user is None else self._accounts.current(user)
        ends_at_s = now + LIFETIMES * self._lifetime_s
        mark = "" if account is None else self._signer("account").get_signature(state_of(account)).decode()
        return Session(secrets.token_urlsafe(18), user, mark, ends_at_s, now)

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie with the current user; None if the cookie is invalid or has expired.

        :raises StorageUnavailable: the storage does not answer.
        :raises BackendUnavailable: the backend does not answer.
        """
        session = self._parse(cookie)
        if session is None or not self._is_running(session):
            return None
        if session.user is None:
            return session
        account = self._accounts.current(session.user)
        if account is None or not account.user.is_active:
            return None
        if not self._signer("account").verify_signature(state_of(account), encoded(session.mark)):
            return None
        return replace(session, user=account.user)

    def cookie(self, session: Session) -> str:
        """Return the value of the cookie: letters, digits, ``-``, ``_`` and one dot.

        The groups are used only if the backend cannot look up its users. They are left out if the cookie
        would be too long. The user then has fewer rights on the pages, never more.
        """
        user = session.user
        groups = [] if user is None else sorted(user.groups)
        text = _json_of(session, groups)
        if len(text) > _LONGEST_JSON:
            text = _json_of(session, [])
        return self._signer("session").sign(base64_encode(text)).decode("ascii")

    def seen(self, session: Session) -> Session | None:
        """Return the session with a new idle lifetime, to be sent as a cookie; None if it is recent."""
        now = int(self._clock.time_s())
        if now - session.seen_at_s < self._lifetime_s / 10:
            return None
        return replace(session, seen_at_s=now)

    def end(self, session: Session) -> None:
        """End a session, also for copies of its cookie.

        Nothing is stored for sessions of anonymous visitors. They grant nothing, and anyone can begin any
        number.

        :raises StorageUnavailable: the storage does not answer.
        """
        if session.user is None:
            return
        self._prune()
        self._storage.write(_ended_key(session), b"")

    def form_token(self, session: Session, username: str | None) -> str:
        """Return the token for the forms of this session.

        :param username: the visitor, logged in here or by the surrounding application; None if anonymous.
        """
        return self._signer("form").get_signature(_form_text(session, username)).decode("ascii")

    def is_form_token(self, session: Session, username: str | None, token: str) -> bool:
        """Say whether a form was made for this session and this user."""
        return self._signer("form").verify_signature(_form_text(session, username), encoded(token))

    # -- inside

    def _parse(self, cookie: str | None) -> Session | None:
        if cookie is None or len(cookie) > _LONGEST_COOKIE:
            return None
        try:
            # the signature is valid, so the payload has the format that _json_of wrote
            values: list[Any] = json.loads(base64_decode(self._signer("session").unsign(encoded(cookie))))
        except BadData:
            return None
        id_, who, mark, ends_at_s, seen_at_s = values
        user = _user_of(*who) if who else None
        return Session(id_, user, mark, ends_at_s, seen_at_s)

    def _is_running(self, session: Session) -> bool:
        # ends_at_s is fixed in the cookie, so a longer lifetime setting cannot revive a session whose end is
        # pruned
        if self._clock.time_s() >= min(session.seen_at_s + self._lifetime_s, session.ends_at_s):
            return False
        try:
            self._storage.stat(_ended_key(session))
        except KeyNotFound:
            return True
        return False

    def _prune(self) -> None:
        """Remove some records of ended sessions that have expired by now."""
        oldest = self._clock.now() - timedelta(seconds=LIFETIMES * self._lifetime_s)
        # a random start, so that each record is checked eventually
        start = f"{ENDED_FOLDER}/{secrets.token_hex(1)}"
        for stat in list(islice(self._storage.list(f"{ENDED_FOLDER}/", after=start), _PRUNED_AT_ONCE)):
            if stat.modified < oldest:
                try:
                    self._storage.delete(stat.key)
                except KeyNotFound:
                    continue

    def _signer(self, purpose: str) -> Signer:
        return self._signers.of(f"v1registry pages {purpose}")


def _user_of(name: str, groups: list[str], is_administrator: bool, id_: str = "") -> User:
    return User(name, frozenset(groups), is_administrator=is_administrator, id=id_)


def _json_of(session: Session, groups: list[str]) -> str:
    user = session.user
    who = [] if user is None else [user.name, groups, user.is_administrator, *filter(None, [user.id])]
    return json.dumps([session.id, who, session.mark, session.ends_at_s, session.seen_at_s])


def _ended_key(session: Session) -> str:
    return f"{ENDED_FOLDER}/{hashlib.sha256(session.id.encode('ascii')).hexdigest()}"


def _form_text(session: Session, username: str | None) -> bytes:
    return encoded(json.dumps([session.id, username]))
