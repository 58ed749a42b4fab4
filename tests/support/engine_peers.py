"""A fake and a real engine in one suite. Both are compared with recorded answers of the real one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
from docker.transport import UnixHTTPAdapter
from v1registry_fakes.engine import FakeEngine

from .box import box_files
from .engine_differences import FAKE_ENGINE
from .parity import Peer
from .programs import eventually

#: The release of both.
VERSION: Final = "20.10.24"
REAL: Final = "dockerd 20.10"

IMAGE: Final = "parity/box:1.0"

#: A command that ends when it is asked to.
TRAPS: Final = ["sh", "-c", "trap 'exit 143' TERM; while true; do sleep 0.1; done"]
#: A command that ends, and one that does not.
ENDS: Final = ["sh", "-c", "echo out; echo err >&2; exit 3"]
STAYS: Final = ["sleep", "300"]


#: test -> question -> what docker's engine answers.
_RECORDED: Final[Mapping[str, Mapping[str, object]]] = json.loads(
    Path(__file__).with_name("engine_answers.json").read_text("utf-8")
)


@dataclass
class EnginePeer(Peer):
    """An engine that answers the questions of a test.

    :param began: when the test began, in seconds since the epoch.
    """

    began: str = "0"

    def check(self, question: str, answer: object) -> None:
        """Compare an answer with the recorded one, or with the known difference of this engine."""
        recorded = _RECORDED.get(self.test, {})
        assert question in recorded, f"{self.test}: {question!r} is not recorded; {self.name}: {answer!r}"
        self.expect(question, json.loads(json.dumps(answer)), recorded[question])

    def finish(self) -> None:
        """Close the connections.

        :raises AssertionError: lists the wrong answers, and what no question asks for.
        """
        for question in set(_RECORDED.get(self.test, {})) - self.asked:
            self.wrong.append(f"{question}: is recorded, but was not asked")
        super().finish()


def fake_peer(engine: FakeEngine, test: str) -> EnginePeer:
    """Return a fake engine as one of the servers. Its containers do what the commands of the suite do."""
    engine.on_run("*", command=ENDS, logs=["out", ("stderr", "err")], exit_code=3)
    engine.on_exec("*", command=["echo", "hi"], logs=["hi"])
    engine.on_exec("*", command=["sh", "-c", "exit 4"], exit_code=4)
    return EnginePeer("fake", engine.url.replace("tcp://", "http://"), test, FAKE_ENGINE)


def real_peer(address: str, test: str) -> EnginePeer:
    """Return a real engine as one of the servers, with nothing in it.

    :param address: ``unix://`` and the path of its socket.
    """
    session = requests.Session()
    session.mount("http://docker.invalid/", UnixHTTPAdapter(address.removeprefix("unix://")))
    peer = EnginePeer(REAL, "http://docker.invalid/", test, {}, session)
    # an engine refuses to remove what it still ends
    eventually(lambda: _removed(peer) == 0, "an engine without containers, images and volumes")
    peer.began = now(peer)
    return peer


def _removed(peer: EnginePeer) -> int:
    """Remove all that an engine has, and return how much it had."""
    paths = [
        f"/containers/{found['Id']}?force=1&v=1" for found in peer.ask("GET", "/containers/json?all=1").json()
    ]
    paths += [f"/images/{found['Id']}?force=1" for found in peer.ask("GET", "/images/json?all=1").json()]
    volumes = peer.ask("GET", "/volumes").json()["Volumes"] or []
    paths += [f"/volumes/{found['Name']}?force=1" for found in volumes]
    for path in paths:
        peer.ask("DELETE", path)
    return len(paths)


def seen(answer: requests.Response, **shown: str) -> list[object]:
    """Return the status and the message of an error, or the document.

    :param shown: a word -> what varies in the message and is shown as this word, such as an id.
    """
    text = answer.text
    for word, varying in sorted(shown.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(varying, word)
    try:
        document = json.loads(text)
    except ValueError:
        return [answer.status_code, text]
    if isinstance(document, dict) and set(document) == {"message"}:
        return [answer.status_code, document["message"]]
    return [answer.status_code, document]


def add_box(peer: EnginePeer, name: str = IMAGE, *changes: str) -> str:
    """Import the image of the suite and return its id."""
    path, _, tag = name.rpartition(":")
    wanted = "".join(f"&changes={quote(change)}" for change in ('CMD ["sh"]', *changes))
    answer = peer.ask("POST", f"/images/create?fromSrc=-&repo={path}&tag={tag}{wanted}", data=box_files())
    assert answer.status_code == 200, answer.text
    status: str = json.loads(answer.text.splitlines()[-1])["status"]
    return status


def make(peer: EnginePeer, name: str, command: list[str] = STAYS, **body: Any) -> str:
    """Make a container without a network and return its id."""
    host = {"NetworkMode": "none", **body.pop("HostConfig", {})}
    document = {"Image": IMAGE, "Cmd": command, "HostConfig": host, "StopTimeout": 1, **body}
    answer = peer.ask("POST", f"/containers/create?name={name}", json=document)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["Id"]
    return found


def run(peer: EnginePeer, name: str, command: list[str] = STAYS, **body: Any) -> str:
    """Make a container, start it and return its id."""
    container = make(peer, name, command, **body)
    answer = peer.ask("POST", f"/containers/{container}/start")
    assert answer.status_code == 204, answer.text
    return container


def keys(document: Mapping[str, object]) -> list[str]:
    """Return the names of a document."""
    return sorted(document)


def events(peer: EnginePeer, kind: str, **shown: str) -> list[list[object]]:
    """Return the events of a kind since the test began: action, what it is about, and what it tells.

    :param shown: as for :func:`seen`.
    """
    filters = json.dumps({"type": [kind]})
    answer = peer.ask("GET", "/events", params={"since": peer.began, "until": now(peer), "filters": filters})
    text = answer.text
    for word, varying in sorted(shown.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(varying, word)
    found = [json.loads(line) for line in text.splitlines()]
    return [[event["Action"], event["Actor"]["ID"], event["Actor"]["Attributes"]] for event in found]


def now(peer: EnginePeer) -> str:
    """Return the time of an engine, in seconds since the epoch."""
    text = peer.ask("GET", "/info").json()["SystemTime"]
    moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return f"{int(moment.timestamp())}.{text[20:].rstrip('Z').ljust(9, '0')}"
