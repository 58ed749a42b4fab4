"""Object stores named by URLs: ``s3://BUCKET/PREFIX?endpoint=URL``, ``gs://BUCKET`` and ``az://CONTAINER``.

Credentials are in the environment only, under the names that the tools of each store use. No text of this
module has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ...clock import SYSTEM_CLOCK, Clock
from .groups import Groups
from .storage import DEADLINE_S, ObjectStorage

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Scheme -> the options that it has.
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("endpoint", "public_endpoint", "region", "path_style", "single_writer", "timeout"),
    "gs": ("endpoint", "single_writer", "timeout"),
    "az": ("endpoint", "public_endpoint", "account", "single_writer", "timeout"),
}

#: The schemes of URLs of object stores.
SCHEMES: Final = frozenset(_OPTIONS)

#: Scheme -> variables of which at least one names credentials.
CREDENTIALS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_CLIENT_ID",
        "AZURE_STORAGE_TOKEN",
    ),
}

#: Scheme -> variables that name an endpoint, if the URL does not.
_ENDPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}

#: Scheme -> variables that name an account, if the URL does not.
_ACCOUNTS: Final[Mapping[str, tuple[str, ...]]] = {"s3": (), "gs": (), "az": ("AZURE_STORAGE_ACCOUNT_NAME",)}

_EXPECTED: Final[Mapping[str, str]] = {
    "s3": "s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION",
    "gs": "gs://BUCKET/PREFIX",
    "az": "az://CONTAINER/PREFIX?account=ACCOUNT",
}

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_WORD: Final = re.compile(r"[A-Za-z0-9-]{1,63}")

_FLAGS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False}

#: The value of ``single_writer`` that says that the server has one process, even if it says otherwise.
_PROCESS: Final = "process"

#: How long one call of the store may take, in seconds. The transfer of a large value may take longer, but no
#: wait in it.
_TIMEOUT_S: Final = 10
_LONGEST_TIMEOUT_S: Final = 300

#: How long a connection may take to be made, in seconds.
_CONNECT_TIMEOUT_S: Final = 5

#: How often a call is repeated, within one and a half times its time-out. Each pause before it is random, and
#: longer than the one before.
_RETRIES: Final = 4
_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_LONGEST_PAUSE: Final = timedelta(seconds=2)

#: A part of a large value may take so many times longer than another call.
_SLOWER: Final = 6

#: How long the transfer of one large value may take.
_LONGEST_TRANSFER: Final = timedelta(hours=12)


@dataclass(frozen=True)
class ObjectPlace:
    """A folder of a bucket, or all of the bucket.

    :param scheme: ``s3``, ``gs`` or ``az``.
    """

    scheme: str
    bucket: str
    prefix: str = ""
    endpoint: str = ""  #: empty for that of the vendor
    public_endpoint: str = ""  #: for clients that are redirected; empty for ``endpoint``
    region: str = ""
    account: str = ""  #: of Azure; empty for that of the environment
    is_path_style: bool = False
    is_single_writer: bool = False  #: no other process writes, so the store needs no conditional writes
    is_single_process: bool = False  #: the server has one process, even if it says otherwise
    timeout_s: int = _TIMEOUT_S  #: of one call

    @classmethod
    def from_url(cls, url: str) -> ObjectPlace:
        """Return the place that a URL names.

        :raises ValueError: the URL is invalid. The text says which part is wrong and what was expected. It
            shows no value, because each may be a secret in the wrong place.
        """
        scheme = url.partition(":")[0]
        problem = f"expected {_EXPECTED.get(scheme, _EXPECTED['s3'])}"
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(f"{problem}; the URL cannot be read") from None
        if scheme not in _OPTIONS:
            raise ValueError(f"{problem}; the scheme must be s3, gs or az")
        if "@" in unquote(url):
            raise ValueError(
                f"{problem}; there must be no '@': credentials must be in the environment "
                f"({CREDENTIALS[scheme][0]}), not in the URL"
            )
        if parts.fragment:
            raise ValueError(f"{problem}; a fragment (#) has no meaning")
        if not _BUCKET.fullmatch(parts.netloc):
            raise ValueError(
                f"{problem}; after {scheme}:// must be the name of a bucket, which has 3 or more letters, "
                "digits, '.', '-' and '_'"
            )
        prefix = unquote(parts.path.strip("/"))
        for segment in prefix.split("/") if prefix else ():
            if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    f"{problem}; each segment of the prefix must be letters, digits, '.', '-' and '_'"
                )
        return cls(scheme, parts.netloc, prefix, **_options(scheme, parts.query, problem))

    def open_store(self, *, for_transfers: bool = False) -> ObjectStore:
        """Return the store of obstore. Nothing is connected yet.

        :param for_transfers: whether large values are sent and received. They may take hours, if each wait
            for the store is short.
        :raises ValueError: obstore is missing, or rejects what the environment says. The text shows no
            credentials.
        """
        try:
            from obstore import store as stores
            from obstore.exceptions import BaseError
        except ImportError as error:
            raise ValueError(
                f"{self.scheme}: needs obstore, which is missing: pip install 'v1registry[s3]'"
            ) from error
        client: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=min(_CONNECT_TIMEOUT_S, self.timeout_s)),
            "read_timeout": timedelta(seconds=self.timeout_s * (_SLOWER if for_transfers else 1)),
            "timeout": _LONGEST_TRANSFER if for_transfers else timedelta(seconds=self.timeout_s),
            "allow_http": self.endpoint.startswith("http:"),
        }
        options: dict[str, Any] = {
            "prefix": self.prefix or None,
            "client_options": client,
            "retry_config": {
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=1.5 * self.timeout_s),
                "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE, "base": 2},
            },
        }
        makers: dict[str, Any] = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}
        try:
            store: ObjectStore = makers[self.scheme](self.bucket, **options, **self._config())
        except (BaseError, OSError, ValueError) as error:
            # its text may have what the environment says
            raise ValueError(
                f"{self.scheme}: the variables of the environment for this store are invalid "
                f"({type(error).__name__})"
            ) from None
        return store

    def _config(self) -> dict[str, Any]:
        """Return what obstore must know besides the bucket."""
        config: dict[str, Any] = {}
        if self.scheme == "gs":
            if self.endpoint:
                config["base_url"] = self.endpoint
            return config
        if self.endpoint:
            config["endpoint"] = self.endpoint
        if self.scheme == "az":
            if self.account:
                config["account_name"] = self.account
            return config
        config["virtual_hosted_style_request"] = not self.is_path_style
        if self.region:
            config["region"] = self.region
        if self.endpoint:
            if not self.is_path_style:
                scheme, _, host = self.endpoint.partition("://")
                config["endpoint"] = f"{scheme}://{self.bucket}.{host}"
            # a variable of the same name would win
            config["aws_endpoint_url_s3"] = config["endpoint"]
        return config

    @property
    def name(self) -> str:
        """What tells the place from all others, without credentials: a URL with endpoint and account.

        Different stores may have buckets of one name.
        """
        names = {
            "endpoint": self.endpoint or _first_variable(_ENDPOINTS[self.scheme]).rstrip("/"),
            "account": self.account or _first_variable(_ACCOUNTS[self.scheme]),
        }
        # a variable may have credentials
        shown = {name: re.sub("//.*@", "//", value) for name, value in names.items() if value}
        query = "&".join(f"{name}={value}" for name, value in shown.items())
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/") + (f"?{query}" if query else "")

    @property
    def credentials(self) -> str:
        """The variable that names credentials; empty if none is set."""
        return next((name for name in CREDENTIALS[self.scheme] if os.environ.get(name)), "")

    @property
    def credentials_in_words(self) -> str:
        """Where credentials come from, without themselves."""
        if self.credentials:
            return f"credentials from the environment ({self.credentials})"
        return f"no credentials in the environment (such as {CREDENTIALS[self.scheme][0]})"

    def __str__(self) -> str:
        kind = "container" if self.scheme == "az" else "bucket"
        where = f" at {self.endpoint}" if self.endpoint else ""
        below = f", below {self.prefix}/" if self.prefix else ""
        return f"{self.scheme} {kind} {self.bucket}{where}{below}"


def open_objects(
    url: str, *, groups: Groups, old_folders: Iterable[str] = (), clock: Clock = SYSTEM_CLOCK
) -> ObjectStorage:
    """Return the storage in the place that a URL names. Nothing is connected yet.

    :param groups: which keys change together.
    :param old_folders: folders whose objects become keys when the bucket is used for the first time.
    :raises ValueError: see :meth:`ObjectPlace.from_url` and :meth:`ObjectPlace.open_store`.
    """
    place = ObjectPlace.from_url(url)
    return ObjectStorage(
        place.open_store(),
        transfers=place.open_store(for_transfers=True),
        public=replace(place, endpoint=place.public_endpoint or place.endpoint).open_store(),
        groups=groups,
        old_folders=old_folders,
        single_writer=place.is_single_writer,
        single_process=place.is_single_process,
        # one call with its repetitions
        deadline_s=max(DEADLINE_S, 2.5 * place.timeout_s),
        description=f"{place}; {place.credentials_in_words}",
        clock=clock,
    )


def _first_variable(names: Iterable[str]) -> str:
    """Return the value of the first variable of the environment that is set; empty if none is."""
    return next(filter(None, map(os.environ.get, names)), "")


def _options(scheme: str, query: str, problem: str) -> dict[str, Any]:
    """Return the fields that the query of a URL sets.

    :raises ValueError: it is invalid.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS[scheme]:
            raise ValueError(
                f"{problem}; the query has an unknown option; known: {', '.join(_OPTIONS[scheme])}. "
                "Credentials must be in the environment"
            )
        if name in given:
            raise ValueError(f"{problem}; the option {name} stands there twice")
        given[name] = value
    fields: dict[str, Any] = {}
    for name in ("endpoint", "public_endpoint"):
        if name in given:
            fields[name] = _endpoint(name, given[name], problem)
    for name in ("region", "account"):
        if name in given:
            if not _WORD.fullmatch(given[name]):
                raise ValueError(f"{problem}; {name} must be letters, digits and '-'")
            fields[name] = given[name]
    # stores of one's own seldom have a host name for each bucket
    fields["is_path_style"] = _flag("path_style", given, problem, default="endpoint" in given)
    writer = given.get("single_writer", "false").lower()
    fields["is_single_process"] = writer == _PROCESS
    if writer != _PROCESS and writer not in _FLAGS:
        raise ValueError(f"{problem}; single_writer must be true, {_PROCESS} or false")
    fields["is_single_writer"] = writer == _PROCESS or _FLAGS[writer]
    if "timeout" in given:
        text = given["timeout"]
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _LONGEST_TIMEOUT_S):
            raise ValueError(f"{problem}; timeout must be 1 to {_LONGEST_TIMEOUT_S} seconds")
        fields["timeout_s"] = int(text)
    return fields


def _flag(name: str, given: Mapping[str, str], problem: str, *, default: bool) -> bool:
    if name not in given:
        return default
    try:
        return _FLAGS[given[name].lower()]
    except KeyError:
        raise ValueError(f"{problem}; {name} must be true or false") from None


def _endpoint(name: str, text: str, problem: str) -> str:
    """Return the base URL of a store.

    :raises ValueError: it is invalid. The text does not show it.
    """
    expected = f"{problem}; {name} must be http://HOST:PORT or https://HOST"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{expected}; its host or port is invalid") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{expected}, without anything else")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"{expected}; it must be printable ASCII without blanks")
    return text.rstrip("/")
