"""What ``changes`` tells of folders that no layer has of its own."""

from __future__ import annotations

import io
import tarfile

from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


def test_RMT_123_a_folder_implied_by_a_file_is_modified(engine: FakeEngine) -> None:
    engine.add_image("a/b", files={"etc/app/motd": "x"})
    api = TestApp(engine.app)
    api.post_json("/containers/create?name=app", {"Image": "a/b"}, status=201)
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("new"))
    api.put("/containers/app/archive?path=/etc/app", body.getvalue(), status=200)
    assert api.get("/containers/app/changes").json == [
        {"Path": "/etc", "Kind": 0},
        {"Path": "/etc/app", "Kind": 0},
        {"Path": "/etc/app/new", "Kind": 1},
    ]
