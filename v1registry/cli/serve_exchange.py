"""One request under ``serve`` and its answer, which can be interrupted while the client does not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import FileWrapper, create

from ..wsgi.access_log import UNSENT_KEY
from ..wsgi.immutable import RANGES_KEY
from ..wsgi.waiting import BODY_WAIT_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .serve_connection import Connection

#: How long a thread waits for a client that takes nothing before the loop takes over, in seconds.
_PATIENCE_S: Final = 0.05

#: How long a client may be silent in its body, unless the application says it, in seconds.
_SILENCE_S: Final = 30.0

#: How much of an unread body is skipped so that the connection can be used again.
_SKIPPED_BYTES: Final = 64 << 10


class Exchange:
    """A request and its answer.

    :param cfg: gunicorn's configuration.
    :param connection: a whole head has come on it.
    :raises Exception: whatever gunicorn's parser raises for an invalid head.
    """

    def __init__(self, cfg: Any, connection: Connection):
        self._cfg = cfg
        self._connection = connection
        has_whole_body = connection.has_whole_body
        # the head is there
        connection.body_wait.allow(silence_s=0.0)
        self._parser = RequestParser(cfg, connection, connection.client)
        self.request = next(self._parser)
        self._response, self._environ = create(
            self.request, connection, connection.client, connection.server, cfg
        )
        connection.body_wait.allow(silence_s=0.0 if has_whole_body else _SILENCE_S)
        connection.body_wait.is_needed = not has_whole_body
        self._environ["wsgi.multithread"] = True
        self._environ[BODY_WAIT_KEY] = connection.body_wait
        self._environ[UNSENT_KEY] = connection.unsent_bytes
        if not cfg.is_ssl:
            self._environ[RANGES_KEY] = True
        self._chunks: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())
        self._is_written = False

    def run(self, application: WSGIApplication) -> None:
        """Call the application. Its answer is sent by :meth:`advance`."""
        self._chunks = application(self._environ, self._response.start_response)

    def begin_answer(self, *, is_last: bool) -> None:
        """Prepare what the application returned for sending.

        :param is_last: whether the connection is closed after it.
        """
        if is_last or (not self._response.should_close() and not self._skip_body()):
            self._response.force_close()
        if isinstance(self._chunks, FileWrapper) and not self._cfg.is_ssl:
            self._response.write_file(self._chunks)
        else:
            self._iterator = iter(self._chunks)

    def advance(self) -> bool:
        """Send the answer; tell whether all of it is sent, or the client takes no more now.

        :raises OSError: the connection is broken.
        """
        while self._connection.flush(_PATIENCE_S):
            if self._is_written:
                return True
            chunk = next(self._iterator, None)
            if chunk is None:
                self._response.close()
                self._is_written = True
            else:
                self._response.write(chunk)
        return False

    def close(self) -> None:
        """Release what the application opened for the answer."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()

    def is_connection_usable(self) -> bool:
        """Tell whether another request may follow, as the answer said."""
        return not self._response.should_close()

    def _skip_body(self) -> bool:
        """Skip what has come of the body; tell whether that was all."""
        if self.request.body.failed or self._connection.is_awaited:
            return False
        self._connection.body_wait.allow(silence_s=0.0)
        skipped = 0
        try:
            while data := self.request.body.read(8192):
                skipped += len(data)
                if skipped > _SKIPPED_BYTES:
                    return False
        except (OSError, ParseException):
            # the body is malformed, or has not come
            return False
        return True

    def rest(self) -> bytes:
        """Return what came after this request: the begin of the next one."""
        rest: bytes = self._parser.unreader.buf.getvalue()
        return rest
