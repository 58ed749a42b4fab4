"""Settings of how long bodies of requests are waited for, and of how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class BodySettings:
    """How long bodies of requests are waited for, and how many at once (decisions.md 19)."""

    upload_silence_s: int = setting(
        30, converters.positive_number, "how long a client may send nothing in the midst of a body"
    )
    upload_least_rate: int = setting(
        1024, converters.number, "how many bytes a second a body must bring, on average over upload_silence_s"
    )
    body_timeout_s: int = setting(
        10,
        converters.positive_number,
        "how long the body of a form, or of a call for an account, may take in all",
    )
    refused_timeout_s: int = setting(
        2,
        converters.positive_number,
        "how long the rest of a rejected body is read after the answer is known",
    )
    max_refused_bytes: int = setting(
        1 << 20, converters.size, "how much of a rejected body is read after the answer is known"
    )
    max_bodies: int = setting(
        256,
        converters.positive_number,
        "how many bodies a process receives at once; further ones are answered with 503",
    )
    max_anonymous_bodies: int = setting(
        64,
        converters.positive_number,
        "how many of them may come from callers without credentials; not on an open server",
    )
    max_client_bodies: int = setting(
        64,
        converters.positive_number,
        "how many of them may come from one user, or from one address if the user is unknown",
    )


class BodyOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    upload_silence_s: int | str
    upload_least_rate: int | str
    body_timeout_s: int | str
    refused_timeout_s: int | str
    max_refused_bytes: int | str
    max_bodies: int | str
    max_anonymous_bodies: int | str
    max_client_bodies: int | str
