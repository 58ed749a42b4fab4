"""What the handlers of the pages work on, and the type of their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..distribution.services import DistributionServices
from ..hub.services import HubServices
from ..oauth.services import OAuthServices
from ..wsgi.request import Request as AnyRequest
from ..wsgi.routing import Table
from .pages import Pages
from .views.markdown import Descriptions
from .views.shown_layers import ShownLayers
from .views.tag_lists import KnownSizes
from .visitors import VisitorServices


@dataclass(frozen=True, kw_only=True)
class WebServices(HubServices, OAuthServices, VisitorServices, DistributionServices):
    """The services of the pages."""

    pages: Pages
    shown_layers: ShownLayers
    descriptions: Descriptions
    known_sizes: KnownSizes
    table: Table  #: every row that the application serves


Request: TypeAlias = AnyRequest[WebServices]
