"""The requests of the table of rights that go to the distribution API: tokens, paths and bodies."""

from __future__ import annotations

import hashlib
import json
import time

from support.accounts_world import mark_of
from support.clock import Clock
from support.engine_client import Image
from support.rights_table import Row
from v1registry.access.distribution_tokens import DistributionTokens, Scope
from v1registry.access.tokens import Tokens
from v1registry.distribution.manifests import OCI_INDEX
from v1registry.names import RepositoryName
from v1registry.rights import Action, User

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE

#: What the tokens of the table allow. Clients ask for the weaker actions too.
ACTIONS = {
    "read": frozenset((READ,)),
    "write": frozenset((READ, WRITE)),
    "delete": frozenset((READ, WRITE, DELETE)),
}
LIFETIME_S = 300

#: An upload that nobody began.
UPLOAD = "0" * 32
INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
BLOB = b"a blob"


def is_v2(row: Row) -> bool:
    """Tell whether a row is about the distribution API."""
    return row.path.startswith("/v2/")


def v2_token_of(row: Row, user: User | None, repository: str, key: str) -> dict[str, str]:
    """Return the header with the token of a row, whether or not the endpoint would have given it.

    :param repository: for which the token is.
    """
    clock = Clock(time.time() - (LIFETIME_S + 1 if row.credentials == "expired" else 0))
    tokens = DistributionTokens([key], lifetime_s=LIFETIME_S, clock=clock)
    scope = Scope(
        {RepositoryName.parse(repository): ACTIONS.get(row.credentials, ACTIONS["delete"])}, has_catalog=True
    )
    token, _, _ = tokens.issue(scope, user, service="localhost", mark=mark_of(Tokens([key]), user))
    return {"Authorization": f"Bearer {token}"}


def v2_request_of(
    row: Row, name: str, tag: str, image: Image, headers: dict[str, str]
) -> tuple[str, str, bytes, dict[str, str]]:
    """Return method, path, body and headers of a row."""
    blob = hashlib.sha256(image.layer).hexdigest()
    path = row.path.replace("REPO", name).replace("TAG", tag).replace("BLOB", f"sha256:{blob}")
    path = path.replace("UPLOAD", UPLOAD)
    body = b""
    if row.method == "PUT" and path.endswith("/manifests/more"):
        body, headers = INDEX, {**headers, "Content-Type": OCI_INDEX}
    elif row.method == "POST":
        body, path = BLOB, f"{path}?digest=sha256:{hashlib.sha256(BLOB).hexdigest()}"
    return row.method, path, body, headers
