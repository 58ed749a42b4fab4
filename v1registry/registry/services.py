"""What the handlers of the Registry API work on, and the type of their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..storage.base import Storage
from ..wsgi.request import Request as AnyRequest
from ..wsgi.request import Services
from .holding import Holding
from .images import Images
from .pushes import Pushes
from .repositories import Repositories


@dataclass(frozen=True, kw_only=True)
class RegistryServices(Services):
    """The services of the Registry API."""

    storage: Storage
    images: Images
    repositories: Repositories
    pushes: Pushes
    holding: Holding


Request: TypeAlias = AnyRequest[RegistryServices]
