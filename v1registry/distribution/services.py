"""What the handlers of the distribution API work on, and the type of their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..access.distribution_logins import Logins
from ..registry.services import RegistryServices
from ..wsgi.request import Request as AnyRequest
from .parts import Distribution


@dataclass(frozen=True, kw_only=True)
class DistributionServices(RegistryServices):
    """The services of the distribution API."""

    distribution: Distribution
    logins: Logins


Request: TypeAlias = AnyRequest[DistributionServices]
