"""One-time links that activate an account or confirm an address (hub.md 8), and when they are mailed.

A link names the account and is bound, by its signature, to an address, to the account's state and to a time. Nothing is stored for
it: it works while the directory says that this address of this account still waits for its confirmation, and following it
ends that.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from threading import Lock
from typing import Final

from itsdangerous import BadData
from itsdangerous.encoding import base64_decode, base64_encode

from ..log import get_logger
from ..signing import Keys, Signers
from .base import Backend
from .mail import Mailer, MailError, Recipient
from .passwords import encoded
from .records import folded

log = get_logger(__name__)

#: How soon the same address gets another mail, in seconds: a lost mail is asked for again, nobody is flooded.
REPEAT_S: Final = 300.0

#: How many mails one user's requests send in DAY_S: addresses can be added and removed again, each of them somebody's.
MOST_MAILS: Final = 30
DAY_S: Final = 86_400.0

#: Other texts are no link of ours; decoders of base64 would skip what does not belong there.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{43}")

#: See :meth:`~v1registry.signing.Signers.of`.
_PURPOSE: Final = "v1registry confirmation link"

#: How many addresses are remembered for REPEAT_S, and how many users for DAY_S.
_CAPACITY: Final = 10_000


@dataclass(frozen=True)
class Link:
    """What a good signature covers; whether the link still works is the directory's to say."""

    username: str
    _mark: str = field(repr=False)

    def is_for(self, email: str, state: str) -> bool:
        """Tell whether the link was made for this address while the account was in this state."""
        return compare_digest(self._mark, _mark_of(email, state))


class Links:
    """Signs links and reads them.

    :param keys: secrets, the newest last; it signs, all verify. A function is asked for them at the first use. Without
        any, a key of this process alone is made.
    :param lifetime_s: how long a link is good, in seconds.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        keys: Keys = (),
        *,
        lifetime_s: int = 259_200,
        clock: Callable[[], float] = time.time,
    ):
        self._signers = Signers(keys)
        self._lifetime_s = lifetime_s
        self._clock = clock

    def sign(self, username: str, email: str, state: str) -> str:
        """Return the token of a link: letters, digits, ``-``, ``_`` and one dot. The address does not stand in it."""
        ends_at_s = int(self._clock()) + self._lifetime_s
        said = json.dumps([username, _mark_of(email, state), ends_at_s], separators=(",", ":"))
        return self._signers.of(_PURPOSE).sign(base64_encode(said)).decode("ascii")

    def read(self, token: str) -> Link | None:
        """Return what a token says if it is one of ours that has not expired, else None."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            # whoever has the key made it, so its shape is ours
            username, mark, ends_at_s = json.loads(base64_decode(self._signers.of(_PURPOSE).unsign(token)))
        except BadData:
            return None
        return Link(username, mark) if self._clock() < ends_at_s else None


class Confirmations:
    """Mails links to the addresses that wait for one, and takes them. Safe for threads.

    :param backend: has the accounts; with the flag ``can_confirm``.
    :param mailer: sends the links.
    :param links: signs them.
    :param address: the URL below which they are, without a final slash: a setting, never what a request names as its host,
        because whoever registers with somebody else's address could make that person's click go elsewhere.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        backend: Backend,
        mailer: Mailer,
        links: Links,
        address: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._backend = backend
        self._mailer = mailer
        self._links = links
        self._address = address
        self._clock = clock
        self._mailed: OrderedDict[tuple[str, str], float] = OrderedDict()  # the oldest first
        self._mails: OrderedDict[str, list[float]] = (
            OrderedDict()
        )  # of each user, when; who got one last comes last
        self._lock = Lock()  # guards both

    def ask(self, username: str, email: str | None = None) -> None:
        """Mail a link to each address of the user that waits for its confirmation, or to this one alone.

        Nothing is mailed to an address that got one less than REPEAT_S before, nor for a user who got MOST_MAILS within DAY_S; both are
        counted in this process. What cannot be mailed is logged and changes nothing:
        the next time that somebody asks it is tried again. BackendUnavailable.
        """
        waiting = self._backend.unconfirmed(username)
        user = self._backend.find(username) if waiting else None
        if user is None:
            return
        for address, state in waiting.items():
            is_meant = email is None or address.casefold() == email.casefold()
            if is_meant and self._is_due(username, address):
                self._mail(Recipient(username, address), state, is_new_account=not user.is_active)

    def is_good(self, token: str) -> bool:
        """Tell whether the link would work now. BackendUnavailable."""
        return self._find(token) is not None

    def follow(self, token: str) -> bool:
        """Confirm the address, and activate the account, for which the link was made; False where it is no good.

        Of many who follow one link at once, one is told True. BackendUnavailable.
        """
        found = self._find(token)
        if found is None:
            return False
        username, email, state = found
        is_done = self._backend.confirm(username, email, state)
        if is_done:
            log.info("an address of %r was confirmed", username)
        return is_done

    def _find(self, token: str) -> tuple[str, str, str] | None:
        """Return user name, address and state for which a link was made, None where it is no good."""
        link = self._links.read(token)
        if link is None:
            return None
        for email, state in self._backend.unconfirmed(link.username).items():
            if link.is_for(email, state):
                return link.username, email, state
        return None

    def _mail(self, user: Recipient, state: str, *, is_new_account: bool) -> None:
        link = f"{self._address}/{self._links.sign(user.name, user.email, state)}"
        send = self._mailer.send_activation if is_new_account else self._mailer.send_confirmation
        try:
            send(user, link)
        except MailError as error:
            log.error("the mail for %r was not sent: %s", user.name, error)
        except Exception as error:  # noqa: BLE001  a mailer of somebody else's: its text may hold the link
            log.error("the mail for %r was not sent: %s", user.name, type(error).__name__)
        else:
            return
        with self._lock:
            self._mailed.pop((user.name, folded(user.email)), None)
            if self._mails.get(user.name):
                self._mails[user.name].pop()

    def _is_due(self, username: str, email: str) -> bool:
        """Tell whether the address may get a mail, and note that it gets one now."""
        now, address = self._clock(), (username, folded(email))
        with self._lock:
            mailed_at = self._mailed.get(address)
            lately = [mail_at for mail_at in self._mails.get(username, ()) if now < mail_at + DAY_S]
            if (mailed_at is not None and now < mailed_at + REPEAT_S) or len(lately) >= MOST_MAILS:
                return False
            self._mailed[address] = now
            self._mailed.move_to_end(address)
            self._mails[username] = [*lately, now]
            self._mails.move_to_end(username)
            for remembered in (self._mailed, self._mails):
                while len(remembered) > _CAPACITY:
                    remembered.popitem(last=False)
        return True


def _mark_of(email: str, state: str) -> str:
    """Return a text that no other address, and no other state, has."""
    digest = hashlib.sha256()
    for text in (email, state):
        data = encoded(text)
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]
