"""The settings: one table of keys, read from keywords, a mapping, the environment or an ini file.

Every key is one field of :class:`Settings`, with default, converter and description. Each part of the
application declares its rows in :mod:`v1registry.setting_rows`; they are joined and checked here. Keyword
arguments, ``from_settings``, ``V1REGISTRY_…`` variables, ini files, PasteDeploy and ``v1registry
check-config`` all read that table. Nothing is opened here: :mod:`v1registry.assembly` does that.

How to add a setting: see docs/internals.md.
"""

from __future__ import annotations

import configparser
import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .setting_rows.addresses import AddressOptions, AddressSettings
from .setting_rows.bodies import BodyOptions, BodySettings
from .setting_rows.conversions import ConversionOptions, ConversionSettings
from .setting_rows.distribution import DistributionOptions, DistributionSettings
from .setting_rows.index import IndexOptions, IndexSettings
from .setting_rows.layers import LayerOptions, LayerSettings
from .setting_rows.limits import LimitOptions, LimitSettings
from .setting_rows.logs import LogOptions, LogSettings
from .setting_rows.looks import LookOptions, LookSettings
from .setting_rows.mail import MailOptions, MailSettings
from .setting_rows.mirror import MirrorOptions, MirrorSettings
from .setting_rows.oauth import OAuthOptions, OAuthSettings
from .setting_rows.pages import PageOptions, PageSettings
from .setting_rows.search import SearchOptions, SearchSettings
from .setting_rows.serving import ServeOptions, ServeSettings
from .setting_rows.tags import TagOptions, TagSettings
from .setting_rows.users import UserOptions, UserSettings
from .setting_rows.views import ViewOptions, ViewSettings

ENVIRONMENT_PREFIX: Final = "V1REGISTRY_"
INI_SECTION: Final = "v1registry"

#: The values of ``auth`` for a server without accounts.
_OPEN: Final = ("open:", "open")


class SettingsError(ValueError):
    """One or more settings are invalid. The text has one line for each problem."""

    def __init__(self, problems: list[str]):
        self.problems = problems  #: one text for each problem
        super().__init__("\n".join(problems))


#: Title of a part of the documentation -> its rows, in the order of the table.
PARTS: Final[Mapping[str, type]] = {
    "Users and rights": UserSettings,
    "Mail": MailSettings,
    "OAuth": OAuthSettings,
    "Where clients reach the registry": AddressSettings,
    "The distribution API": DistributionSettings,
    "Registry and index on different hosts": IndexSettings,
    "Mirror of another registry": MirrorSettings,
    "Lists of tags": TagSettings,
    "Search": SearchSettings,
    "Pages": PageSettings,
    "Limits": LimitSettings,
    "Bodies of requests": BodySettings,
    "Looks into layers": LookSettings,
    "v1 images below /v2/": ConversionSettings,
    "Images of /v2/ in v1": ViewSettings,
    "Layers served by another server": LayerSettings,
    "Logs": LogSettings,
    "Where v1registry serve listens": ServeSettings,
}


@dataclass(frozen=True)
class Settings(  # the fields of the last base come first
    ServeSettings,
    LogSettings,
    LayerSettings,
    ViewSettings,
    ConversionSettings,
    LookSettings,
    BodySettings,
    LimitSettings,
    PageSettings,
    SearchSettings,
    TagSettings,
    MirrorSettings,
    IndexSettings,
    DistributionSettings,
    AddressSettings,
    OAuthSettings,
    MailSettings,
    UserSettings,
):
    """All settings but ``storage``, with their defaults. Sizes are in bytes, times in seconds."""

    @property
    def is_open(self) -> bool:
        """Whether there are no accounts, neither here nor at an external index."""
        return not self.index and self.auth in _OPEN

    @property
    def v2_mode(self) -> str:
        """What is served below ``/v2/``: the setting ``v2``, but ``ping`` if images or accounts are elsewhere
        (distribution.md 4).
        """
        is_off = bool(self.index) or self.images == "elsewhere"
        return "ping" if is_off and self.v2 in ("on", "pull") else self.v2

    @property
    def has_distribution(self) -> bool:
        """Whether the distribution API is served, to push and pull or only to pull."""
        return self.v2_mode in ("on", "pull")

    @property
    def is_writing(self) -> bool:
        """Whether the storage has to be writable: a mirror stores what it fetches, also if clients may change
        nothing.
        """
        return not self.read_only or bool(self.mirror)

    @property
    def problems(self) -> list[str]:
        """Contradictions between settings, one text for each.

        Invalid values count as they were given, so that all problems are reported at once.
        """
        problems = []
        if bool(self.tls_cert) != bool(self.tls_key):
            missing = "tls_key" if self.tls_cert else "tls_cert"
            problems.append(f"{missing} is missing: https needs both tls_cert and tls_key")
        sender_keys = ("layer_redirect", "x_accel_redirect", "x_sendfile", "store_redirect")
        senders = [key for key in sender_keys if getattr(self, key)]
        if len(senders) > 1:
            problems.append(f"{' and '.join(senders)} exclude each other")
        if self.index and self.auth not in _OPEN:
            problems.append("index and auth exclude each other: the users are those of the index")
        if self.index and self.images == "elsewhere":
            problems.append(
                "index is for a registry, images = elsewhere for an index: they exclude each other"
            )
        if self.mirror and (self.index or self.images == "elsewhere"):
            problems.append("mirror needs images and users here: it excludes index and images = elsewhere")
        if bool(self.mirror_user) != bool(self.mirror_password):
            missing = "mirror_password" if self.mirror_user else "mirror_user"
            problems.append(f"{missing} is missing: a login at the origin needs a user and a password")
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
            if self.auth in _OPEN:
                problems.append("mail: a server without accounts (auth open:) sends no mails")
        return problems


#: Settings that ``v1registry serve`` alone reads.
SERVE_SETTINGS: Final = tuple(row.name for row in dataclasses.fields(ServeSettings))

#: Name -> row of the table.
_ROWS: Final = {row.name: row for row in dataclasses.fields(Settings)}


class RegistryOptions(
    UserOptions,
    MailOptions,
    OAuthOptions,
    AddressOptions,
    DistributionOptions,
    IndexOptions,
    MirrorOptions,
    TagOptions,
    SearchOptions,
    PageOptions,
    LimitOptions,
    BodyOptions,
    LookOptions,
    ConversionOptions,
    ViewOptions,
    LayerOptions,
    LogOptions,
    total=False,
):
    """The types of the settings of a registry as keyword arguments.

    Numbers and lists may be given as text, as in a file.
    """


class Options(RegistryOptions, ServeOptions, total=False):
    """The types of all settings as keyword arguments, those of ``v1registry serve`` included."""


def descriptions() -> dict[str, tuple[object, str]]:
    """Return key -> (default, description) of every setting but ``storage``, in the order of the table."""
    return {name: (row.default, row.metadata["description"]) for name, row in _ROWS.items()}


def from_mapping(mapping: Mapping[str, Any]) -> Settings:
    """Return the settings of a mapping. The key ``storage`` is ignored.

    :param mapping: key -> text as in a file, or a value of the field's type.
    :raises SettingsError: lists everything that is wrong. An unknown key names the nearest known one.
    """
    settings, problems = judge(mapping)
    if problems:
        raise SettingsError(problems)
    return settings


def judge(mapping: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """Return the settings of a mapping, and everything that is wrong with them.

    :param mapping: see :func:`from_mapping`. An invalid value is in the settings as it was given.
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
            values[key] = value
            text = str(error)
            if not (_ROWS[key].metadata["holds_password"] or ", not " in text):
                text = f"{text}, not {without_userinfo(repr(value))}"
            problems.append(f"{key}: {text}")
    settings = Settings(**values)
    return settings, problems + settings.problems


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
    if isinstance(default, bool):
        raise ValueError("must be yes or no, as text or bool")
    raise ValueError(f"must be text or {type(default).__name__}")


def shown(value: object) -> str:
    """Return a value as it is written in a file, without the passwords in URLs.

    >>> shown(("10.0.0.0/8", "::1")), shown(True), shown("smtp://mira:s3cret@mail.example.org")
    ('10.0.0.0/8 ::1', 'yes', 'smtp://mira:...@mail.example.org')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return without_passwords(" ".join(value) if isinstance(value, tuple) else str(value))


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

    Modules beside the file can be imported from now on, so that settings may name them as MODULE:ATTRIBUTE.

    :raises SettingsError: the file cannot be read, or has no such section.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), source=str(path))
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror or error}"]) from error
    except (UnicodeDecodeError, configparser.Error) as error:
        raise SettingsError([f"{path}{_reason_of_invalid_ini(error)}"]) from error
    if not parser.has_section(INI_SECTION):
        raise SettingsError([f"{path}: there is no section [{INI_SECTION}]"])
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # the last one, so that no file there hides an installed module
    return dict(parser.items(INI_SECTION))


def _reason_of_invalid_ini(error: UnicodeDecodeError | configparser.Error) -> str:
    """Return in which line of a file the error is, and what is expected there."""
    if isinstance(error, UnicodeDecodeError):
        return f": must be UTF-8: {error.reason} at byte {error.start}"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f", line {error.lineno}: settings must be below a line [{INI_SECTION}]"
    if isinstance(error, configparser.DuplicateOptionError):
        return f", line {error.lineno}: {error.option} must be given once"
    if isinstance(error, configparser.DuplicateSectionError):
        return f", line {error.lineno}: the section [{error.section}] must be given once"
    if isinstance(error, configparser.ParsingError):
        lines = ", ".join(str(number) for number, _ in error.errors)
        return f", line {lines}: must be KEY = VALUE"
    return f": {error}"


#: Where another URL begins in a text with several.
_BACKENDS: Final = re.compile(r"(?=,\s*[A-Za-z][A-Za-z0-9+.-]*://)")

#: A URL of a mail server with its host, and options that contain an address.
_SENDER: Final = re.compile(
    r"(,?\s*smtps?://.*@[^/?#@]+)(\?(?:from|starttls)=[^/?#&]*(?:&(?:from|starttls)=[^/?#&]*)*)", re.DOTALL
)

#: The ends of the names of options with secrets.
_OPTION_NAMES: Final = "password|passwd|secret|token|signature|_key"


def without_passwords(text: str) -> str:
    """Return the text of a setting with ``...`` in place of the passwords in URLs and options.

    >>> without_passwords("smtp://mira:s3cret@mail.example.org")
    'smtp://mira:...@mail.example.org'
    >>> without_passwords("ldap://h/dc=x????bind_dn=cn=a,bind_password=s3cret,start_tls=yes")
    'ldap://h/dc=x????bind_dn=cn=a,bind_password=...,start_tls=yes'
    >>> without_passwords("postgresql://mira:s3/cr?e@t@database.example.org/search")
    'postgresql://mira:...@database.example.org/search'
    >>> without_passwords("smtp://mira:s3cret@mail.example.org?from=mira@example.org")
    'smtp://mira:...@mail.example.org?from=mira@example.org'
    """
    return "".join(_without_password(part) for part in _BACKENDS.split(text))


def _without_password(text: str) -> str:
    """Return the text of one URL with ``...`` in place of passwords, which may contain any character."""
    sender = _SENDER.fullmatch(text)
    text, options = sender.groups() if sender else (text, "")
    # up to the last "@", because a password that is not percent-encoded may contain "/", "?", "#" and "@"
    text = re.sub(r"(//[^:]*):.*@", r"\1:...@", text, flags=re.DOTALL) + options
    # a comma ends an option of LDAP, or begins another backend, but is a part of other passwords
    end = r"(?=,\w+[=:]|\Z)" if re.match(r",?\s*ldap", text, re.IGNORECASE) else r"\Z"
    return re.sub(rf"({_OPTION_NAMES})=.*?{end}", r"\1=...", text, flags=re.IGNORECASE | re.DOTALL)


def without_userinfo(text: str) -> str:
    """Return a text that may be an invalid URL with ``...`` in place of user, password and values of a query.

    What is not a valid URL may have its password anywhere before the last ``@``.

    >>> without_userinfo("htps:/mira:s3/cret@index.example.org?token=abc")
    'htps:/...@index.example.org?token=...'
    """
    before, at, after = text.rpartition("@")
    if at:
        begin = re.match(r"b?['\"]?(?:\w+:/+)?", before)
        text = f"{begin[0] if begin else ''}...@{after}"
    return re.sub(r"([?&#][^=?&#]*=)[^&#'\"]*", r"\1...", text)
