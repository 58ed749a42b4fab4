"""Rows of the Remote API: method, path and handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from v1registry.wsgi.framework import Response
from v1registry.wsgi.routing import Route

from .requests import EngineRequest


def row(method: str, path: str, handler: Callable[[EngineRequest], Response]) -> Route:
    """Return a row of the table. An engine has no rights, so a row needs none.

    :param path: without the version; see HOLES of the application.
    """
    return Route(method, path, cast("Any", handler), None)
