"""A WSGI application that adds the credentials of a user to the requests of a client of tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from support.credentials import basic, token_header
from support.wsgi_client import Answer, call

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_REPOSITORY = re.compile(r"/(?:v1/repositories|v2)/(?P<name>[a-z]+/[a-z]+)(?:/|$)")

#: The kinds of credentials.
KINDS = ("Basic", "Token", "Bearer")

#: After so many requests a client of /v2/ gets a new token, as if the former one had expired.
_USES = 20


class LoggedIn:
    """Adds credentials as engines do. It has the state of one client, so it is not safe for threads.

    Requests of a v1 push have the token of the index that came with its announcement, further ones of v1
    Basic credentials. Requests below /v2/ have a bearer token for their repository. After a 401 the token is
    forgotten and the request is repeated once: a rejected token has no effect.

    :param app: a WSGI application.
    :param user: its password is that of :func:`support.credentials.basic`.
    """

    def __init__(self, app: Any, user: str):
        self._app, self._basic = app, basic(user)["Authorization"]
        self._token: tuple[str, str] | None = None  #: of v1: the header, and the repository of the last push
        self._bearers: dict[str, tuple[str, int]] = {}  #: repository -> header, and how often it was used
        self.counts = dict.fromkeys(KINDS, 0)  #: how many requests had which credentials

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = self._asked(environ, path, body)
        if answer.status == 401 and self._forget(path):
            answer = self._asked(environ, path, body)
        start_response(f"{answer.status} Answer", answer.headers)
        return [answer.body]

    def _asked(self, environ: WSGIEnvironment, path: str, body: bytes) -> Answer:
        found = _REPOSITORY.match(path)
        repository = found["name"] if found else None
        if path.startswith("/v2/"):
            assert repository, path
            credentials = self._bearer(repository)
            if isinstance(credentials, Answer):
                return credentials
        else:
            credentials = self._credentials_of_v1(environ, path, repository)
        self.counts[credentials.partition(" ")[0]] += 1
        given = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_T"))}
        given |= {"QUERY_STRING": environ.get("QUERY_STRING", ""), "HTTP_AUTHORIZATION": credentials}
        answer = call(self._app, environ["REQUEST_METHOD"], path, body, **given)
        token = answer.header("X-Docker-Token")
        if token and repository and environ["REQUEST_METHOD"] == "PUT":
            self._token = (token_header(token)["Authorization"], repository)
        return answer

    def _credentials_of_v1(self, environ: WSGIEnvironment, path: str, repository: str | None) -> str:
        is_of_index = "HTTP_X_DOCKER_TOKEN" in environ or path.endswith("/images")
        if self._token is None or is_of_index or environ["REQUEST_METHOD"] == "DELETE":
            return self._basic
        header, pushed = self._token
        return header if repository in (None, pushed) else self._basic

    def _bearer(self, repository: str) -> str | Answer:
        """Return the header of a token for a repository, or the answer if the server gave none."""
        header, uses = self._bearers.get(repository, ("", _USES))
        if uses >= _USES:
            query = f"service=localhost&scope=repository:{repository}:pull,push,delete"
            answer = call(self._app, "GET", "/v2/token", QUERY_STRING=query, HTTP_AUTHORIZATION=self._basic)
            if answer.status != 200:
                return answer
            header, uses = f"Bearer {json.loads(answer.body)['token']}", 0
        self._bearers[repository] = (header, uses + 1)
        return header

    def _forget(self, path: str) -> bool:
        """Forget the token that a request had; tell whether there was one."""
        found = _REPOSITORY.match(path)
        if path.startswith("/v2/"):
            return bool(found and self._bearers.pop(found["name"], None))
        had, self._token = self._token, None
        return had is not None
