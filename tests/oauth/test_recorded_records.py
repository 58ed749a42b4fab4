"""Applications and grants as commit 2da4a84 stored them: tests/data/stored-records.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock

from v1registry import MemoryStorage
from v1registry.accounts.service import Accounts
from v1registry.accounts.users import UserStore
from v1registry.errors import OAuthError
from v1registry.oauth.applications import Applications
from v1registry.oauth.grants import Grants

DATA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/stored-records.json").read_bytes())


class RecordedParts:
    """The parts of OAuth over the recorded records."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        for key, value in DATA["records"].items():
            self.storage.write(key, value.encode("utf-8", "surrogatepass"))
        self.applications = Applications(self.storage)
        self.grants = Grants(
            self.storage, self.applications, Accounts(UserStore(self.storage)), clock=Clock(1_400_000_050.0)
        )


@pytest.fixture
def recorded() -> RecordedParts:
    return RecordedParts()


def test_recorded_applications_are_read(recorded: RecordedParts) -> None:
    ci, cli = recorded.applications.list()
    assert (ci.client_id, ci.name, ci.description, ci.is_public) == ("ci-bot", "Müller CI", "Builds", False)
    assert ci.redirect_uris == ("https://ci.example.org/back", "org.example.app:/back")
    assert (cli.client_id, cli.is_public, cli.created_at_s) == ("cli", True, 1_400_000_000.0)
    assert recorded.applications.authenticated("ci-bot", DATA["secret"]) == ci
    assert recorded.applications.authenticated("cli", None) == cli


def test_recorded_access_tokens_are_valid_with_their_scopes(recorded: RecordedParts) -> None:
    first, refreshed = (recorded.grants.verify(DATA["tokens"][at]) for at in (0, 2))
    assert first is not None
    assert refreshed is not None
    assert (first.user.name, first.user.groups, first.client_id) == ("mira_k", {"team", "red"}, "ci-bot")
    assert (first.scopes, refreshed.scopes) == ({"profile_read", "email_read"}, {"profile_read"})


def test_recorded_refresh_token_works_once_and_the_used_one_ends_the_grant(recorded: RecordedParts) -> None:
    ci = recorded.applications.get("ci-bot")
    assert ci is not None
    issued = recorded.grants.refresh(DATA["tokens"][3], ci, ("email_read",))
    assert recorded.grants.verify(issued.access_token) is not None
    with pytest.raises(OAuthError):
        recorded.grants.refresh(DATA["tokens"][1], ci, ("email_read",))
    assert recorded.grants.verify(issued.access_token) is None


def test_recorded_code_is_redeemed_with_its_verifier(recorded: RecordedParts) -> None:
    cli = recorded.applications.get("cli")
    assert cli is not None
    grant = recorded.grants.of_code(DATA["open_code"], cli)
    assert grant.code.is_verified_by("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert not grant.code.is_verified_by(None)
    assert recorded.grants.redeem(DATA["open_code"], cli).scopes == ("email_read",)
