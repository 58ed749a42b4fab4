"""Which requests came nearest to a pattern, for messages of failed assertions."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from heapq import nsmallest
from typing import Final

from .patterns import RequestPattern
from .recorded_request import RecordedRequest

#: How many requests a message lists.
_LISTED: Final = 20

#: How many of the nearest ones a message shows with their differences.
_NEAREST: Final = 3

#: How many of the last requests are compared. More would make a failed test slow.
_COMPARED: Final = 1_000

#: How much of two paths is compared, in characters.
_LONGEST: Final = 200


def described_nearest(pattern: RequestPattern, requests: Sequence[RecordedRequest]) -> str:
    """Return the lines about the requests that came nearest to a pattern but do not match it."""
    if not requests:
        return "no request came"
    others = [request for request in requests[-_COMPARED:] if not pattern.matches(request)]
    if not others:
        return "no other request came"
    if len(requests) == 1:
        lines = ["the only one that came:"]
    elif any(pattern.matches(request) for request in requests):
        lines = ["nearest of the others:"]
    else:
        lines = [f"nearest of {len(requests)}:"]
    for request in nsmallest(_NEAREST, others, key=lambda request: _distance(pattern, request)):
        lines.append(f"  {request.describe()}")
        lines += [f"    {difference}" for difference in pattern.differences(request)]
    return "\n".join(lines)


def listed(requests: Sequence[RecordedRequest]) -> str:
    """Return the last requests, one in a line."""
    lines = [f"  {request.describe()}" for request in requests[-_LISTED:]]
    return "\n".join(["  ...", *lines] if len(requests) > _LISTED else lines)


def _distance(pattern: RequestPattern, request: RecordedRequest) -> tuple[int, float, int]:
    """Return how far a request is from a pattern: differences, unlikeness of the path, age."""
    unlikeness = 0.0
    if pattern.path is not None:
        wanted, found = pattern.path[:_LONGEST], request.path[:_LONGEST]
        unlikeness = 1 - SequenceMatcher(None, wanted, found, autojunk=False).ratio()
    return len(pattern.differences(request)), unlikeness, -request.number
