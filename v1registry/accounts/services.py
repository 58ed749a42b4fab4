"""What the handlers of a server with accounts work on."""

from __future__ import annotations

from dataclasses import dataclass

from .confirmations import Confirmations
from .profiles import Profiles
from .registration import Accounts


@dataclass(frozen=True, kw_only=True)
class AccountServices:
    """The part of the services that only a server with accounts has."""

    registration: Accounts
    profiles: Profiles
    confirmations: Confirmations | None  #: None if no setting ``mail`` is given
