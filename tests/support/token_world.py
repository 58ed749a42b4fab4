"""A server with accounts and the distribution API: users, a public and a private repository with a blob."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from support.access_tokens import Granter
from support.accounts_world import Person
from support.credentials import basic
from support.world import World
from support.wsgi_client import Answer, call
from v1registry import Registry, Storage
from v1registry.accounts.base import Backend

DATA = b"the bytes of a blob"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PART = {"mediaType": "application/vnd.example", "digest": DIGEST, "size": len(DATA)}
ARTIFACT = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example",
        "config": _PART,
        "layers": [_PART],
    }
).encode()

#: What no repository has.
ABSENT = f"sha256:{64 * '0'}"

#: Repositories of alice, who is also in no group. No repository is called absent.
PUBLIC, PRIVATE, MISSING = "alice/app", "alice/secret", "alice/absent"


def error_code(answer: Answer) -> str:
    """Return the code of the one error of an answer, which must have the form of the distribution API."""
    assert answer.header("Content-Type") == "application/json", answer
    (error,) = json.loads(answer.body)["errors"]
    assert set(error) == {"code", "message", "detail"}
    return str(error["code"])


def challenge_of(answer: Answer) -> dict[str, str]:
    """Return the fields of the challenge of a 401."""
    assert (answer.status, error_code(answer)) == (401, "UNAUTHORIZED"), answer
    scheme, _, rest = str(answer.header("WWW-Authenticate")).partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class TokenWorld(World):
    """Users alice, robert and root, an administrator. The password of each is ``pw-`` and the name."""

    def __init__(self, storage: Storage | None = None, auth: Backend | None = None, **settings: Any) -> None:
        super().__init__(storage, auth, **{"v2": "on", "oauth_http": "allow", **settings})
        if auth is None:
            for name in ("alice", "robert", "root"):
                self.users.create(name, f"pw-{name}", is_administrator=name == "root")

    def fill(self) -> TokenWorld:
        """Make the repositories, each with the blob and an artifact that has it, without a tag."""
        for name in (PUBLIC, PRIVATE):
            assert self.upload(name, basic("alice")).status == 201
            path = f"/v2/{name}/manifests/sha256:{hashlib.sha256(ARTIFACT).hexdigest()}"
            stored = self.ask("PUT", path, basic("alice"), ARTIFACT, CONTENT_TYPE=OCI_MANIFEST)
            assert stored.status == 201, stored
        Person(self.app, basic("alice")).make_private(PRIVATE)
        return self

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        app: Registry | None = None,
        **environ: Any,
    ) -> Answer:
        path, _, query = path.partition("?")
        given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
        return call(
            self.app if app is None else app, method, path, body, QUERY_STRING=query, **given, **environ
        )

    def upload(self, repository: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={DIGEST}", headers, DATA)

    def blob(self, repository: str, headers: Mapping[str, str] | None = None, digest: str = DIGEST) -> Answer:
        return self.ask("GET", f"/v2/{repository}/blobs/{digest}", headers)

    def answer_of_token(
        self,
        *scopes: str,
        headers: Mapping[str, str] | None = None,
        app: Registry | None = None,
        **query: str,
    ) -> Answer:
        encoded = urlencode([*(("scope", scope) for scope in scopes), *query.items()])
        return self.ask("GET", f"/v2/token?{encoded}", headers, app=app)

    def token(
        self, *scopes: str, headers: Mapping[str, str] | None = None, app: Registry | None = None
    ) -> dict[str, str]:
        """Return the header with a token for scopes."""
        answer = self.answer_of_token(*scopes, headers=headers, app=app)
        assert answer.status == 200, answer
        return bearer(json.loads(answer.body)["token"])

    def post_token(self, app: Registry | None = None, **fields: str) -> Answer:
        return self.ask("POST", "/v2/token", body=urlencode(fields).encode(), app=app)

    def access_token(self, username: str, *scopes: str) -> str:
        """Return an OAuth access token that a user granted to an application."""
        return Granter(self.storage, self.users).token(username, scopes)
