"""What users granted to applications: authorization codes, access tokens, refresh tokens (oauth.md 3).

A grant is one value. A conditional write of it uses a code or a refresh token, and its deletion ends all its
tokens: see docs/internals.md, "Grants and tokens". Expired codes and tokens are removed incrementally.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Final

from ..accounts.base import Account, NotSupported
from ..accounts.service import Accounts
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import OAuthError
from ..rights import Bearer
from ..storage.base import Storage
from ..storage.records import Stored
from .applications import Application, Applications, digest_of, new_secret
from .grant_store import GrantStore
from .records import MARK_DIGITS, AccessToken, Code, Grant, RefreshToken

#: In seconds (oauth.md 3.1).
CODE_LIFETIME_S: Final = 60

#: In seconds: 180 days (oauth.md 3.2).
ACCESS_LIFETIME_S: Final = 15_552_000

#: In seconds, from the last refresh. The documents name no end; an application that is unused for a year
#: loses its tokens.
REFRESH_LIFETIME_S: Final = 31_104_000

#: Codes and tokens have 30 letters and digits, as those of the documents (oauth.md 3.2): 178 bits.
TOKEN_CHARACTERS: Final = 30

#: The most valid grants of one user to one application; a new one ends the oldest. Applications that log
#: users in through this server ask for a grant each time.
MOST_GRANTS: Final = 50

_TOKEN: Final = re.compile(rf"[A-Za-z0-9]{{{TOKEN_CHARACTERS}}}")
_GRANT_ID: Final = re.compile(r"[0-9a-f]{32}")
_ACCESS_ID: Final = re.compile(rf"[0-9a-f]{{32}}\.[0-9a-f]{{{MARK_DIGITS}}}")


@dataclass(frozen=True)
class Issued:
    """New tokens. This is their only copy: the storage has their digests."""

    account: Account
    scopes: tuple[str, ...]  #: of the access token, in the order in which they were granted
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int = ACCESS_LIFETIME_S


@dataclass(frozen=True)
class ValidToken:
    """An access token that is valid, and what it allows."""

    application: Application
    account: Account  #: as it is now; it may be inactive
    scopes: tuple[str, ...]
    issued_at_s: float
    expires_at_s: float
    access_id: str  #: see Bearer


@dataclass(frozen=True)
class GrantSummary:
    """A valid grant, as it is shown to its user."""

    id: str
    application: Application
    scopes: tuple[str, ...]
    granted_at: datetime  #: aware, UTC


class Grants:
    """Issues codes and tokens, and verifies them: a :class:`~v1registry.accounts.base.BearerVerifier`.

    Safe for threads and, if the storage is, for processes. A token is valid while it has not expired, its
    grant is stored, its application is registered, and its account has the id of the account that granted it.
    Each use checks all of this. So a later account with the same name inherits nothing, and no change of an
    account ends a grant.

    :param storage: holds the grants, below ``accounts/oauth/``.
    :param accounts: of a backend that looks up users by name and gives them ids.
    :param clock: all processes need the same time.
    :raises StorageUnavailable: from every method: the storage failed, or a record is broken.
    :raises BackendUnavailable: from every method: the backend cannot look up the user now.
    """

    def __init__(
        self,
        storage: Storage,
        applications: Applications,
        accounts: Accounts,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._store = GrantStore(storage, clock)
        self._applications = applications
        self._accounts = accounts
        self._clock = clock

    # -- access tokens

    def verify(self, token: str) -> Bearer | None:
        """Return what an access token allows, None if it is not valid. Its user may be inactive."""
        valid = self.valid_token(token)
        if valid is None:
            return None
        application = valid.application
        return Bearer(
            valid.account.user,
            frozenset(valid.scopes),
            application.client_id,
            application.is_trusted,
            valid.access_id,
            valid.expires_at_s,
        )

    def is_granted(self, username: str, access_id: str) -> bool:
        """Return whether the access token of a Bearer is still valid."""
        if not _ACCESS_ID.fullmatch(access_id):
            return False
        grant_id, _, mark = access_id.partition(".")
        grant = self._store.find(username, grant_id)
        access = None if grant is None else grant.access_token_marked(mark, self._now())
        return grant is not None and access is not None and self._parties(grant) is not None

    def valid_token(self, token: str) -> ValidToken | None:
        """Return an access token with all that is known of it, None if it is not valid."""
        grant = self._grant_of(token)
        access = None if grant is None else grant.access_token(digest_of(token), self._now())
        parties = None if grant is None or access is None else self._parties(grant)
        if grant is None or access is None or parties is None:
            return None
        access_id = f"{grant.id}.{access.mark}"
        return ValidToken(*parties, access.scopes, access.issued_at_s, access.expires_at_s, access_id)

    # -- codes

    def account(self, username: str) -> Account | None:
        """Return the account that can grant access: the one with this name, None if it has no id."""
        try:
            account = self._accounts.account(username)
        except NotSupported:
            return None
        return account if account is not None and account.user.id else None

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
        """Return a code for a new grant. It works once, within CODE_LIFETIME_S.

        :param account: of the user, as :meth:`account` returns it.
        :param redirect_uri: where the code is sent.
        :param is_redirect_given: whether the token request must name the same ``redirect_uri``.
        :param challenge: of PKCE, by S256; None if the request had none.
        """
        username, now_s = account.user.name, self._now()
        self._make_room(username, application)
        code = new_secret(TOKEN_CHARACTERS)
        grant = Grant(
            id=secrets.token_hex(16),
            username=username,
            account_id=account.user.id,
            client_id=application.client_id,
            application_id=application.id,
            scopes=scopes,
            granted_at_s=now_s,
            code=Code(digest_of(code), now_s + CODE_LIFETIME_S, redirect_uri, is_redirect_given, challenge),
            is_redeemed=False,
            access_tokens=(),
            used_digests=(),
        )
        self._store.create(grant)
        self.tidy()
        return code

    def of_code(self, code: str, application: Application, verifier: str | None = None) -> Grant:
        """Return the grant of a code that may be redeemed now.

        A code that was redeemed before ends the grant (RFC 6749, 4.1.2), but only if the verifier fits: a
        party that saw the code pass by, and does not have the verifier, ends nothing.

        :param verifier: of PKCE, as it came. The caller decides whether an unused code needs one.
        :raises OAuthError: ``invalid_grant``.
        """
        grant = self._grant_of(code)
        if grant is None or grant.code.digest != digest_of(code):
            raise _refused("code")
        if grant.is_redeemed and not grant.code.is_verified_by(verifier):
            raise _refused("code")
        return self._usable(grant, code, application, "code")

    def redeem(self, code: str, application: Application, verifier: str | None = None) -> Issued:
        """Return tokens for a code. If several callers redeem it at the same time, one gets tokens.

        :raises OAuthError: ``invalid_grant``, as :meth:`of_code`.
        """
        grant = self.of_code(code, application, verifier)
        return self._issue(grant, code, grant.scopes, "code")

    # -- refresh tokens

    def of_refresh_token(self, token: str, application: Application) -> Grant:
        """Return the grant of a refresh token that is valid now.

        A token that was used before ends the grant: it may be stolen (RFC 9700, 4.14.2).

        :raises OAuthError: ``invalid_grant``.
        """
        grant = self._grant_of(token)
        if grant is None or grant.code.digest == digest_of(token):
            raise _refused("refresh token")
        return self._usable(grant, token, application, "refresh token")

    def refresh(self, token: str, application: Application, scopes: tuple[str, ...]) -> Issued:
        """Return new tokens for a refresh token, which works once.

        The new refresh token has all granted scopes, whatever those of the new access token are (RFC 6749,
        6).

        :param scopes: of the new access token.
        :raises OAuthError: ``invalid_scope`` if they were not all granted; ``invalid_grant`` as
            :meth:`of_refresh_token`.
        """
        grant = self.of_refresh_token(token, application)
        if not set(scopes) <= set(grant.scopes):
            raise OAuthError("invalid_scope", "The scope is wider than what was granted")
        return self._issue(grant, token, scopes, "refresh token")

    # -- the end

    def revoke_token(self, token: str, application: Application) -> None:
        """End an access token, or with a refresh token the grant (RFC 7009, 2.1). Unknown ones are ignored.

        :raises OAuthError: ``invalid_grant``: the token belongs to a different application.
        """
        grant = self._grant_of(token)
        if grant is None:
            return
        if grant.application_id != application.id:
            raise OAuthError("invalid_grant", "The token is one of another application")
        digest = digest_of(token)
        if not any(digest == access.digest for access in grant.access_tokens):
            self._store.end(grant)
            return
        self._store.update(grant, lambda current: None if current is None else current.without(digest))
        self._store.forget([digest])

    def of_user(self, username: str) -> list[GrantSummary]:
        """Return the valid grants of a user, the newest first."""
        account = self.account(username)
        if account is None:
            return []
        found = []
        for grant in (stored.record for stored in self._store.of_user(username)):
            application = self._application(grant)
            is_valid = grant.is_redeemed and grant.is_live(self._now()) and grant.is_of(account.user)
            if application is not None and is_valid:
                granted_at = datetime.fromtimestamp(grant.granted_at_s, timezone.utc)
                found.append(GrantSummary(grant.id, application, grant.scopes, granted_at))
        return sorted(found, key=lambda summary: summary.granted_at, reverse=True)

    def revoke(self, username: str, grant_id: str) -> bool:
        """End a grant with all its tokens, in all processes. Return False if it does not exist."""
        if not _GRANT_ID.fullmatch(grant_id):
            return False
        grant = self._store.find(username, grant_id)
        return grant is not None and self._store.end(grant)

    def revoke_all(self, username: str) -> int:
        """End all grants of a user; return how many were ended."""
        return sum(self._store.end(stored.record) for stored in list(self._store.of_user(username)))

    def tidy(self) -> None:
        """Look at a few random codes and tokens, and remove those that cannot be used again."""
        self._store.tidy(self._is_over)

    # -- inside

    def _now(self) -> float:
        return self._clock.time_s()

    def _grant_of(self, secret: str) -> Grant | None:
        """Return the grant of a code or a token, valid or used, or None."""
        return self._store.find_by_digest(digest_of(secret)) if _TOKEN.fullmatch(secret) else None

    def _usable(self, grant: Grant, secret: str, application: Application, what: str) -> Grant:
        """Return the grant if the application may use this code or refresh token now.

        :raises OAuthError: ``invalid_grant``.
        """
        digest = digest_of(secret)
        if grant.application_id != application.id:
            raise _refused(what)
        if grant.was_used(digest):
            self._store.end(grant)
            raise _reused(what)
        parties = self._parties(grant)
        if not grant.accepts(digest, self._now()) or parties is None or not parties[1].user.is_active:
            raise _refused(what)
        return grant

    def _issue(self, grant: Grant, used: str, scopes: tuple[str, ...], what: str) -> Issued:
        """Return new tokens for a code or a refresh token, and mark it as used.

        :raises OAuthError: ``invalid_grant``: it was used or ended meanwhile.
        """
        parties = self._parties(grant)
        if parties is None:
            raise _refused(what)
        now_s, digest = self._now(), digest_of(used)
        issued = Issued(
            parties[1],
            tuple(scope for scope in grant.scopes if scope in scopes),
            new_secret(TOKEN_CHARACTERS),
            new_secret(TOKEN_CHARACTERS),
        )
        access = AccessToken(digest_of(issued.access_token), issued.scopes, now_s, now_s + ACCESS_LIFETIME_S)
        refresh = RefreshToken(digest_of(issued.refresh_token), now_s + REFRESH_LIFETIME_S)

        def use(current: Grant | None) -> Grant | None:
            if current is None or not current.accepts(digest, now_s):
                return None
            return current.with_tokens(access, refresh, now_s)

        # Pointers come first: if a later step fails, the code or refresh token still works.
        self._store.point(grant, (access.digest, refresh.digest))
        old, new = self._store.update(grant, use)
        if old is None or new is None or new == old:
            self._store.forget((access.digest, refresh.digest))
            if old is None or not old.was_used(digest):
                raise _refused(what)
            self._store.end(old)
            raise _reused(what)
        self._store.forget(old.digests - new.digests)
        self.tidy()
        return issued

    def _parties(self, grant: Grant) -> tuple[Application, Account] | None:
        """Return the application and the account of a grant as they are now, None if one of them is gone."""
        application = self._application(grant)
        account = None if application is None else self.account(grant.username)
        if application is None or account is None or not grant.is_of(account.user):
            return None
        return application, account

    def _application(self, grant: Grant) -> Application | None:
        application = self._applications.get(grant.client_id)
        return application if application is not None and application.id == grant.application_id else None

    def _make_room(self, username: str, application: Application) -> None:
        """Remove a user's grants that are over, and the oldest ones beyond MOST_GRANTS."""
        codes: list[Stored[Grant]] = []
        grants: list[Stored[Grant]] = []
        for stored in list(self._store.of_user(username)):
            if self._is_over(stored.record):
                self._store.end_unchanged(stored)
            elif stored.record.application_id == application.id:
                (grants if stored.record.is_redeemed else codes).append(stored)
        for some in (codes, grants):
            some.sort(key=lambda stored: stored.record.granted_at_s)
            for stored in some[: max(0, len(some) - MOST_GRANTS + 1)]:
                self._store.end_unchanged(stored)

    def _is_over(self, grant: Grant) -> bool:
        """Return whether a grant can never be used again.

        An account with a different id is not the end: a backend of a chain that is unavailable may hide the
        account of the grant for a while. Such a grant is over when its tokens have expired.
        """
        if not grant.is_live(self._now()) or self._application(grant) is None:
            return True
        return self.account(grant.username) is None


def _refused(what: str) -> OAuthError:
    return OAuthError("invalid_grant", f"The {what} is unknown, expired, revoked or of another application")


def _reused(what: str) -> OAuthError:
    return OAuthError("invalid_grant", f"The {what} was used before: all that was granted with it is revoked")
