"""The parts of long lists: ``n``, ``last``, and the header that leads to the next part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ..names import whole_number
from ..wsgi.request import Request

#: The longest value of ``last``, in characters.
_LONGEST_LAST = 1024


def wanted_page(request: Request[Any], most: int) -> tuple[int, str]:
    """Return how many items a request asks for, and after which one they begin.

    :param most: how many items an answer has at most, and without ``n``. An invalid ``n`` does not count.
    """
    number = whole_number(request.query("n"), most)
    return (min(number, most) if number >= 0 else most), (request.query("last") or "")[:_LONGEST_LAST]


def next_link(request: Request[Any], last: str, most: int, **parameters: str | None) -> tuple[str, str]:
    """Return the header ``Link`` to the next part, relative to the host.

    :param last: the last item of this part.
    :param most: how many items each part has at most.
    :param parameters: further parameters of the query; None is left out.
    """
    query: Mapping[str, str] = {
        "n": str(most),
        "last": last,
        **{name: value for name, value in parameters.items() if value is not None},
    }
    path = quote(request.decoded_path, safe="/:@!$&'()*+,;=~")
    return "Link", f'<{request.origin.mount_path}{path}?{urlencode(query)}>; rel="next"'
