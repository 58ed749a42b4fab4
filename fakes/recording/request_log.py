"""The list of the recorded requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from .patterns import RequestPattern
from .recorded_body import Spool
from .recorded_request import ApiName, RecordedRequest

#: How many requests a log keeps. A process that serves tests for days forgets the oldest.
_MOST_REQUESTS: Final = 100_000

#: How many of the oldest it forgets at once, because each removal moves all others.
_FORGOTTEN: Final = 1_000


class RequestLog(list[RecordedRequest]):
    """The requests of a fake in the order of arrival. ``clear()`` removes them.

    It keeps the last 99,000 requests at least.

    :param routes: returns the names of the rows that the registry serves. If None, no name is checked.
    """

    def __init__(self, routes: Callable[[], Iterable[str]] | None = None):
        super().__init__()
        self._routes = routes
        self.spool = Spool()  #: where large bodies of its requests are

    def append(self, request: RecordedRequest) -> None:
        """Add a request at the end."""
        if len(self) >= _MOST_REQUESTS:
            del self[:_FORGOTTEN]
        super().append(request)

    def clear(self) -> None:
        """Remove all requests. Bodies of more than 256 KiB of these requests cannot be read any more."""
        spool, self.spool = self.spool, Spool()
        super().clear()
        spool.close()

    def close(self) -> None:
        """Remove the temporary file. Requests and small bodies can still be read."""
        self.spool.close()

    def matching(
        self,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        *,
        route: str | None = None,
        user: str | None = None,
        api: ApiName | None = None,
    ) -> list[RecordedRequest]:
        """Return the requests that have all given properties, see :class:`RequestPattern`.

        :param path: may have ``*`` for any text, slashes included.
        :raises ValueError: a property can match no request, or the registry serves no such route.
        """
        return self.find(RequestPattern(method, path, route, user, api, status))

    def find(self, pattern: RequestPattern) -> list[RecordedRequest]:
        """Return the requests that match a pattern.

        :raises ValueError: the registry serves no such route.
        """
        self.check(pattern)
        return [request for request in self if pattern.matches(request)]

    def check(self, pattern: RequestPattern) -> None:
        """Return if the registry serves the route of a pattern, or the pattern has none.

        :raises ValueError: shows similar names.
        """
        if pattern.route is not None and self._routes is not None:
            pattern.check_route(self._routes())

    def __repr__(self) -> str:
        """Return the requests, one in a line."""
        if not self:
            return "<no requests>"
        return "\n".join([f"<{len(self)} requests>", *(f"  {request}" for request in self)])
