"""Networks and volumes in the suite of the fake engine and docker's engine 20.10."""

from __future__ import annotations

import json

from support.engine_peers import IMAGE, EnginePeer, add_box, events, keys, make, run, seen


def test_networks(peer: EnginePeer) -> None:
    listed = {network["Name"]: network for network in peer.ask("GET", "/networks").json()}
    peer.check("names", sorted(set(listed) - {"bridge"}))
    for name in ("host", "none"):
        told = peer.ask("GET", f"/networks/{name}").json()
        for varying in ("Id", "Created"):
            told.pop(varying)
        peer.check(name, told)
    peer.check("keys", keys(listed["host"]))
    peer.check("missing", seen(peer.ask("GET", "/networks/missing")))
    for name in ("host", "none"):
        peer.check(f"removal of {name}", seen(peer.ask("DELETE", f"/networks/{name}")))
    peer.check("removal of a missing one", seen(peer.ask("DELETE", "/networks/missing")))
    for name in ("host", "none"):
        answer = peer.ask("POST", "/networks/create", json={"Name": name})
        peer.check(f"creation of {name}", seen(answer))
    answer = peer.ask("POST", "/networks/create", json={"Name": "mine", "Driver": "missing"})
    peer.check("driver", seen(answer))
    peer.check("prune", seen(peer.ask("POST", "/networks/prune")))
    for filters in (
        {"driver": ["host"]},
        {"name": ["no"]},
        {"type": ["builtin"]},
        {"type": ["custom"]},
        {"scope": ["local"]},
        {"scope": ["swarm"]},
        {"id": [listed["host"]["Id"][:12]]},
        {"label": ["a"]},
        {"dangling": ["true"]},
    ):
        answer = peer.ask("GET", "/networks", params={"filters": json.dumps(filters)})
        names = [network["Name"] for network in answer.json()]
        peer.check(
            json.dumps(filters).replace(listed["host"]["Id"][:12], "ID"),
            sorted(name for name in names if name != "bridge"),
        )


def test_connections(peer: EnginePeer) -> None:
    add_box(peer)
    one = run(peer, "one")
    two = make(peer, "two", HostConfig={"NetworkMode": "host"})
    told = peer.ask("GET", f"/containers/{one}/json").json()["NetworkSettings"]
    for name in ("Bridge", "Gateway", "IPAddress", "Ports", "MacAddress"):
        peer.check(name, told[name])
    endpoint = told["Networks"]["none"]
    peer.check("keys of an endpoint", keys(endpoint))
    peer.check(
        "address",
        [endpoint["IPAddress"], endpoint["Gateway"], endpoint["IPPrefixLen"], bool(endpoint["EndpointID"])],
    )
    inside = peer.ask("GET", "/networks/none").json()["Containers"]
    peer.check("containers", [keys(inside) == [one], keys(inside[one]), inside[one]["Name"]])
    for container, network in (("one", "host"), ("one", "none"), ("one", "missing"), ("missing", "none")):
        answer = peer.ask("POST", f"/networks/{network}/connect", json={"Container": container})
        peer.check(f"{container} to {network}", seen(answer, ONE=one, TWO=two))
    for network, container in (("none", "two"), ("missing", "one"), ("host", "missing")):
        answer = peer.ask("POST", f"/networks/{network}/disconnect", json={"Container": container})
        peer.check(f"{container} from {network}", seen(answer, ONE=one, TWO=two))


def test_volumes(peer: EnginePeer) -> None:
    peer.check("empty", seen(peer.ask("GET", "/volumes")))
    answer = peer.ask("POST", "/volumes/create", json={"Name": "data", "Labels": {"a": "b"}})
    told = answer.json()
    peer.check("keys", keys(told))
    peer.check(
        "facts",
        [answer.status_code, told["Driver"], told["Labels"], told["Name"], told["Options"], told["Scope"]],
    )
    peer.check("mount point", told["Mountpoint"].endswith("/volumes/data/_data"))
    again = peer.ask("POST", "/volumes/create", json={"Name": "data"})
    peer.check("again", [again.status_code, again.json()["Labels"]])
    made = peer.ask("POST", "/volumes/create", json={})
    peer.check(
        "made up", [made.status_code, len(made.json()["Name"]), made.json()["Labels"], made.json()["Options"]]
    )
    for name, document in (
        ("name", {"Name": "a b"}),
        ("short name", {"Name": "a"}),
        ("driver", {"Name": "x1", "Driver": "none"}),
        ("option", {"Name": "x2", "DriverOpts": {"a": "b"}}),
    ):
        peer.check(f"invalid {name}", seen(peer.ask("POST", "/volumes/create", json=document)))
    peer.check("missing", seen(peer.ask("GET", "/volumes/none")))
    peer.check("removal of a missing one", seen(peer.ask("DELETE", "/volumes/none")))
    peer.check("forced removal of a missing one", seen(peer.ask("DELETE", "/volumes/none?force=1")))
    add_box(peer, IMAGE, "VOLUME /own")
    one = make(peer, "one", HostConfig={"Binds": ["data:/data", "new:/new"]})
    answer = peer.ask("DELETE", "/volumes/data")
    peer.check("removal of a used one", seen(answer, ONE=one))
    mounts = peer.ask("GET", f"/containers/{one}/json").json()["Mounts"]
    peer.check(
        "mounts",
        sorted([mount["Destination"], mount["Type"], mount["RW"], mount["Driver"]] for mount in mounts),
    )
    for filters in (
        {"dangling": ["true"]},
        {"dangling": ["false"]},
        {"name": ["dat"]},
        {"label": ["a=b"]},
        {"driver": ["local"]},
        {"driver": ["x"]},
    ):
        answer = peer.ask("GET", "/volumes", params={"filters": json.dumps(filters)})
        names = [volume["Name"] for volume in answer.json()["Volumes"] or []]
        peer.check(json.dumps(filters), sorted(name if len(name) < 64 else "MADE UP" for name in names))
    peer.ask("DELETE", "/containers/one?v=1")
    peer.check(
        "kept",
        sorted(
            volume["Name"]
            for volume in peer.ask("GET", "/volumes").json()["Volumes"]
            if len(volume["Name"]) < 64
        ),
    )
    pruned = peer.ask("POST", "/volumes/prune").json()
    peer.check("pruned", sorted(name for name in pruned["VolumesDeleted"] if len(name) < 64))
    peer.check("prune again", seen(peer.ask("POST", "/volumes/prune")))


def test_volume_events(peer: EnginePeer) -> None:
    add_box(peer)
    one = run(peer, "one", HostConfig={"Binds": ["data:/data"]})
    peer.ask("DELETE", f"/containers/{one}?force=1")
    peer.ask("DELETE", "/volumes/data")
    peer.check("events", events(peer, "volume", ONE=one))


def test_disk_usage(peer: EnginePeer) -> None:
    add_box(peer)
    make(peer, "one", HostConfig={"Binds": ["data:/data"]})
    told = peer.ask("GET", "/system/df").json()
    peer.check("keys", keys(told))
    for name in ("Images", "Containers", "Volumes"):
        peer.check(f"keys of {name}", keys(told[name][0]))
    peer.check("counts", [told["Images"][0]["Containers"], told["Volumes"][0]["UsageData"]["RefCount"]])
