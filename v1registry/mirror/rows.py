"""Rows of a mirror: what is missing is fetched before the handler of the row looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from ..distribution.services import Request
from ..wsgi.responses import Response
from ..wsgi.routing import Route

#: Answers a request, or returns None if the handler of the row is to answer it.
Before: TypeAlias = Callable[[Request], "Response | None"]


def with_fetch(row: Route, befores: Mapping[str, Before]) -> Route | None:
    """Return the row with what its requests need before the handler; None if they need nothing.

    :param befores: by the name of the row.
    """
    before = befores.get(row.name)
    if before is None:
        return None
    handler = row.handler

    def answer(request: Request) -> Response:
        response = before(request)
        return handler(request) if response is None else response

    return replace(row, handler=answer)
