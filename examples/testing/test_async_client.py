"""A program that asks for many images at once, and its tests.

pytest examples/testing/test_async_client.py
"""

from __future__ import annotations

import asyncio

import httpx
from v1registry_fakes import FakeRegistry

AT_ONCE = 4


async def sizes(client: httpx.AsyncClient, url: str, names: list[str]) -> dict[str, int | BaseException]:
    """Return name -> size of its layers in bytes, or why it is not known.

    :param names: such as ``alice/app:1.0``.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def size(name: str) -> int:
        repository, _, tag = name.partition(":")
        async with turns:
            answer = await client.get(
                f"{url}/v2/{repository}/manifests/{tag}",
                headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
            )
            answer.raise_for_status()
            return sum(layer["size"] for layer in answer.json()["layers"])

    found = await asyncio.gather(*map(size, names), return_exceptions=True)
    return dict(zip(names, found, strict=True))


# -- tests

URL = "http://registry.example.com"


def test_sizes_of_many_images(v1registry: FakeRegistry, v1registry_async_httpx: httpx.AsyncClient) -> None:
    names = [f"alice/app:{number}" for number in range(12)]
    images = {name: v1registry.add_image(name, layers=2, api="v2") for name in names}

    found = asyncio.run(sizes(v1registry_async_httpx, URL, names))

    assert found == {
        name: sum(layer["size"] for layer in image.json["layers"]) for name, image in images.items()
    }


def test_one_failure_does_not_hide_the_others(
    v1registry: FakeRegistry, v1registry_async_httpx: httpx.AsyncClient
) -> None:
    for tag in ("1", "2", "3"):
        v1registry.add_image(f"alice/app:{tag}", api="v2")
    v1registry.fail("GET", "*/manifests/2", cut_after_bytes=10)

    names = ["alice/app:1", "alice/app:2", "alice/app:3", "alice/none:1"]
    found = asyncio.run(sizes(v1registry_async_httpx, URL, names))

    assert [type(result) for result in found.values()] == [
        int,
        httpx.RemoteProtocolError,
        int,
        httpx.HTTPStatusError,
    ]
