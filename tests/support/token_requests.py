"""Requests to the token endpoint."""

from __future__ import annotations

from typing import Any

from webtest import TestResponse

from support.oauth_world import TOKEN_PATH
from support.wsgi_client import Client

FORM = "application/x-www-form-urlencoded"
KEYS = {"username", "user_id", "access_token", "expires_in", "token_type", "scope", "refresh_token"}
CHALLENGED = 'Basic realm="oauth"'


def post(app: Any, body: bytes, content_type: str = FORM, **headers: str) -> TestResponse:
    return Client(app).post(TOKEN_PATH, body, {"Content-Type": content_type, **headers})
