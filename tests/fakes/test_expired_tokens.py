"""The fault of expired tokens does not touch what belongs to other requests."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeRegistry


@pytest.mark.parametrize("auth", [None, ("alice", "secret")])
def test_requests_without_tokens_do_not_see_the_later_time(auth: tuple[str, str] | None) -> None:
    with FakeRegistry(auth="users:" if auth else "open:") as registry, registry.session() as session:
        if auth:
            registry.add_user(*auth)
        place = session.post("/v2/alice/app/blobs/uploads/", auth=auth).headers["Location"]
        with registry.fail(expired_token=True) as fault:
            # the first upload of another repository looks for expired ones
            assert session.post("/v2/alice/other/blobs/uploads/", auth=auth).status_code == 202
        assert fault.count == 1
        assert session.get(place, auth=auth).status_code == 204
