"""The paths that belong to the APIs.

Each prefix stands here and nowhere else, apart from the rows of the tables.
"""

from __future__ import annotations

from typing import Final

#: The Registry API and the Hub API.
V1: Final = "/v1"

#: The distribution API of later engines.
V2: Final = "/v2"

#: The accounts API.
ACCOUNTS: Final = "/api/v1.1"

#: The OAuth endpoints. It is also the path of the issuer (RFC 8414, 2).
OAUTH: Final = f"{ACCOUNTS}/o"

#: The metadata of the OAuth server: the well-known name stands between the host and the path of the issuer
#: (RFC 8414, 3.1).
OAUTH_METADATA: Final = f"/.well-known/oauth-authorization-server{OAUTH}"

PING: Final = "/_ping"
STATUS: Final = "/_status"

#: No setting may put pages or links below these.
_RESERVED: Final = (V1, V2, "/api", PING, STATUS)


def is_reserved(path: str) -> bool:
    """Tell whether a path is one of an API, or lies below one.

    >>> is_reserved("/v1/registry"), is_reserved("/v1"), is_reserved("/v11")
    (True, True, False)
    """
    return any(f"{path}/".startswith(f"{prefix}/") for prefix in _RESERVED)
