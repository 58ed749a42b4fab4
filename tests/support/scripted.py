"""A registry behind a script that interrupts or replaces single answers, or changes their headers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from v1registry import MemoryStorage, Registry

#: Answers a request in place of the registry, which it may call.
Spoiler = Callable[["Script", dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True)
class Seen:
    """One request that was received."""

    method: str
    path: str
    headers: dict[str, str]  #: names in lower case

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class _Rule:
    method: str
    path: str
    spoil: Spoiler
    times: int


class Script:
    """A WSGI application: a registry behind rules."""

    def __init__(self, **options: Any):
        self.storage = MemoryStorage()
        self.registry = Registry(storage=self.storage, **options)
        self.seen: list[Seen] = []
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def when(self, method: str, path: str, spoil: Spoiler, *, times: int = 1) -> None:
        """Let ``spoil`` answer the next requests whose whole path matches the pattern."""
        self._rules.append(_Rule(method, path, spoil, times))

    def requests(self, method: str, path: str = ".*") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and re.fullmatch(path, seen.path)]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = {
            key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key[:5] == "HTTP_"
        }
        if environ.get("CONTENT_LENGTH"):
            headers["content-length"] = environ["CONTENT_LENGTH"]
        seen = Seen(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers)
        with self._lock:
            self.seen.append(seen)
            rule = next(
                (
                    rule
                    for rule in self._rules
                    if rule.times and rule.method == seen.method and re.fullmatch(rule.path, seen.path)
                ),
                None,
            )
            if rule:
                rule.times -= 1
        if rule:
            return rule.spoil(self, environ, start_response)
        return self.registry(environ, start_response)


def reply(status: int, body: object = b"", *, reads: bool = True, **headers: str) -> Spoiler:
    """Return a rule that answers this, by default after it has read the request's body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def spoil(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if reads and (environ.get("CONTENT_LENGTH") or environ.get("wsgi.input_terminated")):
            while environ["wsgi.input"].read(65536):
                pass
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        length = [] if status in (204, 304) else [("Content-Length", str(len(data)))]
        start_response(f"{status} Spoiled", [*named, *length])
        return [data]

    return spoil


def cut(after_bytes: int) -> Spoiler:
    """Return a rule that closes the connection after some bytes of the registry's answer."""

    def spoil(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = script.registry(environ, start_response)

        def pieces() -> Iterator[bytes]:
            left = after_bytes
            try:
                for chunk in body:
                    if chunk[:left]:
                        yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        raise ConnectionAbortedError("the test cuts the answer off here")
            finally:
                getattr(body, "close", lambda: None)()

        return pieces()

    return spoil


def hang_up(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Close the connection within the answer, without reading the request's body."""

    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionAbortedError("the test hangs up here")

    start_response("503 Spoiled", [("Content-Length", "100")])
    return pieces()


def headers(*without: str, status: str | None = None, **changed: str) -> Spoiler:
    """Return a rule that changes the headers of the registry's answer, such as ``X_Docker_Token="…"``.

    :param without: names of headers to remove.
    """

    def spoil(script: Script, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        new = [(name.replace("_", "-"), value) for name, value in changed.items()]
        gone = {name.lower() for name in (*without, *(name for name, _ in new))}

        def start(found: str, pairs: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(
                status or found, [*[p for p in pairs if p[0].lower() not in gone], *new], *rest
            )

        return script.registry(environ, start)

    return spoil
