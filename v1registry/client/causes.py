"""The reasons of failed connections, from the exceptions of requests, urllib3 and the standard library."""

from __future__ import annotations

import re
import ssl

try:
    import requests
    import urllib3
except ImportError as exc:
    raise ImportError("the client needs requests: pip install 'v1registry[server]'") from exc


def reason_of(exc: BaseException) -> str:
    """Return the reason of a failure in a few words."""
    untrusted = find_cause(exc, ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({untrusted.verify_message}); give the certificate of its "
            "authority (--ca-cert), or allow insecure registries (--insecure)"
        )
    if isinstance(exc, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "it does not answer in time"
    cause = find_cause(exc, OSError)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    # without the queries of URLs, which may be signed
    return re.sub(r"<[^>]*>:? ?|\?[^\s'\")]+", "", str(exc))[:300]


def find_cause(exc: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """Return the first exception of ``kind`` in the causes of ``exc``, except those of requests."""
    waiting: list[object] = [exc]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, kind) and not isinstance(current, requests.RequestException):
            return current
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return None
