"""Versions of the Remote API, and the releases of docker that a fake can be.

Source: the version history of the API in the documents of docker 20.10, and docker's release notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from .errors import InvalidParameter


class ApiVersion(NamedTuple):
    """A version such as 1.41. Versions can be compared."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ApiVersion:
        """Return the version that a text such as ``1.41`` names.

        :raises ValueError: the text is no version.
        """
        major, dot, minor = text.partition(".")
        # as many digits as a version can have: int() of a long text takes its time
        if not (dot and major.isdecimal() and minor.isdecimal() and len(text) < 10 and text.isascii()):
            raise ValueError(f"must be a version such as 1.41, not {text[:20]!r}")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


#: The lowest version that the fake speaks.
LOWEST: Final = ApiVersion(1, 24)


@dataclass(frozen=True)
class Release:
    """A release of docker."""

    version: str
    api: ApiVersion
    go_version: str
    commit: str
    build_time: str


#: The releases that a fake can be, newest last.
RELEASES: Final = {
    release.version: release
    for release in (
        Release("1.12.6", ApiVersion(1, 24), "go1.6.4", "78d1802", "2017-01-10T20:38:45.000000000+00:00"),
        Release("17.05.0-ce", ApiVersion(1, 29), "go1.7.5", "89658be", "2017-05-04T22:10:54.000000000+00:00"),
        Release("20.10.24", ApiVersion(1, 41), "go1.19.8", "5d6db84", "2023-05-18T12:37:00.000000000+00:00"),
        Release("27.3.1", ApiVersion(1, 47), "go1.22.7", "41ca978", "2024-09-20T11:41:11.000000000+00:00"),
    )
}

NEWEST: Final = "27.3.1"


def negotiated(text: str | None, release: Release) -> ApiVersion:
    """Return the version in which a request is answered.

    :param text: the version in the path; None if there is none: the release's own counts then.
    :raises InvalidParameter: the release does not speak that version; the text is docker's.
    """
    if text is None:
        return release.api
    try:
        version = ApiVersion.parse(text)
    except ValueError as error:
        raise InvalidParameter(f"the version in the path {error}") from None
    if version < LOWEST:
        raise InvalidParameter(
            f"client version {version} is too old. Minimum supported API version is {LOWEST}, "
            "please upgrade your client to a newer version"
        )
    if version > release.api:
        raise InvalidParameter(
            f"client version {version} is too new. Maximum supported API version is {release.api}"
        )
    return version
