"""Headers with credentials."""

from __future__ import annotations

import base64


def basic(username: str, password: str | None = None) -> dict[str, str]:
    """Return the header of Basic credentials.

    The default password is ``pw-`` and the name, as in :class:`People`.
    """
    text = f"{username}:{f'pw-{username}' if password is None else password}"
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode("ascii")}


def token_header(token: str) -> dict[str, str]:
    """Return the header of a token of the index."""
    return {"Authorization": f"Token {token}"}
