"""Images in the suite of the fake engine and docker's engine 20.10."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from urllib.parse import quote

from support.engine_client import tar_layer
from support.engine_peers import IMAGE, EnginePeer, add_box, events, keys, make, run, seen

LAYER = tar_layer({"hello": b"world"})


def add(peer: EnginePeer, name: str, text: str = "hello", *changes: str) -> str:
    """Import an image of one small file and return its id."""
    path, _, tag = name.rpartition(":")
    wanted = "".join(f"&changes={quote(change)}" for change in changes)
    content = tar_layer({text: text.encode()})
    answer = peer.ask("POST", f"/images/create?fromSrc=-&repo={path}&tag={tag}{wanted}", data=content)
    status: str = json.loads(answer.text.splitlines()[-1])["status"]
    return status


def short(image: str) -> str:
    """Return an id as messages have it."""
    return image.removeprefix("sha256:")[:12]


def tags(peer: EnginePeer, query: str = "") -> list[object]:
    """Return the names of the listed images, sorted."""
    answer = peer.ask("GET", f"/images/json{query}")
    assert answer.status_code == 200, answer.text
    return sorted(name for image in answer.json() for name in image["RepoTags"])


def test_list(peer: EnginePeer) -> None:
    peer.check("empty", peer.ask("GET", "/images/json").json())
    image = add(peer, "parity/one:1.0", "one", "LABEL a=b")
    add(peer, "parity/two:2.0", "two")
    listed = {entry["Id"]: entry for entry in peer.ask("GET", "/images/json").json()}[image]
    peer.check("keys", keys(listed))
    for name in (
        "Containers",
        "Labels",
        "ParentId",
        "RepoDigests",
        "RepoTags",
        "SharedSize",
        "Size",
        "VirtualSize",
    ):
        peer.check(name, listed[name])
    for query in (
        'filters={"reference":["parity/*"]}',
        'filters={"reference":["one"]}',
        'filters={"reference":["parity/one:1.0"]}',
        'filters={"reference":["*/*:2*"]}',
        'filters={"label":["a"]}',
        'filters={"label":["a=c"]}',
        'filters={"label":["a","a=b"]}',
        'filters={"dangling":["true"]}',
        'filters={"dangling":["false"]}',
        'filters={"before":["parity/two:2.0"]}',
        'filters={"since":["parity/one:1.0"]}',
        "all=1",
        "filter=parity/one",
    ):
        peer.check(query, tags(peer, f"?{query}"))


def test_inspect(peer: EnginePeer) -> None:
    image = add(
        peer,
        "parity/one:1.0",
        "one",
        "LABEL a=b",
        "ENV A=1",
        'ENTRYPOINT ["/one"]',
        "EXPOSE 80",
        "USER me",
        "WORKDIR /srv",
        "VOLUME /data",
        "CMD one two",
        "HEALTHCHECK CMD true",
        "ONBUILD RUN x",
    )
    told = peer.ask("GET", "/images/parity/one:1.0/json").json()
    peer.check("keys", keys(told))
    peer.check("id", told["Id"] == image)
    for name in (
        "Architecture",
        "Author",
        "Comment",
        "Container",
        "GraphDriver",
        "Os",
        "Parent",
        "RepoDigests",
        "RepoTags",
        "Size",
        "RootFS",
        "Config",
        "ContainerConfig",
        "VirtualSize",
    ):
        peer.check(name, told[name])
    for name in (
        "parity/one",
        "parity/none:1.0",
        "none",
        "sha256:" + "ab" * 32,
        "ab" * 32,
        "abc",
        "UPPER",
        "-x",
        "parity/one@sha256:" + "ab" * 32,
        "parity/one@x",
        "parity/one:b:c",
    ):
        peer.check(f"missing {name}", seen(peer.ask("GET", f"/images/{name}/json")))
    digits = image.removeprefix("sha256:")
    for name, text in (
        ("digits", digits),
        ("12 digits", digits[:12]),
        ("1 digit", digits[:1]),
        ("id", image),
        ("host", "docker.io/parity/one:1.0"),
        ("capital digits", digits[:12].upper()),
    ):
        peer.check(f"by {name}", peer.ask("GET", f"/images/{text}/json").status_code)


def test_history(peer: EnginePeer) -> None:
    image = add(peer, "parity/one:1.0", "one", "CMD one")
    peer.ask("POST", f"/images/{image}/tag?repo=parity/other")
    told = peer.ask("GET", "/images/parity/one:1.0/history").json()
    for step in told:
        step.pop("Created")
        step["Id"] = step["Id"].replace(image, "IMAGE")
        step["Tags"] = sorted(step["Tags"] or [])
    peer.check("steps", told)
    peer.check("missing", seen(peer.ask("GET", "/images/none/history")))


def test_tag(peer: EnginePeer) -> None:
    add(peer, "parity/one:1.0", "one")
    add(peer, "parity/two:1.0", "two")
    for query in (
        "repo=parity/new&tag=2",
        "repo=parity/new",
        "repo=new:3",
        "repo=new:3&tag=4",
        "repo=docker.io/library/full",
        "repo=localhost:5000/a/b",
        "repo=Upper",
        "repo=",
        "tag=1",
        "repo=a&tag=-x",
        "repo=a@sha256:" + "ab" * 32,
        "repo=" + "ab" * 32,
        "repo=a b",
        "repo=parity/two&tag=1.0",
    ):
        answer = peer.ask("POST", f"/images/parity/one:1.0/tag?{query}")
        peer.check(query, seen(answer))
    peer.check("missing", seen(peer.ask("POST", "/images/none/tag?repo=a")))
    peer.check("names", tags(peer))


def test_remove(peer: EnginePeer) -> None:
    image = add(peer, "parity/one:1.0", "one")
    layer = peer.ask("GET", f"/images/{image}/json").json()["RootFS"]["Layers"][0]

    def removed(path: str, **words: str) -> list[object]:
        return seen(
            peer.ask("DELETE", f"/images/{path}"), IMAGE=image, SHORT=short(image), LAYER=layer, **words
        )

    peer.ask("POST", f"/images/{image}/tag?repo=parity/two&tag=1")
    peer.ask("POST", f"/images/{image}/tag?repo=parity/two&tag=2")
    peer.check("by id with several names", removed(image))
    peer.check("one name", removed("parity/two:1"))
    peer.check("a missing name", removed("parity/two:1"))
    peer.check("a malformed name", removed("UPPER"))
    peer.check("another name", removed("parity/two:2"))
    peer.check("the last name", removed("parity/one:1.0"))
    peer.check("none left", tags(peer))
    image = add(peer, "parity/one:1.0", "one")
    peer.ask("POST", f"/images/{image}/tag?repo=parity/two&tag=2")
    peer.check("forced", removed(f"{image}?force=1"))


def test_remove_used(peer: EnginePeer) -> None:
    image = add_box(peer)
    stopped = make(peer, "stopped")

    def removed(path: str) -> list[object]:
        return seen(
            peer.ask("DELETE", f"/images/{path}"),
            SHORT=short(image),
            IMAGE=image,
            STOPPED=stopped[:12],
            RUNNING=running[:12],
        )

    running = "-" * 12
    peer.check("name of a stopped one", removed(IMAGE))
    peer.check("id of a stopped one", removed(short(image)))
    running = run(peer, "running")
    peer.check("id of a running one", removed(f"{short(image)}?force=1"))
    peer.check("name of a running one", removed(f"{IMAGE}?force=1"))
    peer.check("listed now", tags(peer))
    peer.check(
        "container shows", [one["Image"] == image for one in peer.ask("GET", "/containers/json").json()]
    )


def test_prune(peer: EnginePeer) -> None:
    image = add(peer, "parity/one:1.0", "one")
    add(peer, "parity/one:1.0", "two")
    layer = peer.ask("GET", f"/images/{image}/json").json()["RootFS"]["Layers"][0]
    peer.check("listed", tags(peer))
    peer.check("invalid", seen(peer.ask("POST", '/images/prune?filters={"dangling":["x"]}')))
    peer.check("unknown", seen(peer.ask("POST", '/images/prune?filters={"x":["x"]}')))

    def pruned(query: str) -> list[object]:
        return seen(peer.ask("POST", f"/images/prune{query}"), IMAGE=image, LAYER=layer)

    peer.check("dangling", pruned(""))
    peer.check("nothing", pruned(""))
    peer.check("all", [pruned('?filters={"dangling":["false"]}')[0], tags(peer)])


def members(content: bytes) -> list[str]:
    """Return the names in an archive, ids shortened to their kind."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return sorted("ID" + name[64:] for name in archive.getnames() if len(name) > 64) + sorted(
            name for name in archive.getnames() if len(name) < 64
        )


def test_save_and_load(peer: EnginePeer) -> None:
    image = add(peer, "parity/one:1.0", "one")
    peer.ask("POST", f"/images/{image}/tag?repo=parity/one&tag=2.0")
    answer = peer.ask("GET", "/images/parity/one/get")
    saved = peer.ask("GET", "/images/parity/one:1.0/get")
    peer.check("type", saved.headers["Content-Type"])
    peer.check("members", members(saved.content))
    with tarfile.open(fileobj=io.BytesIO(saved.content)) as archive:
        manifest = json.loads(archive.extractfile("manifest.json").read())
        repositories = json.loads(archive.extractfile("repositories").read())
        config = archive.extractfile(manifest[0]["Config"]).read()
    peer.check(
        "manifest",
        [
            [entry["RepoTags"], entry["Config"] == image[7:] + ".json", len(entry["Layers"])]
            for entry in manifest
        ],
    )
    peer.check("repositories", {name: sorted(value) for name, value in repositories.items()})

    peer.check("config", hashlib.sha256(config).hexdigest() == image[7:])
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        peer.check("all tags", sorted(json.loads(archive.extractfile("manifest.json").read())[0]["RepoTags"]))
    by_id = peer.ask("GET", f"/images/{image}/get")
    peer.check("members by id", members(by_id.content))
    peer.check("missing", seen(peer.ask("GET", "/images/none/get")))
    peer.check("missing of several", seen(peer.ask("GET", "/images/get?names=parity/one:1.0&names=none")))
    peer.ask("DELETE", f"/images/{image}?force=1")
    loaded = peer.ask("POST", "/images/load", data=saved.content)
    peer.check(
        "loaded",
        [
            loaded.status_code,
            loaded.headers["Content-Type"],
            [json.loads(line) for line in loaded.text.splitlines()][-1:],
        ],
    )
    peer.check("names", tags(peer))
    answer = peer.ask("POST", "/images/load?quiet=1", data=by_id.content)
    peer.check("quiet", seen(answer, IMAGE=image))
    for name, content in (("no archive", b"x" * 2000), ("nothing", b""), ("an archive of files", LAYER)):
        answer = peer.ask("POST", "/images/load?quiet=1", data=content)
        peer.check(name, [answer.status_code, "errorDetail" in answer.json()])


def test_import(peer: EnginePeer) -> None:
    answer = peer.ask("POST", "/images/create?fromSrc=-&repo=parity/one&tag=1&message=why", data=LAYER)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    image = lines[-1]["status"]
    peer.check("answer", [answer.status_code, answer.headers["Content-Type"], [keys(line) for line in lines]])
    told = peer.ask("GET", f"/images/{image}/json").json()
    peer.check("facts", [told["Comment"], told["Architecture"], told["Os"], told["RepoTags"]])
    for name, query, body in (
        ("change", "changes=NONE x", LAYER),
        ("name", "repo=Upper", LAYER),
        ("tag", "repo=a&tag=-", LAYER),
        ("digest", "repo=a@sha256:" + "ab" * 32, LAYER),
        ("run", "changes=RUN x", LAYER),
        ("archive", "repo=a", b"x" * 2000),
        ("nothing", "repo=a", b""),
    ):
        answer = peer.ask("POST", f"/images/create?fromSrc=-&{query}", data=body)
        document = seen(answer)
        peer.check(f"invalid {name}", document if answer.status_code != 200 else 200)
    answer = peer.ask("POST", "/images/create?fromSrc=-", data=LAYER)
    peer.check("without a name", tags(peer, "?all=1"))


def test_pull_names(peer: EnginePeer) -> None:
    for name in ("Upper", "-", "scratch", "a@x", "ab" * 32):
        peer.check(name, seen(peer.ask("POST", f"/images/create?fromImage={name}&tag=1")))
    answer = peer.ask("POST", "/images/create")
    peer.check("nothing", answer.status_code)
    answer = peer.ask("POST", "/images/none/push?tag=1")
    peer.check("push of a missing image", answer.status_code)
    answer = peer.ask("POST", "/images/none/push?tag=1", headers={"X-Registry-Auth": "e30="})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    peer.check("push of a missing image with credentials", [answer.status_code, lines])
    answer = peer.ask("POST", "/images/Upper/push", headers={"X-Registry-Auth": "e30="})
    peer.check("push of a malformed name", seen(answer))


def test_image_events(peer: EnginePeer) -> None:
    image = add(peer, "parity/one:1.0", "one", "LABEL a=b")
    peer.ask("POST", f"/images/{image}/tag?repo=parity/two")
    saved = peer.ask("GET", "/images/parity/two/get")
    peer.ask("DELETE", "/images/parity/two")
    peer.ask("DELETE", "/images/parity/one:1.0")
    peer.ask("POST", "/images/load", data=saved.content)
    peer.ask("POST", '/images/prune?filters={"dangling":["false"]}')
    peer.check("events", events(peer, "image", IMAGE=image))
