"""The settings: one table of keys, read from keywords, a mapping, the environment or an ini file.

Every key stands once, as a field of :class:`Settings`, with its default, its converter and its description; keyword
arguments, ``from_settings``, ``V1REGISTRY_…`` variables, ini files, PasteDeploy and ``v1registry check-config`` read it there.
"""

from __future__ import annotations

import configparser
import dataclasses
import difflib
import importlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .access.policy import CallablePolicy, NamespacePolicy, Policy, RepositoryFacts
from .accounts.base import Backend
from .names import is_email, is_host
from .storage.base import Storage

if TYPE_CHECKING:
    from .accounts.mail import Mailer

ENVIRONMENT_PREFIX = "V1REGISTRY_"
INI_SECTION = "v1registry"

_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class SettingsError(ValueError):
    """One or more settings are wrong. The text has a line for each; ``problems`` has them as a list."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


# -- converters: from text to values; ValueError says what is expected


def _text(value: str) -> str:
    return value


def _size(value: str) -> int:
    found = re.fullmatch(r"(\d{1,15})\s*([kmgt]?)(?:i?b)?", value.strip().lower())
    if found is None:
        raise ValueError("a number of bytes is expected, such as 16777216, 16M or 64GiB")
    return int(found[1]) * _SIZE_UNITS[found[2]]


def _count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value.strip()) or int(value) == 0:
        raise ValueError("a whole number above 0 is expected")
    return int(value)


def _whole(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value.strip()):
        raise ValueError("a whole number is expected")
    return int(value)


def _url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise ValueError("a URL such as https://registry.example.com is expected")
    return value


def _hosts(value: str) -> str:
    if value and not all(is_host(host.strip()) for host in value.split(",")):
        raise ValueError("host[:port] is expected, or several with commas")
    return value


def _location(value: str) -> str:
    if not re.fullmatch(r"(/[\x21-\x7e]*)?", value):
        raise ValueError("an internal location such as /layers is expected")
    return value


def _path(value: str) -> str:
    is_path = re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._~-]*){2,}", value)
    if is_path is None or value.startswith(("/v1/", "/v2/", "/api/")):
        raise ValueError(
            "a path of two segments or more is expected, such as /accounts/activate, and not of an API"
        )
    return value


def _pages(value: str) -> str:
    if value in ("on", "off"):
        return value
    is_path = re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._~-]*)+", value)
    if is_path is None or f"{value}/".startswith(("/v1/", "/v2/", "/api/", "/_ping/", "/_status/")):
        raise ValueError("on, off, or a path such as /registry is expected, and not of an API")
    return value


def _folder(value: str) -> str:
    if value and not Path(value).is_dir():
        raise ValueError("a folder that is there is expected")
    return value


def _email(value: str) -> str:
    if value and not is_email(value):
        raise ValueError("an address such as registry@example.org is expected")
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def convert(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)} is expected")
        return value

    return convert


def _words(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def _networks(value: str) -> tuple[str, ...]:
    for word in _words(value):
        try:
            ipaddress.ip_network(word)
        except ValueError:
            raise ValueError(f"IP addresses or networks are expected, {word!r} is none") from None
    return _words(value)


def _setting(
    default: Any,
    convert: Callable[[str], Any],
    description: str,
    *,
    is_object: bool = False,
    holds_password: bool = False,
) -> Any:
    return field(
        default=default,
        metadata={"convert": convert, "description": description, "is_object": is_object},
        repr=not holds_password,
    )


@dataclass(frozen=True)
class Settings:
    """What can be set, with its defaults. Sizes are in bytes, times in seconds."""

    auth: object = _setting(
        "open:",
        _text,
        "who may do what: open: (no accounts, everybody may read, write and delete), users: (accounts kept in the "
        "storage), htpasswd:///PATH, ldap://HOST/BASE, environ:KEY, MODULE:ATTRIBUTE, or several of them with commas",
        is_object=True,
        holds_password=True,
    )
    policy: object = _setting(
        "",
        _text,
        "MODULE:ATTRIBUTE of a function (user, action, namespace, repository) -> bool in place of the Hub's rules",
        is_object=True,
    )
    registration: str = _setting(
        "open",
        _one_of("open", "closed"),
        "whether docker login makes accounts (auth users:), or only administrators do",
    )
    reserved_names: tuple[str, ...] = _setting(
        (),
        _words,
        "names that nobody registers, such as those of groups, besides library and names below which repositories are",
    )
    mail: object = _setting(
        "",
        _text,
        "what sends the links that activate accounts: smtp://USER:PASSWORD@HOST:PORT, smtps://..., or MODULE:ATTRIBUTE of "
        "a Mailer; without it accounts are active at once. It needs public_url",
        is_object=True,
        holds_password=True,
    )
    mail_from: str = _setting("", _email, "the address that such mails come from")
    link_lifetime_s: int = _setting(259_200, _count, "how long the links in mails are good, in seconds")
    link_path: str = _setting(
        "/accounts/activate",
        _path,
        "below which path the links in mails are; also in front of another application it is the registry's",
    )
    images: str = _setting(
        "here",
        _one_of("here", "elsewhere"),
        "elsewhere: this is the index of registries in other places, which endpoints names; it sees no uploads",
    )
    index: str = _setting(
        "",
        _url,
        "the index elsewhere that checks this registry's tokens, such as https://index.example.com; empty: this is its own",
    )
    index_cache_s: int = _setting(
        60,
        _whole,
        "how long what that index allowed is not asked again, in seconds; 0: it is asked each time",
    )
    public_url: str = _setting(
        "", _url, "the address that clients use, where it is not that of the request (behind a proxy)"
    )
    endpoints: str = _setting(
        "",
        _hosts,
        "host[:port] of the registry that the index sends clients to; that of the request when empty",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        _networks,
        "addresses of proxies whose X-Forwarded-Host, X-Forwarded-Proto and X-Forwarded-For are believed",
    )
    secret: tuple[str, ...] = _setting(
        (),
        _words,
        "the keys that sign tokens and links, the newest last; without any, one that is made once and kept in the storage "
        "(auth open: one of each process's own)",
        holds_password=True,
    )
    pages: str = _setting(
        "on",
        _pages,
        "the pages for people: on (at /, where the registry stands in front of no other application), off, or a path such as "
        "/registry below which they are, also in front of another application",
    )
    templates: str = _setting(
        "", _folder, "a folder whose templates take the place of the pages' own ones of the same name"
    )
    session_lifetime_s: int = _setting(
        3600,
        _count,
        "how long a log-in on the pages lasts without a request, in seconds; after twelve times that it ends anyway",
    )
    oauth_http: str = _setting(
        "refuse",
        _one_of("refuse", "allow"),
        "whether OAuth works over plain http: refuse, or allow, for tests alone",
    )
    token_lifetime_s: int = _setting(3600, _count, "how long a token is good, in seconds")
    message: str = _setting("docker-registry server", _text, "what GET / answers, as a JSON string")
    v2: str = _setting(
        "ping",
        _one_of("ping", "absent", "pass"),
        "GET /v2/: ping answers 200, which podman's search needs; absent answers 404; "
        "pass leaves /v2/ to the application behind",
    )
    search_limit: int = _setting(10_000, _count, "the most results of a search without n and page")
    search_names: str = _setting(
        "auto",
        _one_of("auto", "short", "long"),
        "how search names library/x: short is x, long is library/x, auto is long only where all is listed",
    )
    max_document_bytes: int = _setting(16 << 20, _size, "the largest JSON body that is taken")
    max_refused_bytes: int = _setting(
        64 << 20, _size, "how much of a refused upload is read before it is answered"
    )
    max_expanded_bytes: int = _setting(
        64 << 30, _size, "how far a layer is decompressed for files, diff and TarSum"
    )
    max_shown_bytes: int = _setting(
        1 << 30, _size, "how far a layer is decompressed for the pages; max_expanded_bytes where that is less"
    )
    layer_redirect: str = _setting(
        "",
        _url,
        "a URL below which the layers are served by somebody else; GET of a layer that everybody may read redirects there",
    )
    x_accel_redirect: str = _setting(
        "", _location, "an internal location of nginx over the storage's folder; nginx then sends the layers"
    )

    @property
    def problems(self) -> list[str]:
        """What is wrong with the settings taken together."""
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
                "pages and link_path exclude each other: the pages would be where the links in mails are"
            )
        if self.mail not in ("", None):
            if not self.public_url:
                problems.append(
                    "mail: public_url is needed too, because links in mails must not go where a request's Host says"
                )
            if self.auth in ("open:", "open"):
                problems.append("mail: a server without accounts (auth open:) has nobody to mail to")
        return problems


def descriptions() -> dict[str, tuple[object, str]]:
    """Return key -> (default, description) of every setting but ``storage``, in order."""
    return {
        field_.name: (field_.default, field_.metadata["description"])
        for field_ in dataclasses.fields(Settings)
    }


def from_mapping(mapping: Mapping[str, Any]) -> tuple[Storage, Settings]:
    """Return the storage and the settings that a mapping names.

    Values are text, or already of the field's type; ``storage`` is a URL (see :func:`open_storage`) or a
    storage. SettingsError with *all* that is wrong: an unknown key names the nearest known one.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    fields = {field_.name: field_ for field_ in dataclasses.fields(Settings)}
    for key, value in mapping.items():
        if key == "storage":
            continue
        if key not in fields:
            nearest = difflib.get_close_matches(key.lower(), [*fields, "storage"], 1, 0.5)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; known: storage, {', '.join(fields)}"
            problems.append(f"{key}: there is no such setting{hint}")
        elif fields[key].metadata["is_object"] and not isinstance(value, str):
            values[key] = value
        else:
            try:
                values[key] = fields[key].metadata["convert"](_as_text(value, fields[key].default))
            except ValueError as error:
                # a secret is not told, not even a wrong one
                problems.append(f"{key}: {error}" if key == "secret" else f"{key}: {error}, not {value!r}")
    settings = Settings(**values)
    problems += settings.problems
    storage = None
    try:
        storage = open_storage(mapping.get("storage", ""))
    except ValueError as error:
        problems.append(f"storage: {error}")
    if problems or storage is None:
        raise SettingsError(problems)
    return storage, settings


def _as_text(value: object, default: object) -> str:
    """Return a value in the form in which it would stand in a file, so that it is checked like one. ValueError."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and isinstance(default, tuple):
        words = [str(word) for word in value]
        if any(word.split() != [word] or "," in word for word in words):
            raise ValueError("texts without blanks and commas are expected")
        return " ".join(words)
    if type(value) is type(default):
        return str(value)
    raise ValueError(f"text or {type(default).__name__} is expected")


def from_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the settings that ``V1REGISTRY_STORAGE`` and the like name: key -> text."""
    source = os.environ if environment is None else environment
    return {
        name[len(ENVIRONMENT_PREFIX) :].lower(): value
        for name, value in source.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }


def from_ini(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the settings in the section ``[v1registry]`` of an ini file: key -> text. SettingsError."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise SettingsError([f"{path}: {error}"]) from error
    if not parser.has_section(INI_SECTION):
        raise SettingsError([f"{path}: there is no section [{INI_SECTION}]"])
    return dict(parser.items(INI_SECTION))


def open_accounts(settings: Settings, storage: Storage, facts: RepositoryFacts) -> tuple[Backend, Policy]:
    """Return the backend and the policy that the settings name. SettingsError with all that is wrong."""
    problems: list[str] = []
    backend: Backend | None = None
    policy: Policy | None = None
    from .accounts.backends.from_text import open_auth

    try:
        backend = open_auth(settings.auth, storage)
    except ValueError as error:
        problems.append(f"auth: {error}")
    try:
        policy = _open_policy(settings.policy, facts)
    except ValueError as error:
        problems.append(f"policy: {error}")
    if backend is None or policy is None:
        raise SettingsError(problems)
    return backend, policy


def open_mailer(mail: object, sender: str) -> Mailer | None:
    """Return the mailer that ``mail`` is or names, None where it is empty. ValueError, which shows no password.

    :param sender: the setting ``mail_from``.
    """
    if mail is None or mail == "":
        return None
    from .accounts.mail import Mailer, SmtpMailer

    if isinstance(mail, str):
        if mail.startswith(("smtp:", "smtps:")):
            return SmtpMailer.from_url(mail, sender)
        if "//" in mail:
            raise ValueError("smtp://HOST, smtps://HOST or MODULE:ATTRIBUTE of a Mailer is expected")
        mail = _attribute(mail)
        if isinstance(mail, type) or not isinstance(mail, Mailer):
            mail = mail() if callable(mail) else mail
    if not isinstance(mail, Mailer):
        raise ValueError(
            f"a Mailer with send_activation() and send_confirmation() is expected, not {type(mail).__name__}"
        )
    return mail


def without_passwords(text: str) -> str:
    """Return a setting with nothing in the place of the passwords that URLs and options in it hold.

    >>> without_passwords("smtp://mira:s3cret@mail.example.org, ldap://h/dc=x????bind_dn=cn=a,bind_password=s3cret,start_tls=yes")
    'smtp://mira:...@mail.example.org, ldap://h/dc=x????bind_dn=cn=a,bind_password=...,start_tls=yes'
    """
    text = re.sub(r"(//[^/?#:@\s]*):[^/?#\s]*@", r"\1:...@", text)
    return re.sub(r"(password=)[^,&#\s]*", r"\1...", text, flags=re.IGNORECASE)


def _open_policy(policy: object, facts: RepositoryFacts) -> Policy:
    """Return the policy that ``policy`` names: the Hub's, a function, or ``module:attribute`` of one. ValueError."""
    if policy is None or policy == "":
        return NamespacePolicy(facts)
    if isinstance(policy, str):
        policy = _attribute(policy)
    if not callable(policy):
        raise ValueError(
            f"a function (user, action, namespace, repository) -> bool is expected, not {policy!r}"
        )
    return CallablePolicy(policy)


def _attribute(text: str) -> Any:
    """Return what ``module:attribute`` names. ValueError."""
    module, colon, attribute = text.partition(":")
    try:
        if not colon:
            raise AttributeError("MODULE:ATTRIBUTE is expected")
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{text!r} names nothing: {error}") from error


def open_storage(place: object) -> Storage:
    """Return the storage that ``place`` names. ValueError.

    A storage is returned as it is. ``memory:`` and ``file:///DIR`` come with the package, other packages add schemes
    by the entry point ``v1registry.storage``, and ``module:attribute`` names a storage or a callable that returns one. Nothing
    is opened yet.
    """
    if not isinstance(place, str):
        if not all(hasattr(place, method) for method in ("read", "write", "publish")):
            raise ValueError(f"a URL such as file:///srv/registry, or a storage, is expected, not {place!r}")
        return place  # type: ignore[return-value]  # the contract suite is the place to prove the rest
    if not place:
        raise ValueError("a place for the data must be named, such as file:///srv/registry or memory:")
    scheme, colon, rest = place.partition(":")
    if not colon:
        raise ValueError(f"a URL such as file:///srv/registry or memory: is expected, not {place!r}")
    # the two of this package are known without a look at the installed distributions, which takes a while
    if scheme == "file":
        from .storage.filesystem import FileStorage

        return FileStorage.from_url(place)
    if scheme == "memory":
        from .storage.memory import MemoryStorage

        return MemoryStorage.from_url(place)
    from importlib.metadata import entry_points

    found = entry_points(group="v1registry.storage", name=scheme)
    if found:
        factory = next(iter(found)).load()
        return factory(place)  # type: ignore[no-any-return]
    if rest.isidentifier():
        made = _attribute(place)
        return open_storage(made() if callable(made) else made)
    known = sorted({"file", "memory", *(entry.name for entry in entry_points(group="v1registry.storage"))})
    raise ValueError(f"{scheme}: is no scheme of a storage; known: {', '.join(f'{name}:' for name in known)}")
