"""Requests to the control API of a fake."""

from __future__ import annotations

import json
from typing import Any

from webtest import TestApp  # type: ignore[import-untyped]


def post(control: TestApp, path: str, body: object, status: int = 201) -> Any:
    """Send a body of JSON, check the status, and return the answer; None if it is empty."""
    answer = control.post(f"/_fakes/{path}", json.dumps(body), status=status)
    return answer.json if answer.body else None


def refused(control: TestApp, path: str, body: object, status: int = 400) -> str:
    """Send a body of JSON that is rejected, and return the reason."""
    return str(post(control, path, body, status)["error"])
