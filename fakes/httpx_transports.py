"""Transports of httpx, sync and async, that call a WSGI application in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

try:
    import httpx
    from anyio import CancelScope, from_thread, to_thread
except ImportError as error:
    raise ImportError(f"the transports need httpx: pip install httpx ({error})") from error

from .faults.connection_cuts import AnswerDelayed, ConnectionCut
from .in_process import Answer, RequestBody, environ_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_T = TypeVar("_T")


class RegistryTransport(httpx.BaseTransport):
    """A transport for httpx.Client that reaches one application by every URL, whatever the host.

    Bodies are streamed in both directions. Those without a known length arrive as chunked bodies. An answer
    that is cut, or shorter than its ``Content-Length``, raises httpx.RemoteProtocolError, as over TCP.

    :param application: answers the requests; it is called in the caller's thread.

    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [environ["PATH_INFO"].encode()]
    >>> with httpx.Client(transport=RegistryTransport(application)) as client:
    ...     client.get("https://registry.example.com/v1/_ping").text
    '/v1/_ping'
    """

    def __init__(self, application: WSGIApplication):
        self.application = application

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Call the application for one request.

        :raises httpx.RemoteProtocolError: a fault cut the connection before the answer.
        :raises httpx.ReadTimeout: a fault delays the answer longer than the read time-out.
        :raises Exception: the body or the application raised it.
        """
        assert isinstance(request.stream, httpx.SyncByteStream)
        exchange = _Exchange(self.application, request, iter(request.stream))
        answer = exchange.begin()
        return _response(answer, _SyncBody(exchange, answer))


class AsyncRegistryTransport(httpx.AsyncBaseTransport):
    """A transport for httpx.AsyncClient that reaches one application by every URL, whatever the host.

    It does what :class:`RegistryTransport` does. The application is called in a thread, so that the event
    loop goes on meanwhile. It works with asyncio and trio.

    :param application: answers the requests.
    """

    def __init__(self, application: WSGIApplication):
        self.application = application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Call the application for one request.

        :raises httpx.RemoteProtocolError: a fault cut the connection before the answer.
        :raises httpx.ReadTimeout: a fault delays the answer longer than the read time-out.
        :raises Exception: the body or the application raised it.
        """
        assert isinstance(request.stream, httpx.AsyncByteStream)
        exchange = _Exchange(self.application, request, _from_thread(aiter(request.stream)))
        # all steps of a request share one context, whichever thread runs them
        context = copy_context()

        async def run(step: Callable[[], _T]) -> _T:
            return await to_thread.run_sync(partial(context.run, step))

        answer = await run(exchange.begin)
        return _response(answer, _AsyncBody(exchange, answer, run))


class _Exchange:
    """One request and its answer."""

    def __init__(self, application: WSGIApplication, request: httpx.Request, chunks: Iterator[bytes]):
        self._application = application
        self._request = request
        self._chunks = chunks

    def begin(self) -> Answer:
        """Call the application."""
        request, url = self._request, self._request.url
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        body = RequestBody(self._chunks) if has_body else None
        timeout_s = request.extensions.get("timeout", {}).get("read")
        target = f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"
        with _errors_of_httpx("Server disconnected without sending a response."):
            answer = Answer(self._application, environ_of(request.method, target, headers, body, timeout_s))
        if body is not None and body.error is not None:
            answer.close()
            raise body.error
        return answer

    def chunks(self, answer: Answer) -> Iterator[bytes]:
        """Yield the body of the answer.

        :raises httpx.RemoteProtocolError: it is cut, or shorter than announced.
        """
        if self._request.method == "HEAD":
            return
        received, text = 0, "peer closed connection without sending complete message body"
        with _errors_of_httpx(text):
            for chunk in answer:
                received += len(chunk)
                yield chunk
        announced = next((value for name, value in answer.headers if name.lower() == "content-length"), "")
        if announced.isdigit() and received < int(announced) and answer.status != 304:
            raise httpx.RemoteProtocolError(f"{text} (received {received} bytes, expected {announced})")


class _SyncBody(httpx.SyncByteStream):
    def __init__(self, exchange: _Exchange, answer: Answer):
        self._chunks = exchange.chunks(answer)
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._answer.close()


class _AsyncBody(httpx.AsyncByteStream):
    """The body of an answer.

    :param run: runs a step of the exchange in a thread.
    """

    def __init__(self, exchange: _Exchange, answer: Answer, run: Callable[[Callable[[], Any]], Any]):
        self._chunks = exchange.chunks(answer)
        self._answer = answer
        self._run = run

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._run(lambda: next(self._chunks, None))) is not None:
            yield chunk

    async def aclose(self) -> None:
        with CancelScope(shield=True):
            await self._run(self._answer.close)


def _response(answer: Answer, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(
        answer.status,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers],
        stream=stream,
        extensions={"http_version": b"HTTP/1.1", "reason_phrase": answer.reason.encode("latin-1")},
    )


def _from_thread(chunks: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks of an async iterator in a thread that the event loop has started."""

    async def next_or_none() -> bytes | None:
        return await anext(chunks, None)

    while (chunk := from_thread.run(next_or_none)) is not None:
        yield chunk


@contextmanager
def _errors_of_httpx(cut_text: str) -> Iterator[None]:
    """Raise what httpx raises if a connection is cut or too slow.

    :param cut_text: the text of the error if the connection is cut.
    """
    try:
        yield
    except ConnectionCut as cut:
        raise httpx.RemoteProtocolError(cut_text) from cut
    except AnswerDelayed as delay:
        raise httpx.ReadTimeout("The read operation timed out") from delay
