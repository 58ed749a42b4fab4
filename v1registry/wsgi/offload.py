"""Bytes that another server sends in place of this one: nginx, Apache, lighttpd, uWSGI, or an object store.

The application judges a request as always, and answers with a header that names the bytes.
"""

from __future__ import annotations

from typing import Any, Final

#: How long the URL of a redirect to an object store works, in seconds: much less than a garbage collection
#: leaves data that nothing names, so what the URL names is there.
SIGNED_FOR_S: Final = 20 * 60


def offload_header(services: Any, key: str) -> tuple[str, str] | None:
    """Return the header that lets the server in front send the value of a key; None if nothing is set for it.

    :param services: with the attributes ``settings`` and ``storage``.
    """
    settings = services.settings
    if settings.x_accel_redirect:
        return "X-Accel-Redirect", f"{settings.x_accel_redirect.rstrip('/')}/{key}"
    if settings.x_sendfile:
        # the assembly has checked that the storage is a folder
        return "X-Sendfile", f"{services.storage.path}/{key}"
    return None


def signed_location(services: Any, key: str) -> str | None:
    """Return a URL of the object store that gives the value of a key; None if the application sends it.

    Small values have no object of their own. A client that has the URL needs no more rights while it works.

    :param services: with the attributes ``settings`` and ``storage``.
    :raises StorageUnavailable: the store failed.
    """
    if not services.settings.store_redirect:
        return None
    # the assembly has checked that the storage is an object store
    location: str | None = services.storage.signed_url(key, SIGNED_FOR_S)
    return location
