"""Malformed requests do not tell a private repository from a missing one (DST-025)."""

from __future__ import annotations

import pytest
from support.credentials import basic
from support.token_world import MISSING, PRIVATE, PUBLIC, TokenWorld, error_code


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("robert", 404)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("what", ["blobs/x", "blobs/md5:00", "referrers/x", "manifests/.x", "manifests/a:b"])
def test_DST_025_malformed_request_does_not_tell_hidden_from_missing(
    user: str | None, status: int, method: str, what: str
) -> None:
    world = TokenWorld().fill()
    for headers in (basic(user) if user else {}, world.token(headers=basic(user) if user else {})):
        hidden, absent = (world.ask(method, f"/v2/{name}/{what}", headers) for name in (PRIVATE, MISSING))
        assert (hidden.status, absent.status) == (status, status)
        assert hidden.body == absent.body


@pytest.mark.parametrize("user", [None, "robert", "alice"])
@pytest.mark.parametrize("what", ["blobs/x", "referrers/x"])
def test_malformed_digest_in_a_readable_repository_is_400(user: str | None, what: str) -> None:
    answer = TokenWorld().fill().ask("GET", f"/v2/{PUBLIC}/{what}", basic(user) if user else {})
    assert (answer.status, error_code(answer)) == (400, "DIGEST_INVALID")
