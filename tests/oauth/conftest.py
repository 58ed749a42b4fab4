"""Fixtures of the tests of OAuth and of the accounts API."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.access_tokens import Granter, bearer
from support.account_asker import FORM, HUB, JSON, Asker
from support.cheap_passwords import CheapPasswords
from support.clock import Clock
from support.credentials import basic
from support.oauth_world import ApplicationClient, OAuthWorld

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.accounts.users import UserStore
from v1registry.oauth.scopes import ACCOUNT_SCOPES


@pytest.fixture
def world() -> OAuthWorld:
    return OAuthWorld()


@pytest.fixture
def ci(world: OAuthWorld) -> ApplicationClient:
    """The application ci-bot in front of a server."""
    return ApplicationClient(world.another_app(), "ci-bot", world.secret)


# -- the accounts API


@pytest.fixture(params=["memory", "files"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else FileStorage(tmp_path / "data", durable=False)


@pytest.fixture
def store(storage: Storage) -> UserStore:
    joined = datetime(2014, 5, 3, 8, 15, 30, 250, tzinfo=timezone.utc)
    made = UserStore(storage, passwords=CheapPasswords(), clock=Clock(joined.timestamp()))
    made.create("mira", "pw-mira", "Mira@example.org")
    made.create("other", "pw-other", "other@example.org")
    return made


@pytest.fixture
def app(storage: Storage, store: UserStore) -> Registry:
    return Registry(storage=storage, auth=store, public_url=HUB)


@pytest.fixture(params=["Basic JSON", "Basic form", "Bearer JSON", "Bearer form"])
def mira(request: pytest.FixtureRequest, app: Registry, storage: Storage, store: UserStore) -> Asker:
    """The user mira, by each kind of credentials and body. The token has the scopes of the accounts API."""
    scheme, kind = request.param.split()
    headers = basic("mira")
    if scheme == "Bearer":
        headers = bearer(Granter(storage, store).token("mira", ACCOUNT_SCOPES))
    return Asker(app, headers, JSON if kind == "JSON" else FORM)
