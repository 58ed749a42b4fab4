"""Two clients over two servers on one folder: both end well, and what is complete always matches its sum."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from support.engine_client import (
    EngineClient,
    Image,
    UnexpectedAnswer,
    in_pieces,
    make_chain,
    make_image,
    random_layer,
)
from support.wsgi_servers import GUNICORN, SERVE, RunningServer, ServerKind

_PATIENCE_S = 60


@pytest.fixture(params=[SERVE, GUNICORN], ids=lambda kind: kind.name)
def two_clients(
    request: pytest.FixtureRequest, start: Callable[..., RunningServer]
) -> tuple[EngineClient, EngineClient]:
    """Clients of two servers over one folder."""
    kind: ServerKind = request.param
    return start(kind).client(), start(kind).client()


def at_once(*tasks: Callable[[], object]) -> list[object]:
    """Run tasks in threads of their own; return their results, or raise what the first of them raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def in_step(image: Image, barrier: threading.Barrier) -> Iterator[bytes]:
    """Yield the layer in four pieces, each not before the other client has its own ready."""
    for piece in in_pieces(image.layer, len(image.layer) // 4 + 1):
        barrier.wait(_PATIENCE_S)
        yield piece


def push_in_step(client: EngineClient, image: Image, tag: str, barrier: threading.Barrier) -> None:
    client.announce("race/same", [image.image_id])
    assert client.put_json(image)
    client.put_layer(image, pieces=in_step(image, barrier))
    client.put_checksum(image)
    client.put_tag("race/same", tag, image.image_id)


@pytest.mark.parametrize("rounds", [5, pytest.param(40, marks=pytest.mark.real)])
def test_REG_011_simultaneous_pushes_of_one_image_succeed(
    two_clients: tuple[EngineClient, EngineClient], rounds: int
) -> None:
    one, two = two_clients
    for round_ in range(rounds):
        image = make_image(random_layer(30_000, round_), name=f"same {rounds}")
        barrier = threading.Barrier(2)
        at_once(
            partial(push_in_step, one, image, f"one-{round_}", barrier),
            partial(push_in_step, two, image, f"two-{round_}", barrier),
        )
        for client in two_clients:
            assert client.pull("race/same", f"one-{round_}") == [image]
            assert client.pull("race/same", f"two-{round_}") == [image]


def push_sum_late(client: EngineClient, image: Image, barrier: threading.Barrier) -> None:
    client.put_layer(image)
    barrier.wait(_PATIENCE_S)
    client.put_checksum(image)


def push_end_late(client: EngineClient, image: Image, barrier: threading.Barrier) -> None:
    half = len(image.layer) // 2

    def pieces() -> Iterator[bytes]:
        yield image.layer[:half]
        barrier.wait(_PATIENCE_S)
        yield image.layer[half:]

    client.put_layer(image, pieces=pieces())
    client.put_checksum(image)


@pytest.mark.parametrize("rounds", [5, pytest.param(60, marks=pytest.mark.real)])
def test_REG_011_checksum_during_the_other_layer_succeeds_for_both(
    two_clients: tuple[EngineClient, EngineClient], rounds: int
) -> None:
    """The first client has sent its layer. It sends the checksum with the end of the second layer."""
    one, two = two_clients
    for round_ in range(rounds):
        image = make_image(random_layer(30_000, round_), name=f"late {rounds}")
        barrier = threading.Barrier(2)
        for client in two_clients:
            assert client.put_json(image)
        at_once(partial(push_sum_late, one, image, barrier), partial(push_end_late, two, image, barrier))
        for client in two_clients:
            assert client.pull_image(image.image_id) == image


@pytest.mark.parametrize("rounds", [5, pytest.param(30, marks=pytest.mark.real)])
def test_simultaneous_pushes_on_one_new_parent_succeed(
    two_clients: tuple[EngineClient, EngineClient], rounds: int
) -> None:
    one, two = two_clients
    for round_ in range(rounds):
        base = random_layer(20_000, f"base {round_}")
        first = make_chain([base, random_layer(5_000, f"one {round_}")], name=f"{rounds}")
        second = make_chain([base, random_layer(5_000, f"two {round_}")], name=f"{rounds}")
        assert first[0] == second[0]
        at_once(
            partial(one.push, "race/one", first, f"t{round_}"),
            partial(two.push, "race/two", second, f"t{round_}"),
        )
        for client in two_clients:
            assert client.pull("race/one", f"t{round_}") == first
            assert client.pull("race/two", f"t{round_}") == second


def test_simultaneous_pushes_to_one_repository_lose_nothing(
    two_clients: tuple[EngineClient, EngineClient],
) -> None:
    images = [make_image(random_layer(2_000, n), name="crowd") for n in range(16)]

    at_once(
        *(partial(two_clients[n % 2].push, "race/crowd", [image], f"t{n}") for n, image in enumerate(images))
    )
    for client in two_clients:
        assert client.get("/v1/repositories/race/crowd/tags").json() == {
            f"t{n}": image.image_id for n, image in enumerate(images)
        }
        listed = client.get("/v1/repositories/race/crowd/images").json()
        assert isinstance(listed, list)
        assert {entry["id"] for entry in listed} >= {image.image_id for image in images}


def try_push(client: EngineClient, image: Image, chance: random.Random) -> bool:
    """Push an image as an engine does, in pieces of chance; tell whether its sum was accepted."""
    sizes = chance.choice([len(image.layer), 5_000, 1_000])
    try:
        if not client.put_json(image):
            return False
        client.put_layer(image, pieces=in_pieces(image.layer, sizes))
        answer = client.request(
            "PUT",
            f"/v1/images/{image.image_id}/checksum",
            b"",
            {"X-Docker-Checksum-Payload": image.payload_checksum},
        )
    except UnexpectedAnswer as refused:
        assert refused.status in (400, 404, 409)  # noqa: PT017  a push that is refused is no failure
        return False
    assert answer.status in (200, 400, 409)
    return answer.status == 200


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.real)])
@pytest.mark.parametrize("differs", ["layer", "json"])
def test_REG_046_two_contents_of_one_id_never_mix(
    two_clients: tuple[EngineClient, EngineClient], rounds: int, differs: str
) -> None:
    chance = random.Random(46)
    for round_ in range(rounds):
        one = make_image(random_layer(20_000, f"one {round_}"), name=f"{differs} {rounds}")
        if differs == "layer":
            other = replace(one, layer=random_layer(20_000, f"other {round_}"))
        else:
            other = replace(one, json=one.json.replace(b"amd64", b"arm64"))
        contents = [one, other]
        seeds = [random.Random(chance.random()) for _ in contents]
        accepted = at_once(
            *(
                partial(try_push, client, image, seed)
                for client, image, seed in zip(two_clients, contents, seeds, strict=True)
            )
        )
        first, second = (client.pull_image(one.image_id) for client in two_clients)
        assert first == second
        assert first in [image for image, is_accepted in zip(contents, accepted, strict=True) if is_accepted]
