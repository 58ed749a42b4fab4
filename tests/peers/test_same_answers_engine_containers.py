"""Containers in the suite of the fake engine and docker's engine 20.10."""

from __future__ import annotations

import json

from support.engine_client import tar_layer
from support.engine_peers import ENDS, IMAGE, TRAPS, EnginePeer, add_box, events, keys, make, run, seen


def do(peer: EnginePeer, what: str, **shown: str) -> list[object]:
    """Send ``POST /containers/…`` and return what is seen."""
    return seen(peer.ask("POST", f"/containers/{what}"), **shown)


def state(peer: EnginePeer, container: str) -> dict[str, object]:
    """Return the state of a container without its times and process."""
    found: dict[str, object] = peer.ask("GET", f"/containers/{container}/json").json()["State"]
    for name in ("StartedAt", "FinishedAt", "Pid"):
        found.pop(name)
    return found


def test_create(peer: EnginePeer) -> None:
    add_box(peer)
    answer = peer.ask(
        "POST", "/containers/create?name=one", json={"Image": IMAGE, "HostConfig": {"NetworkMode": "none"}}
    )
    container = answer.json()["Id"]
    peer.check("answer", seen(answer, CONTAINER=container))
    for name, document in (("taken", {"Image": IMAGE}),):
        answer = peer.ask("POST", "/containers/create?name=one", json=document)
        peer.check(name, seen(answer, CONTAINER=container))
    for name in ("-x", "a", "a/b", "a b", "/slash"):
        answer = peer.ask("POST", "/containers/create", params={"name": name}, json={"Image": IMAGE})
        peer.check(f"name {name}", seen(answer) if answer.status_code != 201 else 201)
    for name, document in (
        ("missing image", {"Image": "none"}),
        ("malformed image", {"Image": "UPPER"}),
        ("no image", {}),
        ("empty image", {"Image": ""}),
        ("text as command", {"Image": IMAGE, "Cmd": "sh"}),
        ("unknown restart policy", {"Image": IMAGE, "HostConfig": {"RestartPolicy": {"Name": "often"}}}),
        (
            "retries of always",
            {"Image": IMAGE, "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}},
        ),
        (
            "removal with restarts",
            {"Image": IMAGE, "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}},
        ),
        ("relative folder", {"Image": IMAGE, "WorkingDir": "srv"}),
        ("relative mount", {"Image": IMAGE, "HostConfig": {"Binds": ["a:b"]}}),
        ("malformed mount", {"Image": IMAGE, "HostConfig": {"Binds": ["a:/b:c:d"]}}),
        ("mount twice", {"Image": IMAGE, "HostConfig": {"Binds": ["aa:/b", "cc:/b"]}}),
        ("invalid port", {"Image": IMAGE, "ExposedPorts": {"x/tcp": {}}}),
        ("little memory", {"Image": IMAGE, "HostConfig": {"Memory": 100}}),
        ("invalid signal", {"Image": IMAGE, "StopSignal": "NONE"}),
        ("variable without a name", {"Image": IMAGE, "Env": ["=1"]}),
    ):
        answer = peer.ask("POST", "/containers/create", json=document)
        peer.check(name, seen(answer) if answer.status_code != 201 else 201)


def test_inspect_container(peer: EnginePeer) -> None:
    add_box(peer, IMAGE, "ENV A=1 B=2", "LABEL a=b c=d", "EXPOSE 80", "WORKDIR /srv")
    container = make(
        peer,
        "one",
        Env=["B=3", "C=4"],
        Labels={"a": "x"},
        Hostname="host",
        HostConfig={"Binds": ["data:/data:ro"]},
    )
    told = peer.ask("GET", f"/containers/{container}/json").json()
    peer.check("keys", keys(told))
    for name in ("State", "NetworkSettings", "Config", "GraphDriver"):
        peer.check(f"keys of {name}", keys(told[name]))
    for name in (
        "Args",
        "Driver",
        "ExecIDs",
        "Name",
        "Path",
        "Platform",
        "RestartCount",
        "MountLabel",
        "AppArmorProfile",
    ):
        peer.check(name, told[name])
    peer.check("config", told["Config"])
    mount = {name: value for name, value in told["Mounts"][0].items() if name != "Source"}
    peer.check("mount", mount)
    peer.check("state", state(peer, container))
    for name in (
        "AutoRemove",
        "Binds",
        "NetworkMode",
        "RestartPolicy",
        "LogConfig",
        "PortBindings",
        "Privileged",
        "ShmSize",
        "IpcMode",
    ):
        peer.check(f"host's {name}", told["HostConfig"].get(name))
    peer.check("networks", keys(told["NetworkSettings"]["Networks"]))
    peer.check(
        "sizes", sorted(set(peer.ask("GET", f"/containers/{container}/json?size=1").json()) - set(told))
    )
    for name, text in (("prefix", container[:5]), ("missing", "none"), ("empty prefix", "zz")):
        answer = peer.ask("GET", f"/containers/{text}/json")
        peer.check(f"by {name}", seen(answer) if answer.status_code != 200 else 200)


def test_list_containers(peer: EnginePeer) -> None:
    image = add_box(peer, IMAGE, "EXPOSE 80")
    run(peer, "runs", Labels={"a": "b"})
    make(peer, "made")
    ended = run(peer, "ends", ENDS)
    peer.ask("POST", f"/containers/{ended}/wait")
    listed = peer.ask("GET", "/containers/json?all=1").json()
    peer.check("keys", keys(listed[0]))
    peer.check("order", [entry["Names"] for entry in listed])
    for entry in listed:
        told = [
            entry[name] for name in ("Command", "HostConfig", "Image", "Labels", "Mounts", "Ports", "State")
        ]
        peer.check(f"facts of {entry['Names'][0]}", told)
        peer.check(f"status of {entry['Names'][0]}", entry["Status"].split()[0])
    peer.check("image id", listed[0]["ImageID"] == image)
    peer.check("network", keys(listed[1]["NetworkSettings"]["Networks"]))
    peer.check(
        "size", sorted(set(peer.ask("GET", "/containers/json?all=1&size=1").json()[0]) - set(listed[0]))
    )
    for query in ("", "all=1", "limit=1", "all=1&limit=2"):
        peer.check(
            f"names {query}",
            [entry["Names"][0] for entry in peer.ask("GET", f"/containers/json?{query}").json()],
        )
    for filters in (
        {"status": ["exited"]},
        {"status": ["created", "running"]},
        {"exited": ["3"]},
        {"exited": ["0"]},
        {"label": ["a"]},
        {"label": ["a=c"]},
        {"name": ["made"]},
        {"name": ["^/m"]},
        {"name": ["m.de"]},
        {"name": ["made", "runs"]},
        {"id": [ended[:6]]},
        {"id": [ended[3:9]]},
        {"ancestor": [IMAGE]},
        {"ancestor": ["parity/box"]},
        {"ancestor": [image]},
        {"ancestor": ["none"]},
        {"before": ["made"]},
        {"since": ["runs"]},
        {"network": ["none"]},
        {"network": ["host"]},
        {"volume": ["x"]},
        {"expose": ["80"]},
        {"expose": ["80/tcp"]},
        {"publish": ["80"]},
        {"health": ["none"]},
        {"is-task": ["false"]},
    ):
        answer = peer.ask("GET", "/containers/json?all=1", params={"filters": json.dumps(filters)})
        text = (
            json.dumps(filters)
            .replace(ended[:6], "BEGIN")
            .replace(ended[3:9], "MIDDLE")
            .replace(image, "IMAGE")
        )
        peer.check(text, sorted(entry["Names"][0] for entry in answer.json()))


def test_states(peer: EnginePeer) -> None:
    add_box(peer)
    one = make(peer, "one")
    for what in ("kill", "pause", "unpause", "stop", "resize?h=1&w=1"):
        peer.check(f"{what} of a created one", do(peer, f"one/{what}", CONTAINER=one))
    for what in ("top", "changes", "logs", "logs?stdout=1", "stats?stream=0"):
        answer = peer.ask("GET", f"/containers/one/{what}")
        peer.check(f"{what} of a created one", seen(answer, CONTAINER=one) if not answer.ok else 200)
    peer.check("start", do(peer, "one/start"))
    peer.check("start again", do(peer, "one/start"))
    peer.check("running", state(peer, one))
    peer.check("unpause of a running one", do(peer, "one/unpause", CONTAINER=one))
    answer = peer.ask("DELETE", "/containers/one")
    peer.check("removal of a running one", seen(answer, CONTAINER=one))
    peer.check("invalid signal", do(peer, "one/kill?signal=NONE"))
    peer.check("signal 99", do(peer, "one/kill?signal=99"))
    peer.check("signal CONT", do(peer, "one/kill?signal=SIGCONT"))
    peer.check("invalid time", do(peer, "one/stop?t=x"))
    peer.check("pause", do(peer, "one/pause"))
    peer.check("pause again", do(peer, "one/pause", CONTAINER=one))
    peer.check("start of a paused one", do(peer, "one/start"))
    peer.check("paused", state(peer, one))
    answer = peer.ask("DELETE", "/containers/one")
    peer.check("removal of a paused one", seen(answer, CONTAINER=one))
    answer = peer.ask("POST", "/containers/one/exec", json={"Cmd": ["true"]})
    peer.check("exec of a paused one", seen(answer, CONTAINER=one))
    peer.check("unpause", do(peer, "one/unpause"))
    peer.check("kill", do(peer, "one/kill"))
    peer.check("wait", do(peer, "one/wait"))
    peer.check("killed", state(peer, one))
    peer.check("stop of a stopped one", do(peer, "one/stop"))
    peer.check("kill of a stopped one", do(peer, "one/kill", CONTAINER=one))
    answer = peer.ask("POST", "/containers/one/exec", json={"Cmd": ["true"]})
    peer.check("exec of a stopped one", seen(answer, CONTAINER=one))
    peer.check("restart", do(peer, "one/restart"))
    answer = peer.ask("DELETE", "/containers/one?force=1")
    peer.check("forced removal", seen(answer))
    for what in (
        "start",
        "stop",
        "kill",
        "pause",
        "unpause",
        "restart",
        "wait",
        "rename?name=x",
        "resize?h=1&w=1",
    ):
        peer.check(f"{what} of a missing one", do(peer, f"none/{what}"))
    for what in ("json", "top", "changes", "logs?stdout=1", "export", "archive?path=/", "stats"):
        peer.check(f"{what} of a missing one", seen(peer.ask("GET", f"/containers/none/{what}")))
    peer.check("removal of a missing one", seen(peer.ask("DELETE", "/containers/none")))


def test_ends(peer: EnginePeer) -> None:
    add_box(peer)
    one = run(peer, "one", ENDS)
    peer.check("wait", do(peer, "one/wait"))
    peer.check("wait again", do(peer, "one/wait?condition=not-running"))
    peer.check("invalid condition", do(peer, "one/wait?condition=x"))
    peer.check("old wait", seen(peer.ask("POST", "/v1.29/containers/one/wait")))
    peer.check("state", state(peer, one))
    for query in ("stdout=1&stderr=1", "stdout=1", "stderr=1", "stdout=1&tail=0"):
        answer = peer.ask("GET", f"/containers/one/logs?{query}")
        peer.check(f"logs {query}", sorted(answer.content.decode("latin-1").splitlines()))
    answer = peer.ask("GET", "/containers/one/logs?stdout=1&timestamps=1")
    peer.check("times", [len(answer.content.split()[0]), answer.content.split()[-1].decode()])
    peer.check("type of logs", answer.headers.get("Content-Type"))
    for query in ("", "stdout=1&tail=x", "stdout=1&since=x", "stdout=1&until=x"):
        answer = peer.ask("GET", f"/containers/one/logs?{query}")
        peer.check(f"logs with {query or 'nothing'}", [answer.status_code] if answer.ok else seen(answer))
    peer.check("top", seen(peer.ask("GET", "/containers/one/top"), CONTAINER=one))
    peer.check("removal", seen(peer.ask("DELETE", "/containers/one")))


def test_exec(peer: EnginePeer) -> None:
    add_box(peer)
    one = run(peer, "one")
    for name, document in (
        ("nothing", {}),
        ("empty", {"Cmd": []}),
        ("text", {"Cmd": "true"}),
        ("list", {"Cmd": ["true"]}),
    ):
        answer = peer.ask("POST", "/containers/one/exec", json=document)
        peer.check(name, seen(answer) if answer.status_code != 201 else [201, keys(answer.json())])
    command = peer.ask(
        "POST", "/containers/one/exec", json={"Cmd": ["sh", "-c", "exit 4"], "AttachStdout": True}
    ).json()["Id"]
    told = peer.ask("GET", f"/exec/{command}/json").json()
    peer.check("keys", keys(told))
    peer.check(
        "facts",
        [
            told["Running"],
            told["ExitCode"],
            told["ProcessConfig"],
            told["ContainerID"] == one,
            told["Pid"],
            told["CanRemove"],
        ],
    )
    started = peer.ask("POST", f"/exec/{command}/start", json={"Detach": False, "Tty": False})
    peer.check("start", [started.status_code, started.headers.get("Content-Type"), started.text])
    told = peer.ask("GET", f"/exec/{command}/json").json()
    peer.check("ended", [told["Running"], told["ExitCode"]])
    peer.check("again", seen(peer.ask("POST", f"/exec/{command}/start", json={}), EXEC=command))
    peer.check("missing", seen(peer.ask("POST", "/exec/none/start", json={})))
    peer.check("missing to inspect", seen(peer.ask("GET", "/exec/none/json")))
    peer.check(
        "of a missing container", seen(peer.ask("POST", "/containers/none/exec", json={"Cmd": ["true"]}))
    )
    command = peer.ask(
        "POST", "/containers/one/exec", json={"Cmd": ["echo", "hi"], "AttachStdout": True}
    ).json()["Id"]
    peer.check("output", peer.ask("POST", f"/exec/{command}/start", json={}).content.decode("latin-1"))
    command = peer.ask("POST", "/containers/one/exec", json={"Cmd": ["true"]}).json()["Id"]
    peer.check("detached", seen(peer.ask("POST", f"/exec/{command}/start", json={"Detach": True})))


def test_names_and_removal(peer: EnginePeer) -> None:
    add_box(peer)
    one, two = make(peer, "one"), make(peer, "two")
    for query in ("name=two", "name=one", "name=", "name=-x", "name=three", "name=/four"):
        peer.check(f"rename {query}", do(peer, f"{one}/rename?{query}", ONE=one, TWO=two))
    peer.check(
        "names", sorted(entry["Names"][0] for entry in peer.ask("GET", "/containers/json?all=1").json())
    )
    run(peer, "runs")
    answer = peer.ask("POST", '/containers/prune?filters={"x":["y"]}')
    peer.check("invalid prune", seen(answer))
    answer = peer.ask("POST", "/containers/prune").json()
    peer.check("prune", [sorted(answer["ContainersDeleted"]) == sorted([one, two]), answer["SpaceReclaimed"]])
    peer.check("prune again", seen(peer.ask("POST", "/containers/prune")))
    peer.check(
        "update",
        seen(peer.ask("POST", "/containers/runs/update", json={"RestartPolicy": {"Name": "always"}})),
    )
    policy = peer.ask("GET", "/containers/runs/json").json()["HostConfig"]["RestartPolicy"]
    peer.check("updated", policy)
    peer.check(
        "invalid update",
        seen(peer.ask("POST", "/containers/runs/update", json={"RestartPolicy": {"Name": "x"}})),
    )


def test_container_events(peer: EnginePeer) -> None:
    add_box(peer, IMAGE, "LABEL a=b")
    one = run(peer, "one", ENDS)
    peer.ask("POST", "/containers/one/wait")
    peer.ask("POST", "/containers/one/rename?name=two")
    peer.ask("DELETE", "/containers/two")
    three = run(peer, "three", TRAPS)
    for what in ("pause", "unpause", "kill?signal=CONT", "kill", "wait", "restart", "stop?t=1"):
        peer.ask("POST", f"/containers/three/{what}")
    peer.ask("GET", "/containers/three/export")
    peer.ask("GET", "/containers/three/archive?path=/etc/motd")
    peer.ask("PUT", "/containers/three/archive?path=/srv", data=tar_layer({"a": b"b"}))
    peer.ask("POST", "/commit?container=three&repo=made")
    peer.ask("POST", "/containers/prune")
    found = events(peer, "container", ONE=one, THREE=three)
    for _, _, told in found:
        if "imageID" in told:
            told["imageID"] = "MADE"
    peer.check("actions", [action for action, _, _ in found])
    for number, event in enumerate(found):
        peer.check(f"event {number}", event)
