"""Log-ins on the pages: what a cookie says, signed, short-lived, and ended by the server too.

A session is a cookie and nothing else; the storage knows only those that were ended before their time. It names the user with a mark
of the account's state, so that another password ends it, and each log-in makes a new one (no fixation). Forms carry a token
that is bound to the session, or before a log-in to one that names nobody.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from typing import Any, Final

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from ..accounts.passwords import encoded
from ..accounts.profiles import state_of
from ..accounts.service import Accounts
from ..rights import User
from ..signing import Keys, Signers
from ..storage.base import KeyNotFound, Storage

ENDED_FOLDER: Final = "accounts/sessions"

#: A session ends after so many times its idle lifetime, however busy it is.
LIFETIMES: Final = 12

#: How many forgotten ends are looked at when a session ends.
_PRUNED_AT_ONCE: Final = 50

#: Longer cookies are none of ours, in characters: browsers keep no more of one, its name and attributes included (RFC 6265, 6.1).
_LONGEST_COOKIE: Final = 3900

#: Of what a session says, in characters; base64 makes a third more of it.
_LONGEST_SAID: Final = 2800


@dataclass(frozen=True)
class Session:
    """What a cookie says."""

    id: str = field(repr=False)
    user: User | None  #: who logged in, as they were then; None before a log-in
    mark: str = field(repr=False)  #: of the account's state at the log-in
    ends_at_s: int  #: since the epoch, however busy it is
    seen_at_s: int


class Sessions:
    """Makes, reads and ends sessions. Safe for threads and, if the storage is, for processes.

    :param keys: gives the secrets, the newest last; it signs, all verify. Asked at the first use.
    :param lifetime_s: how long a session lasts without a request, in seconds.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        storage: Storage,
        accounts: Accounts,
        keys: Keys,
        *,
        lifetime_s: int = 3600,
        clock: Callable[[], float] = time.time,
    ):
        self._storage = storage
        self._accounts = accounts
        self._signers = Signers(keys)
        self._lifetime_s = lifetime_s
        self._clock = clock

    def begin(self, user: User | None) -> Session:
        """Return a new session: of a user who just proved who they are, or of nobody. BackendUnavailable."""
        now = int(self._clock())
        account = None if user is None else self._accounts.current(user)
        ends_at_s = now + LIFETIMES * self._lifetime_s
        mark = "" if account is None else self._signer("account").get_signature(state_of(account)).decode()
        return Session(secrets.token_urlsafe(18), user, mark, ends_at_s, now)

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, with the user as they are now; None for all that is none, or that ended.

        StorageUnavailable, BackendUnavailable.
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

        The groups count only where the backend cannot look up its users. Where they are more than a cookie has room for they are
        left out: then the user may do less on the pages, never more.
        """
        user = session.user
        groups = [] if user is None else sorted(user.groups)
        said = _said(session, groups)
        if len(said) > _LONGEST_SAID:
            said = _said(session, [])
        return self._signer("session").sign(base64_encode(said)).decode("ascii")

    def seen(self, session: Session) -> Session | None:
        """Return the session to send as a new cookie, so that it lasts from now on; None where the old one is fresh enough."""
        now = int(self._clock())
        if now - session.seen_at_s < self._lifetime_s / 10:
            return None
        return replace(session, seen_at_s=now)

    def end(self, session: Session) -> None:
        """End a session for good, whoever has a copy of the cookie. StorageUnavailable.

        One of nobody is worth nothing to whoever has it, so nothing is stored for it: anybody can begin as many as they like.
        """
        if session.user is None:
            return
        self._prune()
        self._storage.write(_ended_key(session), b"")

    def form_token(self, session: Session, username: str | None) -> str:
        """Return what the forms of this session carry. ``username`` is who is asking, logged in here or elsewhere."""
        return self._signer("form").get_signature(_form_text(session, username)).decode("ascii")

    def is_form_token(self, session: Session, username: str | None, token: str) -> bool:
        """Tell whether a form was made for this session and this user."""
        return self._signer("form").verify_signature(_form_text(session, username), encoded(token))

    # -- inside

    def _parse(self, cookie: str | None) -> Session | None:
        if cookie is None or len(cookie) > _LONGEST_COOKIE:
            return None
        try:
            # whoever has the key made it, so its shape is ours
            said: list[Any] = json.loads(base64_decode(self._signer("session").unsign(encoded(cookie))))
        except BadData:
            return None
        id_, who, mark, ends_at_s, seen_at_s = said
        user = User(who[0], frozenset(who[1]), is_administrator=who[2]) if who else None
        return Session(id_, user, mark, ends_at_s, seen_at_s)

    def _is_running(self, session: Session) -> bool:
        # an end is fixed and the other one is not, so no other lifetime brings back one whose mark of its end is forgotten
        if self._clock() >= min(session.seen_at_s + self._lifetime_s, session.ends_at_s):
            return False
        try:
            self._storage.stat(_ended_key(session))
        except KeyNotFound:
            return True
        return False

    def _prune(self) -> None:
        """Forget some of the ends of sessions that would be over anyway."""
        oldest_s = self._clock() - LIFETIMES * self._lifetime_s
        oldest = datetime.fromtimestamp(oldest_s, timezone.utc)
        # from anywhere on, so that in the end each one is looked at
        start = f"{ENDED_FOLDER}/{secrets.token_hex(1)}"
        for stat in list(islice(self._storage.list(f"{ENDED_FOLDER}/", after=start), _PRUNED_AT_ONCE)):
            if stat.modified < oldest:
                try:
                    self._storage.delete(stat.key)
                except KeyNotFound:
                    continue

    def _signer(self, purpose: str) -> Signer:
        return self._signers.of(f"v1registry pages {purpose}")


def _said(session: Session, groups: list[str]) -> str:
    user = session.user
    who = [] if user is None else [user.name, groups, user.is_administrator]
    return json.dumps([session.id, who, session.mark, session.ends_at_s, session.seen_at_s])


def _ended_key(session: Session) -> str:
    return f"{ENDED_FOLDER}/{hashlib.sha256(session.id.encode('ascii')).hexdigest()}"


def _form_text(session: Session, username: str | None) -> bytes:
    return encoded(json.dumps([session.id, username]))
