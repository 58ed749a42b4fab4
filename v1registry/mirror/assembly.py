"""The mirror of an application, made from its settings and models."""

from __future__ import annotations

from dataclasses import replace

from ..client.errors import BadCertificate
from ..clock import Clock
from ..distribution.parts import Distribution
from ..registry.contents import Contents
from ..registry.holding import Holding
from ..registry.repositories import Repositories
from ..rights import Access, User
from ..settings import Settings, SettingsError
from ..storage.base import Storage
from ..wsgi.routing import Api, Table
from .fetches import Fetches
from .origin import Origin
from .parts import Models
from .service import Mirror
from .stored import MirroredRepositories
from .v1_rows import V1Rows
from .v2_rows import V2Rows

#: The APIs of v1, by name.
_V1_APIS = ("registry", "hub")

#: Stands for the mirror where rights are asked for. No user can have this name.
_USER = User("mirror of another registry", is_administrator=True)


def mirror_of(
    storage: Storage,
    settings: Settings,
    repositories: Repositories,
    contents: Contents,
    holding: Holding,
    distribution: Distribution,
    access: Access,
    clock: Clock,
) -> Mirror:
    """Return the mirror. Nothing is asked yet.

    :raises SettingsError: the file with certificates is unreadable.
    """
    is_private = False
    if access.has_accounts:
        is_private = settings.mirror_visibility == "private" or (
            settings.mirror_visibility == "auto" and bool(settings.mirror_user)
        )
    try:
        origin = Origin(settings, clock)
    except BadCertificate as error:
        raise SettingsError([f"mirror_ca_file: {error}"]) from None
    rights = access.rights_of(_USER)
    mirrored = MirroredRepositories(
        storage,
        repositories,
        holding,
        rights,
        origin=settings.mirror,
        is_private=is_private,
        clock=clock,
    )
    models = Models(
        storage=storage,
        settings=settings,
        repositories=repositories,
        contents=contents,
        holding=holding,
        distribution=distribution,
        rights=rights,
        mirrored=mirrored,
        fetches=Fetches(settings.mirror_fetches, wait_s=settings.mirror_wait_s),
    )
    return Mirror(origin, models, is_private=is_private, clock=clock)


def mirrored_apis(mirror: Mirror, apis: tuple[Api, ...]) -> tuple[Api, ...]:
    """Return the APIs of an application that is a mirror."""
    wraps = {"distribution": V2Rows(mirror).wrap}
    wraps |= dict.fromkeys(_V1_APIS, V1Rows(mirror).wrap)
    return tuple(
        replace(api, routes=Table(*map(wraps[api.name], api.routes))) if api.name in wraps else api
        for api in apis
    )
