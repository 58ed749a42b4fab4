"""What the handlers of the OAuth and accounts APIs work on, and the type of their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..accounts.service import Accounts
from ..wsgi.request import Request as AnyRequest
from ..wsgi.request import Services
from .applications import Applications
from .grants import Grants
from .provider import Provider


@dataclass(frozen=True, kw_only=True)
class OAuth:
    """The part of the services that only a server with OAuth has."""

    applications: Applications
    grants: Grants
    provider: Provider


@dataclass(frozen=True, kw_only=True)
class OAuthServices(Services):
    """The services of the OAuth and accounts APIs."""

    accounts: Accounts | None  #: None on a server without accounts
    oauth: OAuth | None  #: None on a server without OAuth


Request: TypeAlias = AnyRequest[OAuthServices]
