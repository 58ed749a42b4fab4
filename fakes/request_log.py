"""The list of the recorded requests."""

from __future__ import annotations

from .patterns import RequestPattern
from .recorded_request import ApiName, RecordedRequest


class RequestLog(list[RecordedRequest]):
    """The requests of a fake in the order of arrival. ``clear()`` removes them."""

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
        :raises ValueError: a property can match no request.
        """
        pattern = RequestPattern(method, path, route, user, api, status)
        return [request for request in self if pattern.matches(request)]

    def __repr__(self) -> str:
        """Return the requests, one in a line."""
        if not self:
            return "<no requests>"
        return "\n".join([f"<{len(self)} requests>", *(f"  {request}" for request in self)])
