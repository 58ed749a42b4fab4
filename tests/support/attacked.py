"""A private image, its attackers, and the checks whether they see it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from webtest import TestResponse

from support.accounts_world import READ, REPOSITORIES, WRITE, AccountsWorld, Person, image_of, list_of
from support.backends import People
from support.engine_client import Image, tar_layer
from support.wsgi_client import Answer, call
from v1registry.rights import User

ALICE, MALLORY, BOB, ROOT = (
    User("alice"),
    User("mallory"),
    User("bob"),
    User("root", is_administrator=True),
)
GROUPED = User("gina", frozenset({"team", "others"}))

BASE = image_of("secret-base")
SECRET = image_of("secret-top", BASE)
ABSENT = image_of("absent")
OWN = image_of("own")  #: what the attacker pushes of their own
CHILD = image_of("child", SECRET)  #: an image of the attacker's that builds on the secret
OTHER_LAYER = tar_layer({"./etc/other": b"other"})

PRIVATE_BYTES = (
    b"secret-base.conf",
    b"secret-top.conf",
    *(bytes([*image.layer[10:30]]) for image in (BASE, SECRET)),
    *(image.payload_checksum.removeprefix("sha256:").encode() for image in (BASE, SECRET)),
)

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
ETAGS = [f'"{image.payload_checksum.removeprefix("sha256:")}"' for image in (SECRET, BASE)]


def fresh_world(**settings: object) -> AccountsWorld:
    """Return a server with people and nothing else."""
    return AccountsWorld(People.of(ALICE, MALLORY, BOB, ROOT, GROUPED), **settings)


def with_secret(**settings: object) -> AccountsWorld:
    """Return a server on which alice has pushed the private image."""
    world = fresh_world(**settings)
    alice = world.person("alice")
    alice.make_private("alice/app")
    alice.push("alice/app", BASE, SECRET)
    return world


def spies(world: AccountsWorld) -> Iterator[Person]:
    """Yield the attacker with each kind of credentials, and nobody."""
    yield world.person("mallory")
    yield world.nobody()
    for repository in ("mallory/x", "alice/app"):
        for access in (READ, WRITE):
            yield world.bearer(repository, access, MALLORY)
            yield world.bearer(repository, access, None)


CONDITIONS: tuple[Mapping[str, str], ...] = (
    {},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=-5"},
    {"Range": "bytes=999999-"},
    {"If-None-Match": "*"},
    {"If-None-Match": ", ".join(ETAGS)},
    {"If-Modified-Since": DATE},
    {"If-Range": ETAGS[0], "Range": "bytes=1-"},
    {"If-Range": DATE, "Range": "bytes=0-0"},
    {"X-HTTP-Method-Override": "PUT", "X-Docker-Token": "true"},
)


def look(spy: Person, method: str, path: str, headers: Mapping[str, str]) -> Answer:
    """Make a request as the spy, the quick way: there are many of them."""
    environ = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in {**spy.headers, **headers}.items()
    }
    return call(spy.client.app, method, path, REMOTE_ADDR="192.0.2.1", **environ)


def told(answer: Answer | TestResponse) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return an answer without what is another one each time."""
    is_quick = isinstance(answer, Answer)
    status, headers = (answer.status, answer.headers) if is_quick else (answer.status_int, answer.headerlist)
    other = [(name, value) for name, value in headers if name != "X-Request-Id" and "signature=" not in value]
    return status, other, answer.body


def assert_hidden(
    world: AccountsWorld,
    conditions: Iterable[Mapping[str, str]] = CONDITIONS[:1],
    control: AccountsWorld | None = None,
) -> None:
    """Assert that others get the answers of a world without the secret, to the last byte.

    :param conditions: headers with each of which everything is asked.
    :param control: a world without the secret, in which the attacker did the same. If it is left out, the
        attacker has sent nothing, and the answers are those of an absent image.
    """
    for spy in spies(world):
        for what in ("json", "layer", "ancestry", "files", "diff"):
            for headers in conditions:
                for method in ("GET", "HEAD") if not headers else ("GET",):
                    absent = look(spy, method, f"/v1/images/{ABSENT.image_id}/{what}", headers)
                    for image in (SECRET, BASE):
                        path = f"/v1/images/{image.image_id}/{what}"
                        answer = look(spy, method, path, headers)
                        if control is not None:
                            spy_there = Person(control.app, spy.headers)
                            absent = look(spy_there, method, path, headers)
                        else:
                            status = 404 if spy.headers else 401
                            assert answer.status == status, (spy.headers, method, what, headers, answer)
                        assert told(answer) == told(absent), (spy.headers, method, what, headers)
        for repository in ("alice/app", "mallory/x"):
            is_token = spy.headers.get("Authorization", "").startswith("Token ")
            if not is_token or repository in spy.headers["Authorization"]:
                path = f"{REPOSITORIES}/{repository}/layer/{SECRET.image_id}/access"
                answer = look(spy, "GET", path, {})
                if spy.headers:
                    assert answer.body == b'{"access": false}', spy.headers
                else:
                    assert answer.status == 401


def assert_unharmed(world: AccountsWorld) -> None:
    """Assert that the owner still has the secret, byte for byte."""
    alice = world.person("alice")
    for image in (BASE, SECRET):
        path = f"/v1/images/{image.image_id}"
        assert alice.get(f"{path}/json").body == image.json
        assert alice.get(f"{path}/layer").body == image.layer


# -- what an attacker may try; each returns the statuses of the steps


def with_other_json(image: Image) -> Image:
    document = json.loads(image.json) | {"comment": "mine"}
    return Image(image.image_id, json.dumps(document).encode(), image.layer)


def announces(mallory: Person) -> list[int]:
    return [mallory.announce("mallory/x", BASE, SECRET)]


def announces_at_the_end(mallory: Person) -> list[int]:
    return [mallory.put(f"{REPOSITORIES}/mallory/x/images", list_of(SECRET, BASE)).status_int]


def tags(mallory: Person) -> list[int]:
    return [mallory.tag("mallory/x", SECRET), mallory.tag("mallory/x", BASE, "base")]


def announces_and_tags(mallory: Person) -> list[int]:
    return announces(mallory) + tags(mallory)


def builds_on_it(mallory: Person) -> list[int]:
    return [
        mallory.announce("mallory/x", CHILD),
        mallory.put_json(CHILD),
        mallory.put_layer(CHILD),
        mallory.put_checksum(CHILD),
        mallory.tag("mallory/x", CHILD),
    ]


def announces_and_builds_on_it(mallory: Person) -> list[int]:
    return announces(mallory) + builds_on_it(mallory)


def sends_its_json(mallory: Person) -> list[int]:
    """Send a guessed JSON. The answers say nothing about the stored one (decisions.md 17)."""
    return [
        *announces(mallory),
        mallory.put_json(BASE),
        mallory.put_checksum(BASE),
        mallory.tag("mallory/x", BASE),
    ]


def sends_its_layer(mallory: Person) -> list[int]:
    """An engine that only sets ENV sends one well-known empty layer: what is to be hidden is in the JSON."""
    return [
        *announces(mallory),
        mallory.put_layer(BASE),
        mallory.put_checksum(BASE),
        mallory.tag("mallory/x", BASE),
    ]


def sends_its_sum(mallory: Person) -> list[int]:
    return [*announces(mallory), mallory.put_checksum(SECRET), mallory.put_checksum(BASE)]


def sends_other_json(mallory: Person) -> list[int]:
    other = with_other_json(BASE)
    return [
        *announces(mallory),
        mallory.put_json(other),
        mallory.put_layer(other),
        mallory.put_checksum(other),
    ]


def sends_another_layer(mallory: Person) -> list[int]:
    other = Image(BASE.image_id, BASE.json, OTHER_LAYER)
    return [
        *announces(mallory),
        mallory.put_json(other),
        mallory.put_layer(other),
        mallory.put_checksum(other),
    ]


def sends_other_json_with_its_layer(mallory: Person) -> list[int]:
    document = json.loads(BASE.json) | {"comment": "mine"}
    other = Image(BASE.image_id, json.dumps(document).encode(), BASE.layer)
    return [
        *announces(mallory),
        mallory.put_json(other),
        mallory.put_layer(other),
        mallory.put_checksum(BASE),
    ]


def deletes_and_begins_anew(mallory: Person) -> list[int]:
    statuses = announces_and_tags(mallory)
    statuses.append(mallory.delete("mallory/x", wants_token=True).status_int)
    statuses += announces_and_tags(mallory)
    statuses.append(mallory.delete("mallory/x").status_int)
    return statuses + announces_and_tags(mallory)


def asks_for_tokens(mallory: Person) -> list[int]:
    wants = {"X-Docker-Token": "true"}
    return [
        mallory.ask(method, f"{REPOSITORIES}/alice/app{end}", "[]", wants).status_int
        for method, end in [("GET", "/images"), ("PUT", "/"), ("PUT", "/images"), ("DELETE", "/"),
                            ("DELETE", "/images")]
    ]  # fmt: skip


def writes_to_the_repository(mallory: Person) -> list[int]:
    return [
        mallory.announce("alice/app", SECRET),
        mallory.tag("alice/app", OWN),
        mallory.put(f"{REPOSITORIES}/alice/app/properties", '{"access": "public"}').status_int,
        mallory.ask("DELETE", f"{REPOSITORIES}/alice/app/tags/latest").status_int,
        mallory.delete("alice/app").status_int,
    ]
