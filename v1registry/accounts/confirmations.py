"""One-time links that activate an account or confirm an address (hub.md 8), and when they are mailed.

A link names the account. Its signature binds it to an address, to the state of the account and to a time.
Nothing is stored for it: it works while the backend says that this address awaits confirmation in this state,
and following it ends that.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from hmac import compare_digest
from threading import Lock
from typing import Final

from cachetools import TTLCache
from itsdangerous import BadData
from itsdangerous.encoding import base64_decode, base64_encode

from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..signing import Keys, Signers
from .base import Backend
from .mail import Mailer, MailError, Recipient
from .newcomers import HOUR_S, mailbox_of
from .passwords import encoded
from .rates import Rate
from .records import folded

log = get_logger(__name__)

#: An address gets no second mail within this time, in seconds.
REPEAT_S: Final = 300.0

#: How many mails one user causes within DAY_S. Addresses can be added and removed, and may belong to other
#: people.
MOST_MAILS: Final = 30
DAY_S: Final = 86_400.0

#: Other texts are not links of ours; base64 decoders would ignore invalid characters.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{43}")

#: See :meth:`~v1registry.signing.Signers.of`.
_PURPOSE: Final = "v1registry confirmation link"

#: How many addresses are remembered for REPEAT_S, and how many users for DAY_S.
_CAPACITY: Final = 10_000


@dataclass(frozen=True)
class Link:
    """What a valid signature covers. Whether the link still works depends on the backend."""

    username: str
    _mark: str = field(repr=False)

    def is_for(self, email: str, state: str) -> bool:
        """Return whether the link was made for this address in this state of the account."""
        return compare_digest(self._mark, _mark_of(email, state))


class Links:
    """Signs links and reads them.

    :param keys: secrets, the newest last; it signs, all verify. A function is called at the first use.
        Without keys, a key of this process is made.
    :param lifetime_s: how long a link is valid, in seconds.
    """

    def __init__(
        self,
        keys: Keys = (),
        *,
        lifetime_s: int = 259_200,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._signers = Signers(keys)
        self._lifetime_s = lifetime_s
        self._clock = clock

    def sign(self, username: str, email: str, state: str) -> str:
        """Return the token of a link: letters, digits, ``-``, ``_`` and one dot. It does not contain the
        address.
        """
        ends_at_s = int(self._clock.time_s()) + self._lifetime_s
        payload = json.dumps([username, _mark_of(email, state), ends_at_s], separators=(",", ":"))
        return self._signers.of(_PURPOSE).sign(base64_encode(payload)).decode("ascii")

    def read(self, token: str) -> Link | None:
        """Return what a token contains; None if it is invalid or expired."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            # the signature is valid, so the payload has the format that we wrote
            username, mark, ends_at_s = json.loads(base64_decode(self._signers.of(_PURPOSE).unsign(token)))
        except BadData:
            return None
        return Link(username, mark) if self._clock.time_s() < ends_at_s else None


class Confirmations:
    """Mails links to the addresses that await confirmation, and follows them. Safe for threads.

    :param backend: has the accounts; with the flag ``can_confirm``.
    :param mailer: sends the links.
    :param links: signs them.
    :param address: the URL below which the links are, without a final slash. It is a setting, never the host
        of a request: otherwise a caller who registers with the address of another person could redirect that
        person's click.
    :param per_mailbox: how many mails all addresses of one mailbox get in an hour, and
    :param per_hour: how many are sent in all.
    """

    def __init__(
        self,
        backend: Backend,
        mailer: Mailer,
        links: Links,
        address: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
        per_mailbox: int = 5,
        per_hour: int = 500,
    ):
        self._by_mailbox = Rate(per_mailbox, HOUR_S, clock=clock)
        self._all = Rate(per_hour, HOUR_S, clock=clock)
        self._backend = backend
        self._mailer = mailer
        self._links = links
        self._address = address
        self._clock = clock
        self._mailed: TTLCache[tuple[str, str], bool] = TTLCache(_CAPACITY, REPEAT_S, timer=clock.monotonic_s)
        self._mails: TTLCache[str, list[float]] = TTLCache(
            _CAPACITY, DAY_S, timer=clock.monotonic_s
        )  # when, for each user
        self._lock = Lock()  # guards the two caches

    def ask(self, username: str, email: str | None = None) -> None:
        """Mail a link to each address of the user that awaits confirmation, or to this one alone.

        No mail is sent to an address that got one within REPEAT_S, nor for a user who caused MOST_MAILS
        within DAY_S, nor to a mailbox that got too many in the last hour. All are
        counted in this process. A mail that cannot be sent is logged, and sent again when the user asks
        again.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        waiting = self._backend.unconfirmed(username)
        user = self._backend.find(username) if waiting else None
        if user is None:
            return
        for address, state in waiting.items():
            is_meant = email is None or address.casefold() == email.casefold()
            if is_meant and self._is_due(username, address):
                self._mail(Recipient(username, address), state, is_new_account=not user.is_active)

    def wait_s(self, email: str) -> float:
        """Return the seconds until another mail may be sent to the mailbox of an address; 0 for no wait."""
        return max(self._by_mailbox.wait_s(mailbox_of(email)), self._all.wait_s(""))

    def is_good(self, token: str) -> bool:
        """Return whether the link would work now.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        return self._find(token) is not None

    def follow(self, token: str) -> bool:
        """Confirm the address and activate the account of a link. Return False if the link is invalid.

        Of simultaneous calls for one link one returns True.

        :raises BackendUnavailable: the backend cannot answer now.
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
        """Return user name, address and state of a link; None if it is invalid."""
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
        except Exception as error:  # noqa: BLE001  a mailer of another package: its text may contain the link
            log.error("the mail for %r was not sent: %s", user.name, type(error).__name__)
        else:
            return
        with self._lock:
            self._mailed.pop((user.name, folded(user.email)), None)
            if self._mails.get(user.name):
                self._mails[user.name].pop()
        self._by_mailbox.give_back(mailbox_of(user.email))
        self._all.give_back("")

    def _is_due(self, username: str, email: str) -> bool:
        """Return whether the address may get a mail, and record that it gets one now."""
        now, address = self._clock.monotonic_s(), (username, folded(email))
        with self._lock:
            # the cache keeps a list for DAY_S after the last mail, and the list has older ones
            lately = [mail_at for mail_at in self._mails.get(username, ()) if now < mail_at + DAY_S]
            if address in self._mailed or len(lately) >= MOST_MAILS or not self._takes_mail(email):
                return False
            self._mailed[address] = True
            self._mails[username] = [*lately, now]
        return True

    def _takes_mail(self, email: str) -> bool:
        """Count a mail to the mailbox of an address, and return whether it may be sent."""
        mailbox = mailbox_of(email)
        if self._by_mailbox.take(mailbox) > 0:
            log.warning("no mail was sent: its mailbox got too many in the last hour")
            return False
        if self._all.take("") > 0:
            self._by_mailbox.give_back(mailbox)
            log.warning("no mail was sent: too many were sent in the last hour")
            return False
        return True


def _mark_of(email: str, state: str) -> str:
    """Return a digest of an address and a state."""
    digest = hashlib.sha256()
    for text in (email, state):
        data = encoded(text)
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]
