"""What users granted to applications: authorization codes, access tokens, refresh tokens (oauth.md 3).

Nothing is locked. A grant is one value, and whatever works once (a code, a refresh token) works by a conditional write of it: of
two processes that redeem one code at the same instant one writes, and the other one sees that. Reuse, revocation and the end
of a grant are its deletion, after which no conditional write succeeds; the tokens end with it because it lists them.

What is no good any more is removed as new codes and tokens are issued, a few a time, so nothing grows without end.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import Final

from ..accounts.base import Account, BackendUnavailable, NamedAccount
from ..accounts.service import Accounts
from ..errors import OAuthError
from ..log import get_logger
from ..rights import Bearer, User
from ..signing import shared_secret
from ..storage import records
from ..storage.base import KeyNotFound, Storage, StorageUnavailable, update
from .applications import Application, Applications, digest_of, new_secret
from .marks import AccountMarks
from .records import (
    ENDED,
    MARK_DIGITS,
    TOKENS_FOLDER,
    AccessToken,
    Code,
    Grant,
    Pointer,
    RefreshToken,
    grant_key,
    grants_folder,
    token_key,
)

log = get_logger(__name__)

#: In seconds (oauth.md 3.1).
CODE_LIFETIME_S: Final = 60

#: In seconds: 180 days (oauth.md 3.2).
ACCESS_LIFETIME_S: Final = 15_552_000

#: In seconds, from the last refresh; the documents name no end. An application that does not come for a year lost its tokens.
REFRESH_LIFETIME_S: Final = 31_104_000

#: How long the grant of a user is good whom no backend can look up, in seconds: a year, however often it is refreshed. Nobody is told
#: when such a user is gone.
REMEMBERED_LIFETIME_S: Final = 31_536_000

#: Codes and tokens have 30 letters and digits, as those of the documents (oauth.md 3.2): 178 bits.
TOKEN_CHARACTERS: Final = 30

#: How many grants of one user to one application are good at a time; another one ends the oldest. Applications that let users
#: log in through this server ask anew each time.
MOST_GRANTS: Final = 50

#: How many codes and tokens are looked at, whether they can be removed, when one is issued.
_TIDIED: Final = 8

#: How long a token that no grant lists yet is taken for one that is just being issued, in seconds.
_BEING_ISSUED_S: Final = 3600

_TOKEN: Final = re.compile(rf"[A-Za-z0-9]{{{TOKEN_CHARACTERS}}}")
_GRANT_ID: Final = re.compile(r"[0-9a-f]{32}")
_ACCESS_ID: Final = re.compile(rf"[0-9a-f]{{32}}\.[0-9a-f]{{{MARK_DIGITS}}}")


@dataclass(frozen=True)
class Issued:
    """New tokens. They are nowhere else: only their digests are stored."""

    account: Account
    scopes: tuple[str, ...]  #: of the access token, in the order in which they were granted
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int = ACCESS_LIFETIME_S


@dataclass(frozen=True)
class GoodToken:
    """An access token that is good, with all that it is good for."""

    application: Application
    account: Account  #: as it is now; it may be inactive
    scopes: tuple[str, ...]
    issued_at_s: float
    expires_at_s: float
    access_id: str  #: see Bearer


@dataclass(frozen=True)
class GrantSummary:
    """What a user granted, as it is shown to them."""

    id: str
    application: Application
    scopes: tuple[str, ...]
    granted_at: datetime  #: aware, UTC


class _Used(Exception):
    """A code or a refresh token was used before; ``grant`` is what it belongs to now."""

    def __init__(self, grant: Grant):
        super().__init__()
        self.grant = grant


class _Ended(Exception):
    """A grant is there no longer, or what shall be used has expired."""


class Grants:
    """Issues codes and tokens, and knows which are good: a :class:`~v1registry.accounts.base.BearerVerifier`.

    Safe for threads and, if the storage is, for processes. A token is good while it has not expired, its grant is there, and
    its application and the account of its user are the ones that they were: each use looks.

    Whether an account is the one that it was, its id tells, so nothing that its user changes ends a grant. Where the backend keeps names
    alone the stored password tells: another one ends what was granted before. Where there is none to be seen either (LDAP), a user who is
    gone is noticed when a token is used, or when another one is issued; somebody who gets the name before that cannot be told from the
    one before. Where users cannot be looked up at all, a grant is good for REMEMBERED_LIFETIME_S.

    :param storage: where they are, below ``accounts/oauth/``.
    :param keys: gives the secrets for marks of accounts, the newest last; that of the storage when left out.
    :param clock: seconds since the epoch; the same for all processes, as far as clocks go.

    StorageUnavailable from every method, also where a record cannot be understood; BackendUnavailable while nobody can tell
    whether a user is still there.
    """

    def __init__(
        self,
        storage: Storage,
        applications: Applications,
        accounts: Accounts,
        *,
        keys: Callable[[], Sequence[str]] | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self._storage = storage
        self._applications = applications
        self._accounts = accounts
        self._marks = AccountMarks((lambda: [shared_secret(storage)]) if keys is None else keys)
        self._clock = clock

    # -- access tokens

    def verify(self, token: str) -> Bearer | None:
        """Return what an access token is good for, None where it is no good; its user may be inactive."""
        good = self.good_token(token)
        if good is None:
            return None
        application = good.application
        return Bearer(
            good.account.user,
            frozenset(good.scopes),
            application.client_id,
            application.is_trusted,
            good.access_id,
            good.expires_at_s,
        )

    def is_granted(self, username: str, access_id: str) -> bool:
        """Tell whether the access token of a Bearer is still good."""
        if not _ACCESS_ID.fullmatch(access_id):
            return False
        grant_id, _, mark = access_id.partition(".")
        grant = self._read(grant_key(username, grant_id))
        access = None if grant is None else grant.access_token_marked(mark, self._now())
        return grant is not None and access is not None and self._parties(grant) is not None

    def good_token(self, token: str) -> GoodToken | None:
        """Return all that is known of an access token, None where it is no good."""
        digest = digest_of(token)
        grant = self._grant_of(token)
        access = None if grant is None else grant.access_token(digest, self._now())
        if grant is None or access is None:
            return None
        parties = self._parties(grant)
        if parties is None:
            return None
        access_id = f"{grant.id}.{access.mark}"
        return GoodToken(*parties, access.scopes, access.issued_at_s, access.expires_at_s, access_id)

    # -- codes

    def issue_code(
        self,
        application: Application,
        account: Account,
        scopes: tuple[str, ...],
        *,
        redirect_uri: str,
        is_redirect_given: bool,
        challenge: str | None,
    ) -> str:
        """Return a code for what a user just granted; it is good for CODE_LIFETIME_S, once.

        :param redirect_uri: where it is sent; who redeems it names the same one if ``is_redirect_given``.
        :param challenge: of PKCE, by S256; None where the request had none.
        """
        user, now_s = account.user, self._now()
        self._make_room(user.name, application)
        code = new_secret(TOKEN_CHARACTERS)
        grant = Grant(
            id=secrets.token_hex(16),
            username=user.name,
            account_id=account.id,
            groups=tuple(sorted(user.groups)),
            is_administrator=user.is_administrator,
            client_id=application.client_id,
            application_id=application.id,
            scopes=scopes,
            granted_at_s=now_s,
            code=Code(digest_of(code), now_s + CODE_LIFETIME_S, redirect_uri, is_redirect_given, challenge),
            is_redeemed=False,
            access_tokens=(),
            used_digests=(),
            account_mark=self._marks.of(account),
        )
        self._point(grant, code)
        records.create(self._storage, _key(grant), grant)
        self._tidy()
        return code

    def of_code(self, code: str, application: Application, verifier: str | None = None) -> Grant:
        """Return the grant whose code this is, if it may be redeemed now. OAuthError ``invalid_grant``.

        One that was redeemed before is told, and revokes what it gave (RFC 6749, 4.1.2): if it comes from somebody who could have
        redeemed it. Who saw a code pass by, and has no verifier for its challenge, ends nothing.

        :param verifier: of PKCE, as it came. Whether a code that was not used yet needs one is for the caller to see to.
        """
        grant = self._grant_of(code)
        if grant is None or grant.code.digest != digest_of(code):
            raise _refused("code")
        if grant.is_redeemed and not grant.code.is_verified_by(verifier):
            raise _refused("code")
        return self._usable(grant, code, application, "code")

    def redeem(self, code: str, application: Application, verifier: str | None = None) -> Issued:
        """Return tokens for a code. OAuthError ``invalid_grant`` as :meth:`of_code`: of many at once, one gets them."""
        grant = self.of_code(code, application, verifier)
        return self._issue(grant, code, grant.scopes, "code")

    # -- refresh tokens

    def of_refresh_token(self, token: str, application: Application) -> Grant:
        """Return the grant whose refresh token this is, if it is good now. OAuthError ``invalid_grant``.

        One that was used before revokes the grant: somebody else may have it (RFC 9700, 4.14.2).
        """
        grant = self._grant_of(token)
        if grant is None or grant.code.digest == digest_of(token):
            raise _refused("refresh token")
        return self._usable(grant, token, application, "refresh token")

    def refresh(self, token: str, application: Application, scopes: tuple[str, ...]) -> Issued:
        """Return new tokens for a refresh token, which works once.

        The new refresh token is good for all that was granted, whatever the new access token is for (RFC 6749, 6).

        :param scopes: of the new access token; some of those that were granted. OAuthError ``invalid_scope``.
        """
        grant = self.of_refresh_token(token, application)
        if not set(scopes) <= set(grant.scopes):
            raise OAuthError("invalid_scope", "The scope is wider than what was granted")
        return self._issue(grant, token, scopes, "refresh token")

    # -- the end

    def revoke_token(self, token: str, application: Application) -> None:
        """End an access token, or with a refresh token all that was granted with it (RFC 7009, 2.1).

        A token that is no good is no error. OAuthError ``invalid_grant`` for one of another application.
        """
        grant = self._grant_of(token)
        if grant is None:
            return
        if grant.application_id != application.id:
            raise OAuthError("invalid_grant", "The token is one of another application")
        digest = digest_of(token)
        if not any(digest == access.digest for access in grant.access_tokens):
            self._end(grant)
            return

        def strike(value: bytes | None) -> bytes | None:
            if value is None or value == ENDED:
                return None
            return records.dumped(records.parsed(_key(grant), value, Grant).without(digest))

        update(self._storage, _key(grant), strike)
        self._delete(token_key(digest))

    def of_user(self, username: str) -> list[GrantSummary]:
        """Return what a user granted that is still good, the newest first."""
        account = self._accounts.current(User(username))
        found = []
        for grant in self._grants(username) if account is not None else ():
            application = self._application(grant)
            is_good = grant.is_redeemed and grant.is_live(self._now())
            if application is not None and is_good and account is not None and self._is_of(grant, account):
                found.append((grant, application))
        return [
            GrantSummary(
                grant.id,
                application,
                grant.scopes,
                datetime.fromtimestamp(grant.granted_at_s, timezone.utc),
            )
            for grant, application in sorted(found, key=lambda pair: -pair[0].granted_at_s)
        ]

    def revoke(self, username: str, grant_id: str) -> bool:
        """End a grant of a user with all its tokens, at once and everywhere; False where there is none of this id."""
        if not _GRANT_ID.fullmatch(grant_id):
            return False
        grant = self._read(grant_key(username, grant_id))
        return grant is not None and self._end(grant)

    def revoke_all(self, username: str) -> int:
        """End all that a user granted; return how much it was."""
        return sum(self._end(grant) for grant in list(self._grants(username)))

    # -- inside

    def _now(self) -> float:
        return float(self._clock())

    def _usable(self, grant: Grant, secret: str, application: Application, what: str) -> Grant:
        """Return the grant if the code or refresh token works for the application now. OAuthError."""
        digest = digest_of(secret)
        if grant.application_id != application.id:
            raise _refused(what)
        if grant.was_used(digest):
            self._end(grant)
            raise _reused(what)
        parties = self._parties(grant)
        if not grant.accepts(digest, self._now()) or parties is None or not parties[1].user.is_active:
            raise _refused(what)
        return grant

    def _issue(self, grant: Grant, used: str, scopes: tuple[str, ...], what: str) -> Issued:
        """Return new tokens for a code or a refresh token that works, and note that it was used. OAuthError."""
        parties = self._parties(grant)
        if parties is None:
            raise _refused(what)
        now_s, digest, account = self._now(), digest_of(used), parties[1]
        most_s = _ends_at_s(grant, account) - now_s
        issued = Issued(
            account,
            tuple(scope for scope in grant.scopes if scope in scopes),
            new_secret(TOKEN_CHARACTERS),
            new_secret(TOKEN_CHARACTERS),
            int(min(ACCESS_LIFETIME_S, most_s)),
        )
        access_ends_s, refresh_ends_s = (
            now_s + min(lifetime_s, most_s) for lifetime_s in (ACCESS_LIFETIME_S, REFRESH_LIFETIME_S)
        )
        access = AccessToken(digest_of(issued.access_token), issued.scopes, now_s, access_ends_s)
        refresh = RefreshToken(digest_of(issued.refresh_token), refresh_ends_s)
        # with the newest key
        mark = self._marks.of(account)
        forgotten: frozenset[str] = frozenset()

        def use(value: bytes | None) -> bytes:
            nonlocal forgotten
            if value is None or value == ENDED:
                raise _Ended
            current = records.parsed(_key(grant), value, Grant)
            if current.was_used(digest):
                raise _Used(current)
            if not current.accepts(digest, now_s):
                raise _Ended
            changed = current.with_tokens(access, refresh, now_s, mark)
            forgotten = current.digests - changed.digests
            return records.dumped(changed)

        # before the grant lists them: if something fails here, the code or the refresh token still works
        for token in (issued.access_token, issued.refresh_token):
            self._point(grant, token)
        try:
            update(self._storage, _key(grant), use)
        except (_Used, _Ended) as error:
            forgotten = frozenset((access.digest, refresh.digest))
            if isinstance(error, _Ended):
                raise _refused(what) from None
            self._end(error.grant)
            raise _reused(what) from None
        finally:
            for old in forgotten:
                self._delete(token_key(old))
        self._tidy()
        return issued

    def _end(self, grant: Grant) -> bool:
        """Remove a grant, and with it all that it led to; False where somebody else did that."""
        is_ended = self._delete(_key(grant))
        for digest in grant.digests:
            self._delete(token_key(digest))
        return is_ended

    def _parties(self, grant: Grant) -> tuple[Application, Account] | None:
        """Return the application and the user as they are now, None where one of them is gone. BackendUnavailable.

        The grant of a user who is gone is removed, where nothing else would tell that a later one of the same name is another one.
        A file of passwords is empty for a moment while it is written, so there their mark has to tell.
        """
        application = self._application(grant)
        if application is None:
            return None
        account = self._accounts.current(grant.user)
        if account is None and not grant.account_mark:
            self._end(grant)
        if account is None or not self._is_of(grant, account):
            return None
        return application, account

    def _is_of(self, grant: Grant, account: Account) -> bool:
        """Tell whether the account is the one whose user granted this, and the grant has not come to its end."""
        return (
            account.id == grant.account_id
            and self._marks.is_of(grant.account_mark, account)
            and self._now() < _ends_at_s(grant, account)
        )

    def _application(self, grant: Grant) -> Application | None:
        application = self._applications.get(grant.client_id)
        return application if application is not None and application.id == grant.application_id else None

    # -- records

    def _grant_of(self, secret: str) -> Grant | None:
        """Return the grant that knows a code or a token, None where none does."""
        if not _TOKEN.fullmatch(secret):
            return None
        digest = digest_of(secret)
        pointer = self._pointer(token_key(digest))
        grant = None if pointer is None else self._read(pointer.grant_key)
        return grant if grant is not None and digest in grant.digests else None

    def _point(self, grant: Grant, secret: str) -> None:
        pointer = Pointer(grant.username, grant.id, self._now())
        records.create(self._storage, token_key(digest_of(secret)), pointer)

    def _pointer(self, key: str) -> Pointer | None:
        return records.find(self._storage, key, Pointer)

    def _read(self, key: str) -> Grant | None:
        """Return a grant, None if there is none. BrokenRecord."""
        try:
            value = self._storage.read(key)[0]
        except KeyNotFound:
            return None
        if value == ENDED:
            # left by somebody who was interrupted
            self._delete(key)
            return None
        return records.parsed(key, value, Grant)

    def _grants(self, username: str) -> Iterator[Grant]:
        """Yield all that a user granted, good or not. A broken record does not hide the others."""
        for stat in self._storage.list(f"{grants_folder(username)}/"):
            try:
                grant = self._read(stat.key)
            except records.BrokenRecord as error:
                log.error("%s", error)
                continue
            if grant is not None:  # it may have ended meanwhile
                yield grant

    def _delete(self, key: str) -> bool:
        with suppress(KeyNotFound):
            self._storage.delete(key)
            return True
        return False

    # -- what is no good any more

    def _make_room(self, username: str, application: Application) -> None:
        """Remove what a user granted that is dead, and the oldest of what is too many."""
        codes: list[Grant] = []
        grants: list[Grant] = []
        for grant in list(self._grants(username)):
            if self._is_over(grant):
                self._remove(grant)
            elif grant.application_id == application.id:
                (grants if grant.is_redeemed else codes).append(grant)
        for some in (codes, grants):
            some.sort(key=lambda grant: grant.granted_at_s)
            for grant in some[: max(0, len(some) - MOST_GRANTS + 1)]:
                self._remove(grant)

    def _tidy(self) -> None:
        """Look at some codes and tokens, from any one on, and remove those that are no good. What fails is left for later."""
        start = token_key(secrets.token_hex(32))
        folder = f"{TOKENS_FOLDER}/"
        try:
            keys = [stat.key for stat in islice(self._storage.list(folder, after=start), _TIDIED)]
            if len(keys) < _TIDIED:
                first = islice(self._storage.list(folder), _TIDIED - len(keys))
                keys += [stat.key for stat in first if stat.key <= start]
        except StorageUnavailable as error:
            log.warning("old tokens are not removed now: %s", error.reason)
            return
        for key in keys:
            try:
                self._tidy_one(key)
            except (StorageUnavailable, BackendUnavailable) as error:
                log.warning("an old token is not removed now: %s", error)

    def _tidy_one(self, key: str) -> None:
        pointer = self._pointer(key)
        if pointer is None:
            return
        grant = self._read(pointer.grant_key)
        if grant is None or key.rpartition("/")[2] not in grant.digests:
            if self._now() - pointer.written_at_s > _BEING_ISSUED_S:
                self._delete(key)
        elif self._is_over(grant):
            self._remove(grant)

    def _is_over(self, grant: Grant) -> bool:
        """Tell whether a grant is good for nothing, and never will be. BackendUnavailable.

        An account that is another one now may be the same one again: a backend that is away lets a namesake in a later one be seen. So
        what was granted for it is over when its tokens are.
        """
        if not grant.is_live(self._now()) or self._application(grant) is None:
            return True
        return self._accounts.current(grant.user) is None and not grant.account_mark

    def _remove(self, grant: Grant) -> None:
        """Remove a grant that nobody needs, unless it was used since it was read: then somebody just got tokens for it.

        Storages do not delete on a condition, but they write on one.
        """

        def ended(value: bytes | None) -> bytes | None:
            is_same = (
                value is not None and value != ENDED and records.parsed(_key(grant), value, Grant) == grant
            )
            return ENDED if is_same else None

        if update(self._storage, _key(grant), ended)[1] == ENDED:
            self._end(grant)


def _ends_at_s(grant: Grant, account: Account) -> float:
    """Return when the grant of this account ends, whatever is done with it."""
    is_remembered = isinstance(account, NamedAccount) and account.is_remembered
    return grant.granted_at_s + REMEMBERED_LIFETIME_S if is_remembered else math.inf


def _key(grant: Grant) -> str:
    return grant_key(grant.username, grant.id)


def _refused(what: str) -> OAuthError:
    return OAuthError("invalid_grant", f"The {what} is unknown, expired, revoked or of another application")


def _reused(what: str) -> OAuthError:
    return OAuthError("invalid_grant", f"The {what} was used before: all that was granted with it is revoked")
