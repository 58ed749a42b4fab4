"""Files of containers in the suite of the fake engine and docker's engine 20.10."""

from __future__ import annotations

import base64
import io
import json
import tarfile

import requests
from support.engine_client import tar_layer
from support.engine_peers import EnginePeer, add_box, make, seen


def stat(answer: requests.Response) -> dict[str, object]:
    """Return what an answer says of a path, without its time."""
    told: dict[str, object] = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
    told.pop("mtime")
    return told


def test_files(peer: EnginePeer) -> None:
    add_box(peer)
    one = make(peer, "one")
    for path in ("/etc/motd", "/etc", "/bin/sh", "/srv", "etc/motd", "/"):
        answer = peer.ask("HEAD", f"/containers/one/archive?path={path}")
        peer.check(
            f"stat of {path}",
            stat(answer)
            if path not in ("/etc", "/", "/srv")
            else [stat(answer)["name"], stat(answer)["mode"]],
        )
    for path in ("/etc/motd", "/srv", "/bin/sh"):
        answer = peer.ask("GET", f"/containers/one/archive?path={path}")
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
            peer.check(f"archive of {path}", [answer.headers["Content-Type"], archive.getnames()])
    for query in ("", "path=", "path=/none"):
        peer.check(
            f"read {query or 'nothing'}",
            seen(peer.ask("GET", f"/containers/one/archive?{query}"), CONTAINER=one),
        )
    archive = tar_layer({"new": b"1", "deep/er": b"2"})
    peer.check("write", seen(peer.ask("PUT", "/containers/one/archive?path=/srv", data=archive)))
    for query in ("", "path=/none", "path=/etc/motd"):
        peer.check(
            f"write to {query or 'nothing'}",
            seen(peer.ask("PUT", f"/containers/one/archive?{query}", data=archive), CONTAINER=one),
        )
    peer.check(
        "no archive", peer.ask("PUT", "/containers/one/archive?path=/srv", data=b"x" * 2000).status_code
    )
    changes = peer.ask("GET", "/containers/one/changes").json()
    peer.check("changes", sorted([change["Path"], change["Kind"]] for change in changes))
    exported = peer.ask("GET", "/containers/one/export")
    with tarfile.open(fileobj=io.BytesIO(exported.content)) as whole:
        names = sorted(name for name in whole.getnames() if name.startswith("srv"))
    peer.check("export", [exported.headers["Content-Type"], names])
    answer = peer.ask(
        "POST", "/commit?container=one&repo=parity/made&tag=1&comment=why&author=me&changes=CMD%20new"
    )
    made = answer.json()["Id"]
    peer.check("commit", seen(answer, IMAGE=made))
    told = peer.ask("GET", f"/images/{made}/json").json()
    peer.check(
        "committed",
        [
            told["Author"],
            told["Comment"],
            told["Config"]["Cmd"],
            len(told["RootFS"]["Layers"]),
            told["Container"] == one,
            bool(told["Parent"]),
        ],
    )
    steps = peer.ask("GET", f"/images/{made}/history").json()
    peer.check("history", [[step["Comment"], step["CreatedBy"]] for step in steps])
    for query in ("container=none", "container=one&repo=Upper", "container=one&changes=RUN%20x", ""):
        peer.check(f"commit of {query or 'nothing'}", seen(peer.ask("POST", f"/commit?{query}")))
