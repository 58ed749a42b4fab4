"""The registries that an engine talks to (remote.md 4.7)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from v1registry.client import (
    BadReference,
    NotAuthorized,
    NotFoundInRegistry,
    Progress,
    RegistryUnreachable,
)
from v1registry.client.connection import Connection, ConnectionOptions, Credentials
from v1registry.client.reference import Reference
from v1registry.client.transfer import Transfer

from .errors import EngineError, InvalidParameter, NoSuchObject
from .near_registries import near_adapter
from .references import DEFAULT_HOST, ImageReference
from .registry_questions import RegistryQuestions
from .versions import Release

#: An engine gives up sooner than the client of the command line, in seconds and attempts.
_TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 2

#: How many layers are pulled at once, as engines do, and the largest one, in bytes.
_PARALLEL: Final = 3
_LARGEST_LAYER_BYTES: Final = 64 << 30

#: The host that stands behind names without one.
_HUB: Final = "registry-1.docker.io"


@dataclass(frozen=True)
class Registries:
    """How registries are reached.

    :param mirrors: host in names of images -> URL that is asked in its place.
    :param ca_file: a certificate to trust, besides the system's.
    :param api: which API the engine speaks.
    """

    release: Release
    mirrors: Mapping[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    api: Literal["auto", "v1"] = "auto"

    def url_of(self, host: str) -> str:
        """Return the host of a registry, with a scheme if it is known."""
        found = self.mirrors.get(host)
        return found.rstrip("/") if found else _HUB if host == DEFAULT_HOST else host

    def questions(self, host: str, credentials: Mapping[str, str]) -> RegistryQuestions:
        """Return what asks a registry for other things than images. The caller closes it.

        :raises InvalidParameter: the host is invalid.
        """
        try:
            connection = self._connection(host)
        except BadReference as error:
            raise InvalidParameter(f"invalid registry: {error}") from error
        return RegistryQuestions(connection, _credentials(credentials), speaks_v1_only=self.api == "v1")

    @contextmanager
    def connected(self, host: str) -> Iterator[Connection]:
        """Yield connections to a registry, which are closed at the end.

        :raises ClientError: the host is invalid.
        """
        connection = self._connection(host)
        try:
            yield connection
        finally:
            connection.close()

    def transfer(
        self,
        connection: Connection,
        credentials: Mapping[str, str],
        reference: Reference,
        progress: Progress,
    ) -> Transfer:
        """Return what a pull or a push needs.

        :param credentials: ``username`` and ``password``, or nothing.
        """
        found = _credentials(credentials)
        return Transfer(connection, found, reference, progress, _PARALLEL, _LARGEST_LAYER_BYTES)

    def _connection(self, host: str) -> Connection:
        options = ConnectionOptions(
            scheme=None,
            is_insecure=False,
            verify=None,
            authorities=(self.ca_file,) if self.ca_file else (),
            client_certificate=None,
            timeout_s=_TIMEOUT_S,
            parallel=_PARALLEL,
            attempts=_ATTEMPTS,
            user_agent=self._user_agent,
            sleep=time.sleep,
            plain_adapter=near_adapter,
        )
        return Connection(self.url_of(host), options)

    @property
    def _user_agent(self) -> str:
        release = self.release
        return (
            f"docker/{release.version} go/{release.go_version} git-commit/{release.commit} "
            "kernel/6.1.0-fake os/linux arch/amd64"
        )

    def name_there(self, reference: ImageReference) -> str:
        """Return the name of an image for a client of its registry.

        :param reference: with a tag or a digest.
        """
        url = self.url_of(reference.host)
        host = urlsplit(url).netloc if "://" in url else url
        place = f"@{reference.digest}" if reference.digest else f":{reference.tag or 'latest'}"
        return f"{host}/{reference.full_path}{place}"


def _credentials(named: Mapping[str, str]) -> Credentials | None:
    username = named.get("username")
    return Credentials(username, named.get("password", "")) if username else None


def pull_failure(error: Exception, reference: ImageReference) -> EngineError:
    """Return the failure of a pull, with the text that engines give."""
    if isinstance(error, NotFoundInRegistry):
        return NoSuchObject(f"manifest for {reference.tagged} not found: manifest unknown: {error}")
    if isinstance(error, NotAuthorized):
        return NoSuchObject(
            f"pull access denied for {reference.name}, repository does not exist or may require "
            f"'docker login': denied: {error}"
        )
    if isinstance(error, RegistryUnreachable):
        return EngineError(f'Get "https://{reference.host}/v2/": {error}')
    return EngineError(str(error))
