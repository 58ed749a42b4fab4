"""What a client does with accounts: requests with Basic, as engines send them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from webtest import TestResponse

from support.credentials import basic
from support.kept_mail import PUBLIC_URL as PUBLIC_URL
from support.kept_mail import KeptMail as KeptMail
from support.wsgi_client import Client

USER_CREATED = b'"User Created"'
TAKEN = b'"Username or email already exists"'
CHALLENGE = 'Basic realm="auth required",Token'

MIRA = {"username": "mira_k", "password": "s3cret-one", "email": "mira@example.org", "auth": ""}


def register(client: Client, path: str = "/v1/users/", **fields: Any) -> TestResponse:
    """POST the fields as docker does."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return client.post(path, json.dumps(fields), headers)


def log_in(client: Client, username: str, password: str, path: str = "/v1/users/") -> TestResponse:
    return client.get(path, basic(username, password))


def change(client: Client, name: str, credentials: dict[str, str] | None, **fields: Any) -> TestResponse:
    """PUT the fields as the user whose credentials they are."""
    return client.put(f"/v1/users/{quote(name)}/", json.dumps(fields), credentials)


def text_of(answer: TestResponse) -> str:
    """Return the text of an answer that has to be a JSON string, as all errors of users are."""
    assert answer.headers["Content-Type"] == "application/json", answer
    assert isinstance(answer.json, str), answer
    return answer.json


def seen(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all of an answer that a client can tell from another one: not the number of the request."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "X-Request-Id")
    return answer.status_int, answer.body, headers


CREDENTIALS = basic("mira_k", "s3cret-one")


def is_page(answer: TestResponse) -> bool:
    return answer.headers["Content-Type"] == "text/html; charset=utf-8" and answer.body.startswith(
        b"<!DOCTYPE"
    )


def is_active(client: Client) -> bool:
    answer = log_in(client, "mira_k", "s3cret-one")
    assert answer.status_int in (200, 403)
    return answer.status_int == 200


PATHS = ["/v1/users", "/v1/users/"]

#: ``printf moe:s3cret-two | htpasswd -s``
HTPASSWD = "moe:{SHA}Y6IxceCVdTLzbylR+VCs50eK49Q=\n"
