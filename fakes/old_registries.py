"""Answers that docker-registry 0.9.1 gives in a form of its own: pages of errors, redirections and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .faults.answers import Answer, fitted
from .faults.effects import status_line

if TYPE_CHECKING:
    from .recording.recorded_request import RecordedRequest

#: The pages of Werkzeug 0.9.6. The first one is recorded in tests/data/transcripts.
_TEXTS: Final = {
    404: (
        "The requested URL was not found on the server.  "
        "If you entered the URL manually please check your spelling and try again."
    ),
    405: "The method is not allowed for the requested URL.",
    301: "You should be redirected automatically.",
}

_PAGE: Final = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<title>{status} {phrase}</title>
<h1>{phrase}</h1>
<p>{text}</p>
"""

#: The requests that need a slash at the end (registry.md 1.1).
_WITH_SLASH: Final = ("put_repository", "delete_repository", "get_users")

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def html_page(answer: Answer) -> None:
    """Replace the body of an answer by the page of its status."""
    status = int(answer.status[:3])
    phrase = status_line(status)[4:]
    body = _PAGE.format(status=status, phrase=phrase, text=_TEXTS[status]).encode()
    answer.close()
    answer.chunks = [body]
    answer.set_header("Content-Type", "text/html")
    answer.set_header("Content-Length", str(len(body)))


def redirect_to_slash(environ: Mapping[str, Any], request: RecordedRequest) -> Answer | None:
    """Return the redirection to the path with a slash at its end, None if it is not needed."""
    path: str = environ.get("PATH_INFO", "")
    if request.route not in _WITH_SLASH or path.endswith(("/", "/tags")):
        return None
    location = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{environ.get('SCRIPT_NAME', '')}{path}/"
    answer = Answer(status_line(301), [("Location", location)], [])
    html_page(answer)
    return answer


def old_range(environ: Mapping[str, Any], request: RecordedRequest, answer: Answer) -> None:
    """Change the answer to a range of a layer as docker-registry 0.9.1 does (registry.md 4.2).

    ``Content-Range`` has no unit, a range of one byte is refused, and a range up to the end announces one
    byte more than follows, so the connection breaks.
    """
    if answer.status.startswith("416"):
        answer.set_header("Content-Range", None)
    asked = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
    got = _CONTENT_RANGE.fullmatch(answer.header("Content-Range") or "")
    if got is None or not answer.status.startswith("206"):
        return
    start, size = int(got[1]), int(got[3])
    stop = min(int(asked[2]), size) if asked is not None and asked[2] else size
    answer.set_header("Content-Range", f"{start}-{stop}/{size}")
    if start == stop:
        answer.close()
        answer.status, answer.chunks = status_line(416), []
        answer.set_header("Content-Range", None)
        answer.set_header("Content-Length", "0")
    elif stop == size:
        request.fault = "docker-registry 0.9.1 announces one byte too many"
        announced = stop - start + 1
        answer.set_header("Content-Length", str(announced))
        answer.chunks = fitted(answer.chunks, announced, environ)
