"""The smallest index that follows hub.md 3 to 6, and checks the requests of registries strictly.

It shares no code with the package: its tokens are rows of a table. Tests set its image lists and rights.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

LOGIN = "mira:s3cret"

_LIST = re.compile(r"/v1/repositories/([^/]+/.+)/images")
_ACCESS = re.compile(r"/v1/repositories/([^/]+/.+)/layer/([0-9a-f]{64})/access")
_REPOSITORY = re.compile(r"/v1/repositories/([^/]+/.+)/")
_LETTERS = string.ascii_uppercase + string.digits


class _Refused(Exception):
    def __init__(self, status: str):
        self.status = status


@dataclass
class SmallIndex:
    """An index with one user. A WSGI application; safe for threads.

    ``asked`` has the requests of registries: ``GET PATH`` without ``/v1/repositories/``. ``wrong`` describes
    their mistakes, and has to stay empty. ``before`` may answer in place of the index.
    """

    endpoint: str = ""  #: of the registry
    lists: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)  #: images that nobody may use
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)  #: value -> repository, access
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    before: Callable[[str], tuple[str, list[tuple[str, str]], bytes] | None] | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def token(self, repository: str, access: str) -> str:
        """Return a new token, as ``X-Docker-Token`` has it."""
        signature = "".join(secrets.choice(_LETTERS) for _ in range(16))
        value = f'signature={signature},repository="{repository}",access={access}'
        self.tokens[value] = (repository, access)
        return value

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            status, headers, body = self._answer(environ)
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        is_of_registry = authorization.lower().startswith("token") or not authorization
        if is_of_registry:
            self.asked.append(f"{method} {path.removeprefix('/v1/repositories/')}")
            if self.before is not None:
                answer = self.before(path)
                if answer is not None:
                    return answer
        headers = [("Content-Type", "application/json")]
        try:
            if is_of_registry:
                return "200 OK", headers, self._of_registry(environ, authorization)
            return self._of_client(environ, authorization, headers)
        except _Refused as refused:
            return refused.status, headers, b'{"error": "refused"}'

    # -- hub.md 6.1 and 6.3: what registries ask

    def _of_registry(self, environ: dict[str, Any], authorization: str) -> bytes:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self._expect(method == "GET", f"{method} from a registry")
        self._expect(not environ.get("QUERY_STRING"), f"a query: {environ.get('QUERY_STRING')}")
        self._expect("HTTP_X_DOCKER_TOKEN" not in environ, "a registry wants no token")
        self._expect("HTTP_COOKIE" not in environ, "a cookie of somebody else")
        self._expect(environ.get("CONTENT_LENGTH") in (None, "", "0"), "a body with GET")
        listed, access = _LIST.fullmatch(path), _ACCESS.fullmatch(path)
        if listed is None and access is None:
            self.wrong.append(f"a registry asks for {path}")
            raise _Refused("404 Not Found")
        repository = (listed or access)[1]  # type: ignore[index]
        value = re.sub(r"^(?:[Tt]oken )+", "", authorization)
        granted, word = self.tokens.get(value, ("", ""))
        if granted != repository:
            raise _Refused("401 Unauthorized")
        is_there = repository in self.lists and (repository not in self.deleted or word == "delete")
        if not is_there:
            raise _Refused("404 Not Found")
        if listed:
            return json.dumps(self.lists[repository]).encode()
        assert access is not None
        is_listed = any(access[2] == entry["id"] for entry in self.lists[repository])
        return json.dumps({"access": is_listed and access[2] not in self.denied}).encode()

    # -- hub.md 3.1, 3.2, 4.1, 4.3: what engines and scripts ask

    def _of_client(
        self, environ: dict[str, Any], authorization: str, headers: list[tuple[str, str]]
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if authorization != "Basic " + base64.b64encode(LOGIN.encode()).decode():
            raise _Refused("401 Unauthorized")
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        listed, repository = _LIST.fullmatch(path), _REPOSITORY.fullmatch(path)
        name = (listed or repository)[1]  # type: ignore[index]
        wants_token = environ.get("HTTP_X_DOCKER_TOKEN") == "true"

        def answer(status: str, access: str, text: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
            if wants_token:
                headers.append(("X-Docker-Token", self.token(name, access)))
            headers.append(("X-Docker-Endpoints", self.endpoint))
            return status, headers, text

        if listed:
            if name not in self.lists or name in self.deleted:
                raise _Refused("404 Not Found")
            if method == "PUT":
                headers.clear()
                return answer("204 No Content", "write", b"")
            return answer("200 OK", "read", json.dumps(self.lists[name]).encode())
        if method == "PUT":
            if name in self.deleted:
                self.deleted.remove(name)
                self.lists.pop(name)
            known = self.lists.setdefault(name, [])
            known += [{"id": entry["id"]} for entry in json.loads(body) if {"id": entry["id"]} not in known]
            return answer("200 OK", "write", b'""')
        if name not in self.lists:
            raise _Refused("404 Not Found")
        if name in self.deleted:
            self.deleted.remove(name)
            self.lists.pop(name)
            return answer("200 OK", "delete", b'""')
        self.deleted.add(name)
        return answer("202 Accepted", "delete", b'""')

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)
