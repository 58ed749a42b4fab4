"""A filter for the proxy of Swift in tests: what memcached does elsewhere, in the memory of the proxy.

The proxy remembers there that an account and a container exist. Without it, each request asks their servers
first, which is half of its work. The Python of the system imports this module.
"""

from __future__ import annotations

import json
import time as clock
from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Cache:
    """What the proxy uses of Swift's client of memcached."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, float]] = {}  # JSON, and when it ends on the monotonic clock

    def get(self, key: str, **_options: object) -> Any:
        """Return the value of a key, None if there is none."""
        value, ends_s = self._values.get(key, ("null", 0.0))
        return json.loads(value) if clock.monotonic() < ends_s else None

    def set(self, key: str, value: Any, *, time: float = 0, **_options: object) -> None:
        """Keep a value.

        :param time: for how many seconds; 0 for ever.
        """
        self._values[key] = (json.dumps(value), clock.monotonic() + time if time else float("inf"))

    def delete(self, key: str, **_options: object) -> None:
        """Forget a value."""
        self._values.pop(key, None)


def filter_factory(_global_conf: dict[str, str], **_local_conf: str) -> Callable[[Application], Application]:
    """Return what PasteDeploy calls to put the cache before an application."""
    cache = Cache()

    def cached(application: Application) -> Application:
        def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ["swift.cache"] = cache
            return application(environ, start_response)

        return answer

    return cached
