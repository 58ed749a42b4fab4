"""A client of the accounts API, with bodies of JSON or of forms."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from webtest import TestResponse

from support.wsgi_client import Client

#: The fields of an account in an answer (oauth.md 4.1).
KEYS = {
    "id", "username", "url", "date_joined", "type", "full_name", "location", "company", "profile_url",
    "gravatar_url", "email", "is_active",
}  # fmt: skip
HUB = "https://hub.example.org"
MIRA = "/api/v1.1/users/mira/"

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


class Asker:
    """A client that sends the same credentials with each request, and the same kind of bodies."""

    def __init__(self, app: Any, headers: dict[str, str], kind: str = JSON, **environ: str) -> None:
        self.client = Client(app, **environ)
        self.headers = headers
        self.kind = kind

    def __call__(self, method: str, path: str, **fields: Any) -> TestResponse:
        headers, body = dict(self.headers), ""
        if fields:
            headers["Content-Type"] = self.kind
            body = json.dumps(fields) if self.kind == JSON else urlencode(fields)
        return self.client.request(method, path, body, headers)
