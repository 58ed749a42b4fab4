"""An engine in this process, for pushes that other pushes interrupt between two requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPMessage
from typing import Any
from urllib.parse import unquote_to_bytes

from support.engine_client import Answer, EngineClient, Image
from support.wsgi_client import call


class WsgiTransport:
    """Sends the requests of an engine to a WSGI application, without the framing of chunks."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> Answer:
        data = body if isinstance(body, bytes) else b"".join(body or ())
        environ = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in headers.items()
            if name not in ("Content-Type", "Content-Length", "Transfer-Encoding")
        }
        if "Content-Type" in headers:
            environ["CONTENT_TYPE"] = headers["Content-Type"]
        answer = call(self.app, method, unquote_to_bytes(path).decode("latin-1"), data, **environ)
        received = HTTPMessage()
        for name, value in answer.headers:
            received[name] = value
        return Answer(answer.status, received, answer.body)


class StrictEngine:
    """One push of a chain of images to one repository.

    :param app: the WSGI application.
    :param repository: ``namespace/name``.
    :param images: the chain, root first.
    :param login: ``name:password``; empty without a login.
    :param uses_token: as of :class:`EngineClient`.
    """

    def __init__(
        self, app: Any, repository: str, images: list[Image], *, login: str = "", uses_token: bool = True
    ):
        self.repository = repository
        self.images = images
        self.client = EngineClient(login=login or None, uses_token=uses_token, transport=WsgiTransport(app))

    @property
    def skipped(self) -> set[str]:
        """The ids of the images that the registry had already, so that they were not sent."""
        return self.client.skipped

    def steps(self) -> Iterator[str]:
        """Run the push one request at a time, and yield the name of each step after its answer.

        :raises UnexpectedAnswer: an engine would give up.
        """
        return self.client.steps(self.repository, self.images)

    def push(self) -> StrictEngine:
        """Run all steps.

        :raises UnexpectedAnswer: an engine would give up.
        """
        self.client.push(self.repository, self.images)
        return self

    def pull(self) -> list[Image]:
        """Return the chain of the tag ``latest``, root first, each image checked against its checksum."""
        return self.client.pull(self.repository)


def pull(app: Any, repository: str, *, login: str = "", tag: str = "latest") -> list[Image]:
    """Return the chain that an engine pulls, root first, each image checked against its checksum.

    :raises UnexpectedAnswer: a status is not 200.
    """
    return EngineClient(login=login or None, transport=WsgiTransport(app)).pull(repository, tag)
