"""Settings of users, their rights, and the tokens that they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class UserSettings:
    """Users, their rights, and the tokens that they get."""

    auth: object = setting(
        "open:",
        converters.text,
        "who may do what: open: (no accounts, everyone may read, write and delete), users: (accounts kept "
        "in the storage), htpasswd:///PATH, ldap://HOST/BASE, environ:KEY, MODULE:ATTRIBUTE, or several of "
        "them with commas",
        is_object=True,
        holds_password=True,
    )
    policy: object = setting(
        "",
        converters.text,
        "the rules; if empty, those of the Hub; members: users who are logged in may push, pull and delete "
        "everything, all other callers nothing; MODULE:ATTRIBUTE: a function (user, action, namespace, "
        "repository) -> bool",
        is_object=True,
    )
    registration: str = setting(
        "auto",
        converters.one_of("auto", "open", "closed"),
        "open: users register with docker login or on the pages (auth users:); closed: only administrators "
        "add users; auto: open, but closed in a chain with a backend that cannot look up names",
    )
    registrations_per_address: int = setting(
        100,
        converters.positive_number,
        "how many accounts one client address may register in an hour, in one process",
    )
    registrations_per_hour: int = setting(
        1000, converters.positive_number, "how many accounts may be registered in an hour, in one process"
    )
    reserved_names: tuple[str, ...] = setting(
        (),
        converters.words,
        "further names that cannot be registered; library, namespaces of repositories, and names of groups "
        "and collaborators never can",
    )
    secret: tuple[str, ...] = setting(
        (),
        converters.words,
        "the keys that sign tokens and links, the newest last; if empty, a key is made once and kept in the "
        "storage (auth open: each process makes its own)",
        holds_password=True,
    )
    token_lifetime_s: int = setting(
        3600, converters.positive_number, "the lifetime of a token to read, in seconds"
    )
    write_token_lifetime_s: int = setting(
        12 * 3600,
        converters.positive_number,
        "the lifetime of a token to write, in seconds; a push of large layers has to end within it",
    )
    standalone: str = setting(
        "auto",
        converters.one_of("auto", "true", "false"),
        "X-Docker-Registry-Standalone: false, so that engines use tokens over https; true, so that they send "
        "passwords; auto is false if passwords are checked here",
    )
    read_only: bool = setting(
        False,
        converters.flag,
        "yes: nothing can be pushed, changed or deleted by requests, which get 403",
    )


class UserOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    auth: object
    policy: object
    registration: str
    registrations_per_address: int | str
    registrations_per_hour: int | str
    reserved_names: Sequence[str] | str
    secret: Sequence[str] | str
    token_lifetime_s: int | str
    write_token_lifetime_s: int | str
    standalone: str
    read_only: bool | str
