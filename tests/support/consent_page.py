"""A server with an application that asks for consent, and helpers for its page."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from webtest import TestResponse

from support.page_person import (
    AUTHORIZE,
    PagesWorld,
    Person,
)
from support.wsgi_client import Answer, call
from v1registry.oauth.applications import Application
from v1registry.oauth.scopes import SCOPES

BACK = "https://ci.example.org/back"
XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"
VERIFIER = "a-verifier-of-pkce-that-is-long-enough-for-rfc-7636"


class Asking(PagesWorld):
    """A server, an application, and its request."""

    def __init__(self, *redirect_uris: str, options: dict[str, Any] | None = None, **settings: Any):
        super().__init__(**settings)
        self.application, self.secret = self.app.applications.add(
            redirect_uris=redirect_uris or (BACK, "https://ci.example.org/other?from=v1&x="),
            **{
                "name": "Example CI",
                "description": "Builds what you push.",
                "scopes": tuple(SCOPES),
                **(options or {}),
            },
        )

    def asked(self, **parameters: str | None) -> str:
        """Return the path that the application sends its user to; None leaves a parameter out."""
        return asked_by(self.application, **parameters)

    def tokens(self, code: str, **parameters: str) -> TestResponse:
        """Exchange a code as the application does."""
        basic = base64.b64encode(f"{self.application.client_id}:{self.secret}".encode()).decode()
        fields = {"grant_type": "authorization_code", "code": code, **parameters}
        return self.person().post("/api/v1.1/o/token/", fields, {"Authorization": f"Basic {basic}"})


def asked_by(application: Application, **parameters: str | None) -> str:
    """Return the path that an application sends its user to; None leaves a parameter out."""
    fields = {"client_id": application.client_id, "response_type": "code", "state": "s1", **parameters}
    return f"{AUTHORIZE}?{urlencode({name: value for name, value in fields.items() if value is not None})}"


def decide(person: Person, page: TestResponse, *, allow: bool, **options: Any) -> TestResponse:
    """Send the form of the consent page."""
    assert page.status_int in (200, 403), page
    return person.send(page, "", button="allow" if allow else None, **options)


def raw_question(world: Asking, query: str, **environ: str) -> Answer:
    """Send a request with a raw query."""
    environ = {"wsgi.url_scheme": "https", "HTTP_HOST": "registry.example.org", **environ}
    return call(world.app, "GET", AUTHORIZE, QUERY_STRING=query, **environ)
