"""One suite of the Remote API for the fake engine and docker's engine 20.10."""

from __future__ import annotations

import json

from support.engine_peers import EnginePeer, add_box, keys, seen


def plain(text: str) -> str:
    """Return a release without the mark of the distribution."""
    return text.replace("+dfsg1", "")


def test_ping(peer: EnginePeer) -> None:
    answer = peer.ask("GET", "/_ping")
    peer.check("answer", [answer.status_code, answer.text])
    peer.check("type", answer.headers["Content-Type"])
    varying = {"Connection", "Content-Length", "Date", "Content-Type"}
    told = {name: value for name, value in answer.headers.items() if name not in varying}
    peer.check("headers", {name.title(): plain(value) for name, value in told.items()})
    head = peer.ask("HEAD", "/_ping")
    peer.check("HEAD", [head.status_code, head.text])


def test_version(peer: EnginePeer) -> None:
    told = peer.ask("GET", "/version").json()
    peer.check("keys", keys(told))
    for name in ("ApiVersion", "Arch", "MinAPIVersion", "Os", "Version"):
        peer.check(name, plain(told[name]))
    engine = told["Components"][0]
    peer.check("engine", [engine["Name"], plain(engine["Version"])])
    peer.check("details", keys(engine["Details"]))
    peer.check("components", [part["Name"] for part in told["Components"]])


def test_info(peer: EnginePeer) -> None:
    add_box(peer)
    told = peer.ask("GET", "/info").json()
    for name in ("BridgeNfIp6tables", "BridgeNfIptables", "KernelMemory", "KernelMemoryTCP"):
        told.pop(name, None)  # what the kernel has
    peer.check("keys", keys(told))
    for name in (
        "Containers",
        "Images",
        "Driver",
        "OSType",
        "Architecture",
        "DefaultRuntime",
        "LoggingDriver",
        "IndexServerAddress",
        "Labels",
        "Debug",
        "Isolation",
        "InitBinary",
    ):
        peer.check(name, told[name])
    for name in ("Plugins", "Swarm", "RegistryConfig"):
        peer.check(f"keys of {name}", keys(told[name]))


def test_versions(peer: EnginePeer) -> None:
    for version in ("1.11", "1.42", "1.x", "1", "x"):
        peer.check(version, seen(peer.ask("GET", f"/v{version}/info")))


def test_unknown_paths(peer: EnginePeer) -> None:
    for method, path in (("GET", "/unknown"), ("DELETE", "/info"), ("GET", "/"), ("POST", "/info/")):
        peer.check(f"{method} {path}", seen(peer.ask(method, path)))


def test_malformed_filters(peer: EnginePeer) -> None:
    for path in ("/images/json", "/containers/json", "/networks", "/volumes"):
        for text in ("{", "[]", '{"label":"x"}', '{"label":{"a":1}}'):
            peer.check(f"{text} of {path}", peer.ask("GET", f"{path}?filters={text}").status_code)
        answer = peer.ask("GET", path, params={"filters": '{"unknown":["x"]}'})
        peer.check(f"unknown one of {path}", seen(answer))
    answer = peer.ask("GET", "/events?until=1", params={"filters": '{"unknown":["x"]}'})
    peer.check("unknown one of /events", seen(answer))


def test_values_of_filters(peer: EnginePeer) -> None:
    names = {
        "containers/json": ("before", "exited", "health", "is-task", "publish", "since", "status"),
        "images/json": ("before", "dangling", "since"),
        "networks": ("dangling", "scope", "type"),
        "volumes": ("dangling", "driver"),
    }
    for path, own in names.items():
        for name in own:
            answer = peer.ask("GET", f"/{path}", params={"filters": json.dumps({name: ["x"]})})
            peer.check(f"{name} of {path}", seen(answer))


def test_parameters(peer: EnginePeer) -> None:
    for query in ("since=x", "until=x", "since=20&until=10"):
        peer.check(f"events {query}", seen(peer.ask("GET", f"/events?{query}")))
    for query in ("limit=x", "limit=-1", "before=none"):
        peer.check(f"containers {query}", seen(peer.ask("GET", f"/containers/json?{query}")))


def test_bodies(peer: EnginePeer) -> None:
    for path in ("containers/create", "networks/create", "volumes/create", "containers/none/exec"):
        for name, body in (("no JSON", "{"), ("a list", "[]")):
            answer = peer.ask("POST", f"/{path}", data=body, headers={"Content-Type": "application/json"})
            peer.check(f"{name} to {path}", answer.status_code)
        answer = peer.ask("POST", f"/{path}", data="x", headers={"Content-Type": "text/plain"})
        peer.check(f"text to {path}", seen(answer))
