"""Checks of the headers of pages."""

from __future__ import annotations

from webtest import TestResponse


def is_guarded(answer: TestResponse) -> None:
    """Check the headers of every page."""
    policy = answer.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
