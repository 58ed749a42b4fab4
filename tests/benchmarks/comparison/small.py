"""Small requests on 16 connections: CPU for each, and requests in a second."""

from __future__ import annotations

import json
from urllib.parse import quote

from . import load, v1, v2
from .http import Connection, Layer, basic
from .results import Results
from .seeds import write_image, write_repository
from .servers import ACCOUNTS, BARE, NEW, NGINX, OLD, OURS, PASSWORD, USER, Server, Servers, running

#: Numbers of tags in a list. Growth with them is shown too.
TAGS = (10, 100, 1000, 10_000)

BASIC, V1_TOKEN, V2_TOKEN = (f"{ACCOUNTS}: {kind}" for kind in ("Basic", "v1 token", "/v2/ token"))
_APP = f"{USER}/app"


def measure(servers: Servers, results: Results, rounds: int, seconds: float) -> None:
    """Measure small requests of all servers."""
    chosen = {name: servers.make(name, "small") for name in (OURS, ACCOUNTS, BARE, OLD, NEW, NGINX)}
    images = v1.chain([1024] * 20, "small")
    top = images[-1].image_id
    for name in (OURS, ACCOUNTS, OLD):
        _seed(chosen[name], images)
    json_path, tag_path = f"/v1/images/{top}/json", f"/v1/repositories/{USER}/tags10/tags/t5"
    _seed_files(chosen[BARE], {json_path: images[-1].document, tag_path: json.dumps(top).encode()})
    nginx_file = chosen[NGINX].data / json_path.lstrip("/")
    nginx_file.parent.mkdir(parents=True)
    nginx_file.write_bytes(images[-1].document)
    with running(list(chosen.values())):
        _push_manifests(chosen)
        headers = _authorizations(chosen[ACCOUNTS], json_path)
        work = {
            "_ping": ("/v1/_ping", (OURS, BARE, OLD, NGINX)),
            "image json": (json_path, (OURS, BASIC, V1_TOKEN, BARE, OLD, NGINX)),
            "one tag": (tag_path, (OURS, BASIC, V1_TOKEN, BARE, OLD)),
        }
        for number in TAGS:
            path = f"/v1/repositories/{USER}/tags{number}/tags"
            work[_list_of(number)] = (path, (OURS, BASIC, V1_TOKEN, OLD))
        work["manifest by tag"] = (f"/v2/{_APP}/manifests/latest", (OURS, V2_TOKEN, NEW))
        for _ in range(rounds):
            for label, (path, names) in work.items():
                for name in names:
                    found = load.small_requests(
                        chosen[name.partition(":")[0]],
                        path,
                        authorization=headers.get((name, label), headers.get((name, ""), "")),
                        accept=v2.MANIFEST_TYPE if label.startswith("manifest") else "",
                        seconds=seconds,
                    )
                    results.add(label, name, cpu_ms=found.cpu_ms, per_s=found.requests_per_s)


def _seed(server: Server, images: list[v1.Image]) -> None:
    ancestors: tuple[str, ...] = ()
    for image in images:
        write_image(server.data, image, ancestors)
        ancestors = (image.image_id, *ancestors)
    for number in TAGS:
        tags = {f"t{index}": images[-1].image_id for index in range(number)}
        write_repository(server.data, f"{USER}/tags{number}", tags)


def _seed_files(server: Server, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (server.data / path.strip("/").replace("/", ",")).write_bytes(content)


def _authorizations(server: Server, json_path: str) -> dict[tuple[str, str], str]:
    """Return the header of each kind of log-in, by kind and work; without a work it is that of all others.

    Each repository and the image are asked for once, because old data gets its marks then.
    """
    user = basic(USER, PASSWORD)
    found = {(BASIC, ""): user, (V2_TOKEN, ""): _bearer(server, _APP)}
    client = v1.Client(server.port, user)
    for number in TAGS:
        found[V1_TOKEN, _list_of(number)] = client.token_to_read(f"{USER}/tags{number}")
        client.connection.request("GET", json_path)
    found[V1_TOKEN, ""] = found[V1_TOKEN, _list_of(TAGS[0])]
    client.close()
    return found


def _list_of(number: int) -> str:
    return f"list of {number:,} tags"


def _bearer(server: Server, repository: str) -> str:
    """Return the header with a token to push and pull."""
    scope = quote(f"repository:{repository}:pull,push", safe="")
    connection = Connection(server.port, basic(USER, PASSWORD))
    answer = connection.request("GET", f"/v2/token?service=v1registry&scope={scope}")
    connection.close()
    return f"Bearer {json.loads(answer.body)['token']}"


def _push_manifests(chosen: dict[str, Server]) -> None:
    """Push a small image through ``/v2/`` to the servers that have it."""
    for name in (OURS, ACCOUNTS, NEW):
        token = _bearer(chosen[name], _APP) if name == ACCOUNTS else ""
        client = v2.Client(chosen[name].port, token)
        client.put_image(_APP, "latest", [Layer(1024, "v2")])
        client.close()
