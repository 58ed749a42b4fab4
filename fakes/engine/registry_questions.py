"""What engines ask registries besides images: log-in, search, tags of a repository (remote.md 4.8)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

from v1registry.client import ClientError
from v1registry.client.answers import Answer
from v1registry.client.connection import Connection, Credentials
from v1registry.client.v2.repository import find_api
from v1registry.client.v2.tokens import Authorizer

from .errors import EngineError, Unauthorized

#: The most tags of a repository that are pulled at once.
_MOST_TAGS: Final = 1000


class RegistryQuestions:
    """Questions to one registry. A context manager that closes its connections.

    :param credentials: None for an anonymous caller.
    :param speaks_v1_only: whether the engine is too old for ``/v2/``.
    """

    def __init__(self, connection: Connection, credentials: Credentials | None, *, speaks_v1_only: bool):
        self._connection = connection
        self._credentials = credentials
        self._speaks_v1_only = speaks_v1_only

    def log_in(self) -> None:
        """Return if the registry accepts the credentials.

        :raises EngineError: it rejects them or cannot be reached.
        """
        try:
            found = None if self._speaks_v1_only else find_api(self._connection)
            if found is None:
                answer = self._asked_v1("/v1/users/")
            else:
                answer = self._asked_v2(*found, "")
        except ClientError as error:
            # a token endpoint that rejects the credentials
            raise Unauthorized(f"unauthorized: {error}") from error
        if answer.status not in (200, 201):
            raise Unauthorized(f"{answer.url}: unauthorized: incorrect username or password")

    def search(self, words: str, limit: int) -> list[dict[str, Any]]:
        """Return the hits of a search.

        :raises EngineError: the registry cannot be asked.
        """
        path = f"/v1/search?{urlencode({'q': words, 'n': limit})}"
        try:
            answer = self._asked_v1(path)
        except ClientError as error:
            raise EngineError(str(error)) from error
        document = answer.json() if answer.status == 200 else None
        results = document.get("results") if isinstance(document, dict) else None
        if not isinstance(results, list):
            raise EngineError(f"Unexpected status code {answer.status}")
        return [_hit(entry) for entry in results[:limit] if isinstance(entry, dict)]

    def tags(self, path: str) -> list[str]:
        """Return the tags of a repository, sorted.

        :param path: with ``library/``.
        :raises ClientError: the registry cannot be asked.
        """
        found = None if self._speaks_v1_only else find_api(self._connection)
        if found is None:
            answer = self._asked_v1(f"/v1/repositories/{quote(path)}/tags")
            document = answer.json() if answer.status == 200 else None
        else:
            query = f"{quote(path)}/tags/list?n={_MOST_TAGS}"
            answer = self._asked_v2(*found, query, scopes=(f"repository:{path}:pull",))
            parsed = answer.json() if answer.status == 200 else None
            document = parsed.get("tags") if isinstance(parsed, dict) else None
        if answer.status != 200 or not isinstance(document, (dict, list)):
            raise answer.failure(f"pull {path}")
        return sorted(tag for tag in document if isinstance(tag, str))

    def _asked_v1(self, path: str) -> Answer:
        header = None if self._credentials is None else self._credentials.header
        base, _ = self._connection.find("/v1/", "_ping")
        return self._connection.call("GET", f"{base.removesuffix('/v1/')}{path}", authorization=header)

    def _asked_v2(self, url: str, challenge: str | None, path: str, scopes: tuple[str, ...] = ()) -> Answer:
        authorizer = Authorizer(self._connection, self._credentials, url, scopes)
        if challenge is not None:
            authorizer.renew(None, challenge)
        return self._connection.call("GET", f"{url}{path}", authorization=authorizer.header(url))

    def __enter__(self) -> RegistryQuestions:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()


def _hit(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a hit with the keys that clients read."""
    stars = entry.get("star_count")
    return {
        "star_count": stars if isinstance(stars, int) else 0,
        "is_official": bool(entry.get("is_official")),
        "name": str(entry.get("name") or ""),
        "is_automated": bool(entry.get("is_automated")),
        "description": str(entry.get("description") or ""),
    }
