"""Bytes that another server sends in place of this one: nginx, Apache, lighttpd, uWSGI.

The application judges a request as always, and answers with a header that names the bytes.
"""

from __future__ import annotations

from typing import Any


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
