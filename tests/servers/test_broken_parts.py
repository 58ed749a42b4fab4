"""Small parts of uploads whose client dies (DST-005)."""

from __future__ import annotations

from pathlib import Path

import requests
from support.raw_connection import RawConnection
from support.v2_client import digest_of
from support.wsgi_servers import SERVE

DATA = bytes(range(200)) * 10


def test_DST_005_small_part_that_breaks_off_leaves_the_upload_as_it_was(tmp_path: Path) -> None:
    with SERVE.start(tmp_path / "server", tmp_path / "registry").program as program:
        path = requests.post(f"{program.url}/v2/team/app/blobs/uploads/", timeout=60).headers["Location"]
        first = requests.patch(program.url + path, data=DATA[:1000], timeout=60)
        assert first.headers["Range"] == "0-999"
        with RawConnection(program.connect()) as connection:
            connection.send("PATCH", path, {"Content-Length": "1000"}, DATA[1000:1500])
        assert requests.get(program.url + path, timeout=60).headers["Range"] == "0-999"
        second = requests.patch(
            program.url + path, data=DATA[1000:], headers={"Content-Range": "1000-1999"}, timeout=60
        )
        assert (second.status_code, second.headers["Range"]) == (202, "0-1999")
        assert requests.put(f"{program.url}{path}?digest={digest_of(DATA)}", timeout=60).status_code == 201
