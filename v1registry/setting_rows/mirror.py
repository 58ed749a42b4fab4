"""Settings of the mirror of another registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class MirrorSettings:
    """The mirror of another registry."""

    mirror: str = setting(
        "",
        converters.registry_url,
        "another registry, the origin, such as https://registry.example.com: what is missing here is fetched "
        "from it when it is pulled; if empty, nothing is fetched",
    )
    mirror_api: str = setting(
        "auto",
        converters.one_of("auto", "v1", "v2"),
        "the API by which the origin is asked; auto: /v2/ if it has that, else v1",
    )
    mirror_user: str = setting(
        "",
        converters.text,
        "the user at the origin. On a server without accounts all callers can read what this user can read",
    )
    mirror_password: str = setting(
        "", converters.text, "the password of the user at the origin", holds_password=True
    )
    mirror_repositories: tuple[str, ...] = setting(
        ("*",),
        converters.words,
        "the repositories that are mirrored: names with the wildcards * and ?, such as library/*",
    )
    mirror_visibility: str = setting(
        "auto",
        converters.one_of("auto", "public", "private"),
        "with accounts: whether mirrored repositories are public or private, and so who may have something "
        "fetched; auto: private if mirror_user is set",
    )
    mirror_tag_age_s: int = setting(
        60,
        converters.number,
        "how long a tag is served before the origin is asked again, in seconds; if the origin does not "
        "answer, tags are served as they are",
    )
    mirror_ca_file: str = setting(
        "",
        converters.text,
        "a file with certificates to trust at the origin, besides those of the system",
    )
    mirror_redirect_hosts: tuple[str, ...] = setting(
        (),
        converters.words,
        "hosts with private addresses to which the origin may send the mirror for layers or tokens; it may "
        "name hosts with public addresses in any case",
    )
    mirror_timeout_s: int = setting(
        30, converters.positive_number, "how long the origin may be silent, in seconds"
    )
    mirror_wait_s: int = setting(
        45,
        converters.positive_number,
        "how long a request waits for the origin before its first byte, in seconds; then it is answered 503, "
        "and the fetch goes on",
    )
    mirror_fetches: int = setting(
        32, converters.count, "how many layers and blobs a process fetches from the origin at once"
    )
    max_mirror_blob_bytes: int = setting(
        64 << 30, converters.size, "the largest layer or blob that is fetched from the origin"
    )


class MirrorOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    mirror: str
    mirror_api: str
    mirror_user: str
    mirror_password: str
    mirror_repositories: tuple[str, ...] | list[str] | str
    mirror_visibility: str
    mirror_tag_age_s: int | str
    mirror_ca_file: str
    mirror_redirect_hosts: tuple[str, ...] | list[str] | str
    mirror_timeout_s: int | str
    mirror_wait_s: int | str
    mirror_fetches: int | str
    max_mirror_blob_bytes: int | str
