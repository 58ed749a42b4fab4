"""What the handlers of the Hub API work on, and the type of their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..access.announcements import Announcements
from ..accounts.service import Accounts
from ..registry.services import RegistryServices
from ..search.base import SearchIndex
from ..wsgi.request import Request as AnyRequest


@dataclass(frozen=True, kw_only=True)
class HubServices(RegistryServices):
    """The services of the Hub API."""

    search: SearchIndex
    announcements: Announcements | None  #: None on a server without accounts
    accounts: Accounts | None  #: None on a server without accounts


Request: TypeAlias = AnyRequest[HubServices]
