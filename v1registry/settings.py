"""The settings: one table of keys, read from keywords, a mapping, the environment or an ini file.

Every key is one field of :class:`Settings`, with default, converter and description. Keyword arguments,
``from_settings``, ``V1REGISTRY_…`` variables, ini files, PasteDeploy and ``v1registry check-config`` all read
that table. Nothing is opened here: :mod:`v1registry.assembly` does that.

How to add a setting: see docs/internals.md.
"""

from __future__ import annotations

import configparser
import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypedDict

from . import converters

ENVIRONMENT_PREFIX: Final = "V1REGISTRY_"
INI_SECTION: Final = "v1registry"


class SettingsError(ValueError):
    """One or more settings are invalid. The text has one line for each problem."""

    def __init__(self, problems: list[str]):
        self.problems = problems  #: one text for each problem
        super().__init__("\n".join(problems))


def _setting(
    default: Any,
    convert: Callable[[str], Any],
    description: str,
    *,
    is_object: bool = False,
    holds_password: bool = False,
) -> Any:
    """Return a field of the table.

    :param is_object: the value may be an object, which is not converted.
    :param holds_password: the value does not appear in the representation of the settings.
    """
    return field(
        default=default,
        metadata={"convert": convert, "description": description, "is_object": is_object},
        repr=not holds_password,
    )


@dataclass(frozen=True)
class Settings:
    """All settings but ``storage``, with their defaults. Sizes are in bytes, times in seconds."""

    auth: object = _setting(
        "open:",
        converters.text,
        "who may do what: open: (no accounts, everyone may read, write and delete), users: (accounts kept "
        "in the storage), htpasswd:///PATH, ldap://HOST/BASE, environ:KEY, MODULE:ATTRIBUTE, or several of "
        "them with commas",
        is_object=True,
        holds_password=True,
    )
    policy: object = _setting(
        "",
        converters.text,
        "MODULE:ATTRIBUTE of a function (user, action, namespace, repository) -> bool that replaces the "
        "Hub's rules",
        is_object=True,
    )
    registration: str = _setting(
        "open",
        converters.one_of("open", "closed"),
        "open: users register with docker login or on the pages (auth users:); closed: only administrators "
        "add users",
    )
    reserved_names: tuple[str, ...] = _setting(
        (),
        converters.words,
        "names that cannot be registered, such as those of groups; library and namespaces of repositories "
        "never can",
    )
    mail: object = _setting(
        "",
        converters.text,
        "the sender of links that activate accounts: smtp://USER:PASSWORD@HOST:PORT, smtps://..., or "
        "MODULE:ATTRIBUTE of a Mailer; needs public_url; if empty, accounts are active at once",
        is_object=True,
        holds_password=True,
    )
    mail_from: str = _setting("", converters.email, "the sender's address of such mails")
    link_lifetime_s: int = _setting(
        259_200, converters.positive_number, "the lifetime of links in mails, in seconds"
    )
    link_path: str = _setting(
        "/accounts/activate",
        converters.link_path,
        "the path below which links in mails are, also in front of another application",
    )
    images: str = _setting(
        "here",
        converters.one_of("here", "elsewhere"),
        "here: this server stores images; elsewhere: it is the index of the registries that endpoints names",
    )
    index: str = _setting(
        "",
        converters.url,
        "the external index that checks tokens, such as https://index.example.com; if empty, this server is "
        "the index",
    )
    index_cache_s: int = _setting(
        60,
        converters.number,
        "how long an answer of the external index is kept, in seconds; 0: the index is asked each time",
    )
    public_url: str = _setting(
        "",
        converters.url,
        "the URL that clients use, if it differs from that of the request (behind a proxy)",
    )
    endpoints: str = _setting(
        "",
        converters.hosts,
        "host[:port] of the registry to which the index sends clients; if empty, the host of the request",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        converters.networks,
        "addresses of proxies whose X-Forwarded-Host, X-Forwarded-Proto and X-Forwarded-For are trusted",
    )
    secret: tuple[str, ...] = _setting(
        (),
        converters.words,
        "the keys that sign tokens and links, the newest last; if empty, a key is made once and kept in the "
        "storage (auth open: each process makes its own)",
        holds_password=True,
    )
    pages: str = _setting(
        "on",
        converters.pages,
        "the web pages: on (at /, unless the registry is in front of another application), off, or a path "
        "such as /registry below which they are, also in front of another application",
    )
    templates: str = _setting(
        "", converters.folder, "a folder whose templates replace those of the pages of the same name"
    )
    session_lifetime_s: int = _setting(
        3600,
        converters.positive_number,
        "how long a log-in on the pages lasts without a request, in seconds; it ends after twelve times "
        "that in any case",
    )
    oauth_http: str = _setting(
        "refuse",
        converters.one_of("refuse", "allow"),
        "OAuth over plain http: refuse; allow, for tests only",
    )
    token_lifetime_s: int = _setting(
        3600, converters.positive_number, "the lifetime of a token to read, in seconds"
    )
    write_token_lifetime_s: int = _setting(
        12 * 3600,
        converters.positive_number,
        "the lifetime of a token to write, in seconds; a push of large layers has to end within it",
    )
    standalone: str = _setting(
        "auto",
        converters.one_of("auto", "true", "false"),
        "X-Docker-Registry-Standalone: false, so that engines use tokens over https; true, so that they send "
        "passwords; auto is false if passwords are checked here",
    )
    max_unfinished_bytes: int = _setting(
        1 << 40,
        converters.size,
        "how many bytes of unfinished pushes are kept for one user; on an open server, for one client",
    )
    message: str = _setting(
        "docker-registry server", converters.text, "the answer to GET /, as a JSON string"
    )
    v2: str = _setting(
        "ping",
        converters.one_of("ping", "absent", "pass"),
        "GET /v2/: ping answers 200, which podman's search needs; absent answers 404; "
        "pass leaves /v2/ to the application behind the registry",
    )
    search_limit: int = _setting(
        10_000, converters.positive_number, "the maximum of results of a search without n and page"
    )
    search_names: str = _setting(
        "auto",
        converters.one_of("auto", "short", "long"),
        "how search names library/x: short is x, long is library/x, auto is long only if all repositories "
        "are listed",
    )
    max_document_bytes: int = _setting(16 << 20, converters.size, "the largest JSON body that is accepted")
    max_refused_bytes: int = _setting(
        64 << 20, converters.size, "how much of a rejected upload is read after the answer is known"
    )
    max_expanded_bytes: int = _setting(
        64 << 30, converters.size, "how many bytes of a layer are decompressed for files, diff and TarSum"
    )
    max_shown_bytes: int = _setting(
        1 << 30,
        converters.size,
        "how many bytes of a layer are decompressed for the pages, at most max_expanded_bytes",
    )
    layer_redirect: str = _setting(
        "",
        converters.url,
        "a URL below which another server has the layers; GET of a public layer redirects there",
    )
    x_accel_redirect: str = _setting(
        "",
        converters.location,
        "an internal location of nginx for the folder of the storage; nginx then sends the layers",
    )

    @property
    def problems(self) -> list[str]:
        """Contradictions between settings, one text for each."""
        problems = []
        if self.layer_redirect and self.x_accel_redirect:
            problems.append("layer_redirect and x_accel_redirect exclude each other")
        if self.index and self.auth not in ("open:", "open"):
            problems.append("index and auth exclude each other: the users are those of the index")
        if self.index and self.images == "elsewhere":
            problems.append(
                "index is for a registry, images = elsewhere for an index: they exclude each other"
            )
        if f"{self.pages}/".startswith(f"{self.link_path}/"):
            problems.append(
                "pages and link_path exclude each other: pages must not be below the path of links in mails"
            )
        if self.mail not in ("", None):
            if not self.public_url:
                problems.append(
                    "mail: public_url is needed too, because links in mails must not use the host of a "
                    "request"
                )
            if self.auth in ("open:", "open"):
                problems.append("mail: a server without accounts (auth open:) sends no mails")
        return problems


#: Name -> row of the table.
_ROWS: Final = {row.name: row for row in dataclasses.fields(Settings)}


class Options(TypedDict, total=False):
    """The types of all settings as keyword arguments.

    Numbers and lists may be given as text, as in a file.
    """

    auth: object
    policy: object
    registration: str
    reserved_names: Sequence[str] | str
    mail: object
    mail_from: str
    link_lifetime_s: int | str
    link_path: str
    images: str
    index: str
    index_cache_s: int | str
    public_url: str
    endpoints: str
    trusted_proxies: Sequence[str] | str
    secret: Sequence[str] | str
    pages: str
    templates: str
    session_lifetime_s: int | str
    oauth_http: str
    token_lifetime_s: int | str
    write_token_lifetime_s: int | str
    standalone: str
    max_unfinished_bytes: int | str
    message: str
    v2: str
    search_limit: int | str
    search_names: str
    max_document_bytes: int | str
    max_refused_bytes: int | str
    max_expanded_bytes: int | str
    max_shown_bytes: int | str
    layer_redirect: str
    x_accel_redirect: str


def descriptions() -> dict[str, tuple[object, str]]:
    """Return key -> (default, description) of every setting but ``storage``, in the order of the table."""
    return {name: (row.default, row.metadata["description"]) for name, row in _ROWS.items()}


def from_mapping(mapping: Mapping[str, Any]) -> Settings:
    """Return the settings of a mapping. The key ``storage`` is ignored.

    :param mapping: key -> text as in a file, or a value of the field's type.
    :raises SettingsError: lists everything that is wrong. An unknown key names the nearest known one.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if key == "storage":
            continue
        if key not in _ROWS:
            nearest = difflib.get_close_matches(key.lower(), [*_ROWS, "storage"], 1, 0.5)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; known: storage, {', '.join(_ROWS)}"
            problems.append(f"{key}: there is no such setting{hint}")
            continue
        try:
            values[key] = _converted(_ROWS[key], value)
        except ValueError as error:
            # a secret is not shown, even if it is invalid
            problems.append(f"{key}: {error}" if key == "secret" else f"{key}: {error}, not {value!r}")
    settings = Settings(**values)
    problems += settings.problems
    if problems:
        raise SettingsError(problems)
    return settings


def _converted(row: dataclasses.Field[Any], value: object) -> object:
    """Return the value of a setting.

    :raises ValueError: it is invalid. The text begins with "must be".
    """
    if row.metadata["is_object"] and not isinstance(value, str):
        return value
    return row.metadata["convert"](_as_text(value, row.default))


def _as_text(value: object, default: object) -> str:
    """Return a value as it is written in a file, so that one converter checks both.

    :raises ValueError: the value has another type than the default.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and isinstance(default, tuple):
        words = [str(word) for word in value]
        if any(word.split() != [word] or "," in word for word in words):
            raise ValueError("must be texts without blanks and commas")
        return " ".join(words)
    if type(value) is type(default):
        return str(value)
    raise ValueError(f"must be text or {type(default).__name__}")


def from_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the settings of the variables ``V1REGISTRY_STORAGE``, …: key -> text.

    :param environment: variables; those of the process if None.
    """
    source = os.environ if environment is None else environment
    return {
        name[len(ENVIRONMENT_PREFIX) :].lower(): value
        for name, value in source.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }


def from_ini(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the settings in the section ``[v1registry]`` of an ini file: key -> text.

    :raises SettingsError: the file cannot be read, or has no such section.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise SettingsError([f"{path}: {error}"]) from error
    if not parser.has_section(INI_SECTION):
        raise SettingsError([f"{path}: there is no section [{INI_SECTION}]"])
    return dict(parser.items(INI_SECTION))


def without_passwords(text: str) -> str:
    """Return the text of a setting with ``...`` in place of the passwords in URLs and options.

    >>> without_passwords("smtp://mira:s3cret@mail.example.org")
    'smtp://mira:...@mail.example.org'
    >>> without_passwords("ldap://h/dc=x????bind_dn=cn=a,bind_password=s3cret,start_tls=yes")
    'ldap://h/dc=x????bind_dn=cn=a,bind_password=...,start_tls=yes'
    """
    text = re.sub(r"(//[^/?#:@\s]*):[^/?#\s]*@", r"\1:...@", text)
    return re.sub(r"(password=)[^,&#\s]*", r"\1...", text, flags=re.IGNORECASE)
