"""Settings of layers that another server sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class LayerSettings:
    """Layers that another server sends."""

    layer_redirect: str = setting(
        "",
        converters.public_url,
        "a URL below which another server has the layers; GET of a public layer redirects there",
    )
    x_accel_redirect: str = setting(
        "",
        converters.location,
        "an internal location of nginx for the folder of the storage; nginx then sends layers and blobs",
    )
    x_sendfile: bool = setting(
        False,
        converters.flag,
        "the server in front sends layers and blobs; it understands X-Sendfile and can read the folder of "
        "the storage",
    )
    store_redirect: bool = setting(
        False,
        converters.flag,
        "GET of a layer or a blob redirects to the object store of the setting storage, by a URL that works "
        "for 20 minutes without other rights; clients must reach the store",
    )


class LayerOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    layer_redirect: str
    x_accel_redirect: str
    x_sendfile: bool
    store_redirect: bool
