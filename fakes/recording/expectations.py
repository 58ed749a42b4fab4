"""What FakeRegistry has to assert requests, and to wait for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from .nearest import described_nearest, listed
from .patterns import RequestPattern, pattern_of

if TYPE_CHECKING:
    from .recorded_request import ApiName, RecordedRequest
    from .recorder import Recorder
    from .request_log import RequestLog


class RequestExpectations:
    """The part of a fake that asserts requests. A failure shows what came nearest, and what differs."""

    _recorder: Recorder[Any]

    @property
    def requests(self) -> RequestLog:
        """The requests of clients in the order of arrival."""
        raise NotImplementedError

    def wait_for_request(
        self,
        method: str | None = None,
        path: str | None = None,
        *,
        route: str | None = None,
        user: str | None = None,
        api: ApiName | None = None,
        status: int | None = None,
        count: int = 1,
        timeout_s: float = 5.0,
    ) -> RecordedRequest:
        """Wait until a request is finished, and return it. The arguments are those of RequestPattern.

        Requests from before the call count too. The thread waits, so asynchronous code calls this in another
        thread, such as by ``asyncio.to_thread``.

        :param count: waits for so many requests that match, and returns the last of them.
        :param timeout_s: how long to wait, in seconds of the system, not of :attr:`clock`.
        :raises AssertionError: it did not come in time.
        :raises ValueError: no request can match, or ``count`` is below 1.
        """
        __tracebackhide__ = True
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        pattern = RequestPattern(method, path, route, user, api, status)
        end_s = monotonic() + timeout_s
        with self._recorder.finished:
            while True:
                found = [request for request in self.requests.find(pattern) if request.is_finished]
                if len(found) >= count:
                    return found[count - 1]
                left_s = end_s - monotonic()
                if left_s <= 0:
                    break
                self._recorder.finished.wait(min(left_s, threading.TIMEOUT_MAX))
        wanted = str(pattern) if count == 1 else f"{count} of {pattern}"
        is_finished = "is finished" if len(found) == 1 else "are finished"
        lines = [f"waited {timeout_s:g} s for {wanted}; {len(found)} {is_finished}"]
        matching = self.requests.find(pattern)
        if matching:
            lines.append(listed(matching))
        raise AssertionError("\n".join([*lines, described_nearest(pattern, self.requests)]))

    def assert_requested(
        self,
        method: str | None = None,
        path: str | None = None,
        *,
        route: str | None = None,
        user: str | None = None,
        api: ApiName | None = None,
        status: int | None = None,
        times: int | None = None,
    ) -> list[RecordedRequest]:
        """Return the requests that match. The arguments are those of RequestPattern.

        :param times: how many must match. If None, one or more.
        :raises AssertionError: no request matches, or not as many; shows what came nearest.
        :raises ValueError: no request can match, or ``times`` is negative.
        """
        __tracebackhide__ = True
        if times is not None and times < 0:
            raise ValueError(f"times must be 0 or more, not {times}")
        pattern = RequestPattern(method, path, route, user, api, status)
        found = self.requests.find(pattern)
        if times == len(found) or (times is None and found):
            return found
        if times == 0:
            raise AssertionError(f"must not be requested: {pattern}\n{listed(found)}")
        if not found:
            raise AssertionError(f"not requested: {pattern}\n{described_nearest(pattern, self.requests)}")
        raise AssertionError(
            f"requested {_times(len(found))}, not {_times(times or 0)}: {pattern}\n{listed(found)}\n"
            + described_nearest(pattern, self.requests)
        )

    def assert_not_requested(
        self,
        method: str | None = None,
        path: str | None = None,
        *,
        route: str | None = None,
        user: str | None = None,
        api: ApiName | None = None,
        status: int | None = None,
    ) -> None:
        """Return if no request matches. The arguments are those of RequestPattern.

        :raises AssertionError: shows the requests that match.
        :raises ValueError: no request can match.
        """
        __tracebackhide__ = True
        self.assert_requested(method, path, route=route, user=user, api=api, status=status, times=0)

    def assert_requested_in_order(
        self, *patterns: RequestPattern | tuple[str, str], only: bool = False
    ) -> list[RecordedRequest]:
        """Return one request for each pattern. They must have come in this order.

        :param patterns: a pair such as ``("GET", "*/layer")``, or a RequestPattern.
        :param only: whether no other request may have come, neither between them nor before or after.
        :raises AssertionError: a request is missing, came too early, or is one too many.
        :raises ValueError: there is no pattern, or one can match no request.
        """
        __tracebackhide__ = True
        return _check_order(self._checked(patterns), list(self.requests), only=only)

    @contextmanager
    def expect_requests(
        self, *patterns: RequestPattern | tuple[str, str], in_order: bool = True, only: bool = False
    ) -> Iterator[list[RecordedRequest]]:
        """Check at the end of the block that these requests came within it.

        An exception of the block is not replaced. Requests from before the block do not count. The value is a
        list; at the end of the block it has one request for each pattern.

        :param patterns: a pair such as ``("GET", "*/layer")``, or a RequestPattern.
        :param in_order: whether they must come in this order. If False, each pattern needs its own request.
        :param only: whether no other request may come.
        :raises AssertionError: the requests of the block are different ones; shows what came nearest.
        :raises ValueError: there is no pattern, or one can match no request.
        """
        __tracebackhide__ = True
        wanted = self._checked(patterns)
        last = self._recorder.last_number
        found: list[RecordedRequest] = []
        yield found
        came = [request for request in self.requests if request.number > last]
        check = _check_order if in_order else _check_all
        found += check(wanted, came, only=only)

    def _checked(self, patterns: Sequence[RequestPattern | tuple[str, str]]) -> list[RequestPattern]:
        """Return the patterns.

        :raises ValueError: there is none, or the registry serves no such route.
        """
        if not patterns:
            raise ValueError('needs a pattern, such as ("GET", "/v1/search")')
        wanted = [pattern_of(pattern) for pattern in patterns]
        for pattern in wanted:
            self.requests.check(pattern)
        return wanted


def _check_order(
    wanted: list[RequestPattern], came: list[RecordedRequest], *, only: bool
) -> list[RecordedRequest]:
    """Return the first request for each pattern that comes after that of the pattern before.

    :raises AssertionError: there are no such requests, or others with ``only``.
    """
    __tracebackhide__ = True
    found: list[RecordedRequest] = []
    rest = iter(came)
    for number, pattern in enumerate(wanted):
        for request in rest:
            if pattern.matches(request):
                found.append(request)
                break
            if only:
                raise AssertionError(_out_of_order(number, pattern, request, came))
        else:
            raise AssertionError(_missing(number, pattern, wanted, found, came))
    surplus = list(rest)
    if only and surplus:
        raise AssertionError(
            f"only {_requests(len(wanted))} must come; these came besides:\n{listed(surplus)}"
        )
    return found


def _out_of_order(
    number: int, pattern: RequestPattern, request: RecordedRequest, came: list[RecordedRequest]
) -> str:
    differences = "".join(f"\n    {difference}" for difference in pattern.differences(request))
    return (
        f"request {number + 1} must be {pattern}\nit is {request.describe()}{differences}\n"
        f"all that came:\n{listed(came)}"
    )


def _missing(
    number: int,
    pattern: RequestPattern,
    wanted: list[RequestPattern],
    found: list[RecordedRequest],
    came: list[RecordedRequest],
) -> str:
    """Return the message about a pattern that no request after those of the patterns before matches."""
    after = f" after {found[-1]}" if found else ""
    lines = [f"not requested{after}: {pattern}, which is request {number + 1} of {len(wanted)}"]
    early = [request for request in came if pattern.matches(request) and request not in found]
    if early:
        lines += ["it came too early:", listed(early), "all that came:", listed(came)]
    else:
        lines.append(described_nearest(pattern, came))
    return "\n".join(lines)


def _check_all(
    wanted: list[RequestPattern], came: list[RecordedRequest], *, only: bool
) -> list[RecordedRequest]:
    """Return a request of its own for each pattern, in the order of the patterns.

    :raises AssertionError: there are no such requests, or others with ``only``.
    """
    __tracebackhide__ = True
    pattern_of_request: dict[int, int] = {}

    def assign(number: int, seen: set[int]) -> bool:
        """Give a pattern a request, for which other patterns may have to take different ones."""
        for index, request in enumerate(came):
            if index in seen or not wanted[number].matches(request):
                continue
            seen.add(index)
            if index not in pattern_of_request or assign(pattern_of_request[index], seen):
                pattern_of_request[index] = number
                return True
        return False

    for number, pattern in enumerate(wanted):
        if not assign(number, set()):
            matching = [request for request in came if pattern.matches(request)]
            if matching:
                raise AssertionError(
                    f"too few requests match {pattern}, because other patterns need them too:\n"
                    + listed(matching)
                )
            raise AssertionError(f"not requested: {pattern}\n{described_nearest(pattern, came)}")
    surplus = [request for index, request in enumerate(came) if index not in pattern_of_request]
    if only and surplus:
        raise AssertionError(
            f"only {_requests(len(wanted))} must come; these came besides:\n{listed(surplus)}"
        )
    by_pattern = {number: came[index] for index, number in pattern_of_request.items()}
    return [by_pattern[number] for number in range(len(wanted))]


def _times(count: int) -> str:
    return f"{count} time" if count == 1 else f"{count} times"


def _requests(count: int) -> str:
    return "one request" if count == 1 else f"{count} requests"
