"""The accounts API on real sockets: bodies of PATCH and DELETE, and a next request after a 204."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.access_tokens import Granter, bearer
from support.cheap_passwords import CheapPasswords
from support.raw_connection import RawAnswer, RawConnection
from support.wsgi_servers import SERVERS, RunningServer, ServerKind, need

from v1registry import FileStorage
from v1registry.accounts.users import UserStore

EMAILS = "/api/v1.1/users/mira/emails/"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"mira:pw-mira").decode()}


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: kind.name)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with accounts; its storage has the user mira."""
    kind: ServerKind = request.param
    need(kind)
    folder = tmp_path_factory.mktemp(kind.name)
    storage = folder / "registry"
    UserStore(FileStorage(storage), passwords=CheapPasswords()).create("mira", "pw-mira", "mira@example.org")
    settings = {"V1REGISTRY_AUTH": "users:", "V1REGISTRY_OAUTH_HTTP": "allow"}
    running = kind.start(folder, storage, settings=settings)
    with running.program:
        yield running


class Conversation:
    """Requests on one connection, where the server keeps it."""

    def __init__(self, server: RunningServer, headers: dict[str, str]) -> None:
        self._server = server
        self._headers = headers
        self._connection: RawConnection | None = None

    def ask(self, method: str, path: str, fields: Any = None) -> RawAnswer:
        if self._connection is None or not self._server.kind.keeps_alive:
            self.close()
            self._connection = RawConnection(self._server.program.connect())
        body = b"" if fields is None else json.dumps(fields).encode()
        headers = dict(self._headers)
        if body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._connection.send(method, path, headers, body)
        answer = self._connection.read_answer(method)
        if answer.headers.get("connection", "").lower() == "close":
            self.close()  # waitress says so after each 204
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_OAU_017_OAU_018_OAU_024_addresses_change_on_one_connection(
    served: RunningServer, scheme: str
) -> None:
    storage = FileStorage(Path(served.storage))
    token = Granter(storage, UserStore(storage)).token("mira")
    talk = Conversation(served, BASIC if scheme == "Basic" else bearer(token))
    try:
        profile = talk.ask("PATCH", "/api/v1.1/users/mira/", {"full_name": f"Mira by {scheme}"})
        assert (profile.status, json.loads(profile.body)["full_name"]) == (200, f"Mira by {scheme}")
        added = talk.ask("POST", EMAILS, {"email": "two@example.org"})
        assert (added.status, json.loads(added.body)["verified"]) == (201, False)
        assert talk.ask("PATCH", EMAILS, {"email": "two@example.org", "primary": True}).status == 400
        gone = talk.ask("DELETE", EMAILS, {"email": "two@example.org"})
        assert gone.status == 204
        # granian, gunicorn and waitress leave it out of a 204, as RFC 9110, 8.6 has it
        assert gone.headers.get("content-length", "0") == "0"
        again = talk.ask("DELETE", f"{EMAILS}?email=two@example.org")
        assert (again.status, json.loads(again.body)) == (404, {"detail": "The account has no such address"})
        listed = talk.ask("GET", EMAILS)
        assert [email["email"] for email in json.loads(listed.body)] == ["mira@example.org"]
    finally:
        talk.close()
