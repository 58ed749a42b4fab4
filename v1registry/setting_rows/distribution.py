"""Settings of the distribution API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class DistributionSettings:
    """The distribution API below ``/v2/``."""

    v2: str = setting(
        "on",
        converters.one_of("on", "pull", "ping", "absent", "pass"),
        "the distribution API of today's engines below /v2/: on; pull is read-only; ping only answers "
        "GET /v2/, with accounts only to users who log in; absent answers 404; "
        "pass leaves /v2/ to the application behind the registry",
    )
    v2_token_lifetime_s: int = setting(
        300, converters.positive_number, "the lifetime of a token of /v2/, in seconds; clients get new ones"
    )
    v2_refresh_lifetime_s: int = setting(
        30 * 86400,
        converters.positive_number,
        "the lifetime of a token with which a client of /v2/ gets new tokens without the password, in "
        "seconds; it ends with the password too",
    )
    max_manifest_bytes: int = setting(4 << 20, converters.size, "the largest manifest that is accepted")
    max_repository_uploads: int = setting(
        1000,
        converters.positive_number,
        "how many unfinished uploads of blobs one repository may have, of all users together",
    )
    max_repository_unfinished_bytes: int = setting(
        128 << 30,
        converters.size,
        "how many bytes of unfinished uploads of blobs are kept for one repository",
    )
    v2_delete: bool = setting(
        True, converters.flag, "whether tags, manifests and blobs can be deleted through the distribution API"
    )


class DistributionOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    v2: str
    v2_token_lifetime_s: int | str
    v2_refresh_lifetime_s: int | str
    max_manifest_bytes: int | str
    max_repository_uploads: int | str
    max_repository_unfinished_bytes: int | str
    v2_delete: bool | str
