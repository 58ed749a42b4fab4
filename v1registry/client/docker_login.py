"""Credentials that ``docker login`` has stored: in ``config.json``, or in the helpers that it names.

Source: docker/cli v28 cli/config/configfile, docker/docker-credential-helpers v0.9 README; docker 0.6 to 1.6
wrote ``~/.dockercfg``, which has the entries of ``auths`` only.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .connection import Credentials
from .errors import printable

#: How long a helper may take, in seconds. It may ask the user to unlock a key.
_HELPER_TIMEOUT_S = 120

#: The user of an answer of a helper whose secret is an identity token, for the API v2.
_TOKEN_USER = "<token>"  # noqa: S105  not a password

#: Under this host ``docker login`` stores what is for images of docker.io.
_HUB_LOGIN = "index.docker.io"
_HUB_HOSTS = ("docker.io", "registry-1.docker.io")

_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: What an address of a registry may have behind the host. Entries for a part of a registry are not for all.
_PATHS = ("", "v1", "v2")


def docker_folder() -> Path:
    """Return the folder of the user's docker configuration: ``DOCKER_CONFIG``, else ``~/.docker``."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def docker_credentials(host: str, warn: Callable[[str], None]) -> Credentials | None:
    """Return what ``docker login`` has stored for exactly this host; None if nothing.

    The helper for the host comes first, then the common helper, then the entries in the file, as in docker.

    :param host: ``HOST[:PORT]``.
    :param warn: called with a text for each file, entry or helper that cannot be used.
    """
    name = host.lower()
    return _Login(_HUB_LOGIN if name in _HUB_HOSTS else name, warn).find()


class _Login:
    def __init__(self, host: str, warn: Callable[[str], None]):
        self._host = host
        self._warn = warn
        self._path = docker_folder() / "config.json"

    def find(self) -> Credentials | None:
        config = self._read()
        helpers = config.get("credHelpers")
        named = [value for key, value in _items(helpers) if _host_of(key) == self._host]
        for helper in [*named, config.get("credsStore")]:
            if helper and (found := self._ask(helper)):
                return found
        for key, entry in _items(config.get("auths")):
            if _host_of(key) == self._host and (found := self._from_entry(key, entry)):
                return found
        return None

    def _read(self) -> dict[str, Any]:
        """Return the configuration; an empty one if there is none."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return self._read_old()
        except OSError as exc:
            self._warn(f"{self._path} is not used: {exc.strerror or exc}")
            return {}
        return self._parse(text)

    def _read_old(self) -> dict[str, Any]:
        """Return the entries of ``~/.dockercfg`` as a configuration."""
        path = Path.home() / ".dockercfg"
        if os.environ.get("DOCKER_CONFIG") or not path.is_file():
            return {}
        self._path = path
        return {"auths": self._parse(path.read_bytes())}

    def _parse(self, text: bytes) -> dict[str, Any]:
        try:
            config = json.loads(text)
        except (ValueError, RecursionError):
            config = None
        if isinstance(config, dict):
            return config
        self._warn(f"{self._path} is not used: it must be a JSON object")
        return {}

    # -- entries of the file

    def _from_entry(self, key: str, entry: object) -> Credentials | None:
        if not isinstance(entry, dict):
            return None
        auth, username, password = (entry.get(name) for name in ("auth", "username", "password"))
        if isinstance(auth, str) and auth:
            try:
                username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
            except ValueError:
                colon = ""
            if not colon:
                self._warn(
                    f"the entry {key!r} in {self._path} is not used: auth must be base64 of USER:PASSWORD"
                )
                return None
        username = username if isinstance(username, str) and username != _TOKEN_USER else ""
        has_password = bool(username) and isinstance(password, str)
        password = password.strip("\0") if isinstance(password, str) and username else ""
        token = entry.get("identitytoken")
        if isinstance(token, str) and token:
            return Credentials(username, password, token)
        return Credentials(username, password) if has_password else None

    # -- helpers

    def _ask(self, helper: object) -> Credentials | None:
        """Ask a credential helper under the addresses that docker login has used for a registry."""
        if not isinstance(helper, str) or not _HELPER_NAME.fullmatch(helper):
            self._warn(f"{self._path} names an invalid credential helper: {helper!r}")
            return None
        for address in (self._host, f"https://{self._host}/v1/", f"https://{self._host}"):
            try:
                found = self._run(helper, address)
            except (OSError, subprocess.SubprocessError, ValueError) as exc:
                self._warn(f"docker-credential-{helper} is not used: {printable(str(exc))}")
                return None
            if found:
                return found
        return None

    def _run(self, helper: str, address: str) -> Credentials | None:
        """Run a helper once.

        :raises OSError: it cannot be started.
        :raises subprocess.SubprocessError: it does not end in time.
        :raises ValueError: its answer is invalid, or it failed for another reason than a missing entry.
        """
        done = subprocess.run(  # noqa: S603  the name is a file name without a path
            [f"docker-credential-{helper}", "get"],
            input=address.encode(),
            capture_output=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            text = (done.stdout or done.stderr).decode("utf-8", "replace").strip()
            if "not found" in text:
                return None
            raise ValueError(f"it failed with {text[:300] or done.returncode}")
        answer = json.loads(done.stdout)
        if not isinstance(answer, dict):
            raise ValueError("its answer must be a JSON object")
        username, secret = answer.get("Username"), answer.get("Secret")
        if not isinstance(username, str) or not isinstance(secret, str) or not username:
            return None
        if username == _TOKEN_USER:
            return Credentials("", "", secret) if secret else None
        return Credentials(username, secret)


def _items(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _host_of(key: str) -> str:
    """Return the host of an address that docker has stored, in lower case; ``""`` for other addresses."""
    rest = re.sub(r"\Ahttps?://", "", key)
    host, _, path = rest.partition("/")
    return host.lower() if path.strip("/") in _PATHS else ""
