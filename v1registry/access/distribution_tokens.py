"""Tokens of the distribution API: signed, stateless, and no tokens of v1 (distribution.md 3).

An access token carries user, scope, service and time of expiry. A refresh token carries user, service and
time of expiry. Each kind is signed for a purpose of its own, so neither is accepted in place of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from itsdangerous import BadData

from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..rights import Action, Bearer, User
from ..signing import Keys, Signers
from .verified import VerifiedTokens

#: See :meth:`~v1registry.signing.Signers.of`.
_ACCESS_PURPOSE: Final = "v1registry distribution token 1"
_REFRESH_PURPOSE: Final = "v1registry distribution refresh token 1"

#: In characters. Longer texts are not tokens.
_LONGEST_TOKEN: Final = 16_384

#: A token for more repositories is not remembered: it is compressed, so its length says little.
_MOST_REMEMBERED: Final = 16


@dataclass(frozen=True)
class Scope:
    """What a token allows, or what a client asks for."""

    actions: Mapping[RepositoryName, frozenset[Action]] = field(default_factory=dict)
    has_catalog: bool = False  #: whether the list of repositories may be read

    def allows(self, action: Action, repository: RepositoryName) -> bool:
        """Tell whether the action is within the scope."""
        return action in self.actions.get(repository, ())


@dataclass(frozen=True)
class DistributionToken:
    """A verified access token of the distribution API."""

    scope: Scope
    user: User | None  #: to whom it was issued, as they were then; None if anonymous
    mark: str = ""  #: of the account and its password, see :meth:`v1registry.access.tokens.Tokens.mark_of`
    #: the OAuth access token with which an application asked for it; its user is ``user``
    bearer: Bearer | None = None


@dataclass(frozen=True)
class RefreshToken:
    """A verified refresh token of the distribution API."""

    username: str
    mark: str  #: of the account and its password


class DistributionTokens:
    """Issues and verifies the tokens of the distribution API. Safe for threads.

    :param keys: sign and verify the tokens.
    :param lifetime_s: how long an access token is valid, in seconds.
    :param refresh_lifetime_s: how long a refresh token is valid, in seconds.
    """

    def __init__(
        self,
        keys: Keys = (),
        *,
        lifetime_s: int = 300,
        refresh_lifetime_s: int = 30 * 86400,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._signers = Signers(keys)
        self._lifetime_s = lifetime_s
        self._refresh_lifetime_s = refresh_lifetime_s
        self._clock = clock
        self._known = VerifiedTokens[DistributionToken]()

    def issue(
        self, scope: Scope, user: User | None, *, service: str, mark: str = "", bearer: Bearer | None = None
    ) -> tuple[str, int, int]:
        """Return an access token, when it was issued (seconds since the epoch), and its lifetime in seconds.

        :param service: the only service that accepts it.
        :param mark: of the user's account.
        :param bearer: the OAuth access token of the caller; the new token is valid no longer than that one.
        """
        now_s = int(self._clock.time_s())
        expires_at_s = now_s + self._lifetime_s
        if bearer is not None and bearer.expires_at_s is not None:
            expires_at_s = min(expires_at_s, int(bearer.expires_at_s))
        signed = {
            "service": service.lower(),
            "expires": expires_at_s,
            "user": None if user is None else [user.name, sorted(user.groups), user.is_administrator],
            "mark": mark,
            "bearer": None if bearer is None else [sorted(bearer.scopes), bearer.client_id, bearer.access_id],
            "scope": {
                str(name): sorted(action.value for action in actions)
                for name, actions in scope.actions.items()
            },
            "catalog": scope.has_catalog,
        }
        return self._signed(_ACCESS_PURPOSE, signed), now_s, max(0, expires_at_s - now_s)

    def verify(self, token: str, service: str) -> DistributionToken | None:
        """Return what a token allows, None if it is not a valid one of the service."""
        found = self._known.find(token, service, now_s=self._clock.time_s())
        if found is not None:
            return found
        signed = self._verified(_ACCESS_PURPOSE, token, service)
        if signed is None:
            return None
        user = None
        if signed["user"] is not None:
            name, groups, is_administrator = signed["user"]
            user = User(name, frozenset(groups), is_administrator=is_administrator)
        bearer = None
        if user is not None and signed["bearer"] is not None:
            scopes, client_id, access_id = signed["bearer"]
            bearer = Bearer(user, frozenset(scopes), client_id, access_id=access_id)
        actions = {
            RepositoryName.parse(name): frozenset(map(Action, values))
            for name, values in signed["scope"].items()
        }
        found = DistributionToken(Scope(actions, signed["catalog"]), user, signed["mark"], bearer)
        if len(actions) <= _MOST_REMEMBERED:
            self._known.keep(token, service, token=found, expires_at_s=signed["expires"])
        return found

    def issue_refresh(self, username: str, *, service: str, mark: str) -> str:
        """Return a refresh token.

        :param mark: of the user's account and password: it ends the token.
        """
        expires_at_s = int(self._clock.time_s()) + self._refresh_lifetime_s
        signed = {"service": service.lower(), "expires": expires_at_s, "user": username, "mark": mark}
        return self._signed(_REFRESH_PURPOSE, signed)

    def verify_refresh(self, token: str, service: str) -> RefreshToken | None:
        """Return what a refresh token says, None if it is not a valid one of the service."""
        signed = self._verified(_REFRESH_PURPOSE, token, service)
        return None if signed is None else RefreshToken(signed["user"], signed["mark"])

    def _signed(self, purpose: str, value: Mapping[str, object]) -> str:
        signed = self._signers.serializer(purpose).dumps(value)
        return signed.decode("ascii") if isinstance(signed, bytes) else signed

    def _verified(self, purpose: str, token: str, service: str) -> dict[str, Any] | None:
        """Return what was signed for a purpose, None if it is invalid, expired or for another one."""
        if len(token) > _LONGEST_TOKEN:
            return None
        try:
            signed: dict[str, Any] = self._signers.serializer(purpose).loads(token)
        except (BadData, UnicodeError):
            return None
        # The signature is valid, so the value has the format that was signed here.
        is_valid = signed["service"] == service.lower() and signed["expires"] > self._clock.time_s()
        return signed if is_valid else None
