"""URLs of folders."""

from __future__ import annotations

import os
from urllib.parse import unquote_to_bytes, urlsplit


def path_of_url(url: str) -> str:
    """Return the path of ``file:///folder``, which is percent-encoded in the URL.

    :raises ValueError: the URL has a different form. The message says what is expected.

    >>> path_of_url("file:///srv/my%20registry")
    '/srv/my registry'
    """
    expected = f"expected file:///absolute/path (percent-encoded) as the URL of a folder, not {url!r}"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{expected}: {error}") from None
    if parts.scheme != "file":
        raise ValueError(f"{expected}: it does not begin with file:")
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{expected}: {parts.netloc!r} is in the place of a host; is a / missing?")
    if "?" in url or "#" in url:
        raise ValueError(f"{expected}: it must have no query and no fragment; write %3F for ? and %23 for #")
    if not parts.path.startswith("/"):
        raise ValueError(f"{expected}: the path is not absolute")
    path = os.fsdecode(unquote_to_bytes(parts.path))
    if not path.strip("/") or "\0" in path:
        raise ValueError(f"{expected}: the path names no folder")
    return path
