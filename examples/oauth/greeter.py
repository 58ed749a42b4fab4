"""An application in which people log in by the registry's OAuth 2, and are greeted by their full names.

It is a whole site in as few lines as possible. ``test_greeter.py`` tests it without a browser.
"""

from __future__ import annotations

import html
import secrets
from urllib.parse import parse_qs, urlencode

import requests


class Greeter:
    """A WSGI application.

    :param registry: the registry's URL, such as ``https://registry.example.org``.
    :param client_id: and ``client_secret``: what ``v1registry application add`` printed.
    :param redirect_uri: where this application's ``/back`` is, as it was registered.
    :param http: what makes requests; any ``requests.Session``.
    """

    def __init__(self, registry, client_id, client_secret, redirect_uri, http=None):
        self.registry = registry
        self.client = client_id, client_secret
        self.redirect_uri = redirect_uri
        self.http = http or requests.Session()

    def __call__(self, environ, start_response):
        query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        if environ["PATH_INFO"] != "/back":
            # the state comes back with the answer: it ties that to the browser which asked
            state = secrets.token_urlsafe(16)
            asked = {
                "client_id": self.client[0],
                "response_type": "code",
                "scope": "profile_read",
                "state": state,
            }
            location = f"{self.registry}/api/v1.1/o/authorize/?{urlencode(asked)}"
            cookie = f"state={state}; HttpOnly; SameSite=Lax"
            start_response("303 See Other", [("Location", location), ("Set-Cookie", cookie)])
            return [b""]
        if query.get("state") is None or f"state={query['state']}" != environ.get("HTTP_COOKIE"):
            return answer(start_response, "400 Bad Request", "This answer belongs to another browser")
        if "code" not in query:
            return answer(start_response, "200 OK", f"You did not log in: {query.get('error')}")
        return answer(start_response, "200 OK", f"Hello {self.full_name(query['code'])}")

    def full_name(self, code):
        """Return the name of the user who gave this code."""
        fields = {"grant_type": "authorization_code", "code": code}
        response = self.http.post(f"{self.registry}/api/v1.1/o/token/", data=fields, auth=self.client)
        response.raise_for_status()
        tokens = response.json()
        profile = self.http.get(
            f"{self.registry}/api/v1.1/users/{tokens['username']}/",
            headers={"Authorization": f"Bearer {tokens['access_token']}"},
        )
        profile.raise_for_status()
        return profile.json()["full_name"] or tokens["username"]


def answer(start_response, status, text):
    start_response(status, [("Content-Type", "text/html; charset=utf-8")])
    return [f"<p>{html.escape(text)}</p>".encode()]
