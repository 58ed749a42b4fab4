"""What every server answers about a layer, whether the registry sends it or the server in front."""

from __future__ import annotations

import requests

#: Headers that say something about the bytes.
_HEADERS = (
    "Accept-Ranges",
    "Cache-Control",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Docker-Content-Digest",
    "ETag",
    "Last-Modified",
)


def check_answers(
    session: requests.Session, url: str, data: bytes, *, is_public: bool, is_dated: bool | None = None
) -> None:
    """Ask for bytes in each way, and compare the answers with what they have to be (registry.md 4.2).

    :param url: where the bytes are.
    :param data: the bytes, at least 1,000.
    :param is_public: whether every caller may read them.
    :param is_dated: whether the whole has a date, as public bytes have; None if it follows from that.
    """
    size = len(data)
    whole = session.get(url)
    assert (whole.status_code, whole.content) == (200, data)
    etag = whole.headers["ETag"]
    seen = seen_of(whole)
    assert seen["Content-Length"] == str(size)
    assert seen["Accept-Ranges"] == "bytes"
    assert ("Last-Modified" in seen) is (is_public if is_dated is None else is_dated)
    seen.pop("Last-Modified", None)
    assert ("private" in seen["Cache-Control"]) is not is_public
    assert "X-Sendfile" not in whole.headers
    assert "X-Accel-Redirect" not in whole.headers

    head = session.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert ("Last-Modified" in head.headers) is is_public
    assert {**seen_of(head), **seen} == seen_of(head)

    for text, start, stop in (
        ("10-19", 10, 20),
        ("990-", 990, size),
        ("-5", size - 5, size),
        ("0-", 0, size),
    ):
        part = session.get(url, headers={"Range": f"bytes={text}", "If-Range": etag})
        assert (part.status_code, part.content) == (206, data[start:stop])
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["ETag"] == etag

    for headers in (
        {"Range": "bytes=10-19", "If-Range": '"other"'},
        {"If-None-Match": '"other"'},
    ):
        again = session.get(url, headers=headers)
        assert (again.status_code, again.content) == (200, data), headers
    beyond = session.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"

    known = session.get(url, headers={"If-None-Match": etag})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    later = session.get(url, headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert later.status_code == (304 if is_public else 200)


def seen_of(answer: requests.Response) -> dict[str, str]:
    """Return the headers of an answer that say something about its bytes."""
    return {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
