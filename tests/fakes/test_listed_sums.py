"""The checksums in the image lists of images that add_image pushes."""

from __future__ import annotations

import random
from io import BytesIO

import pytest
from v1registry_fakes import FakeRegistry, Layer

from v1registry.layers.tarsum import tarsum


def _listed(registry: FakeRegistry) -> list[object]:
    return [
        entry.get("checksum") for entry in registry.session().get("/v1/repositories/alice/app/images").json()
    ]


@pytest.mark.parametrize("size", [1, 100_000])
def test_listed_sum_is_the_tarsum_of_each_image(size: int) -> None:
    content = random.Random(size).randbytes(size)
    found = []

    for _ in range(2):
        with FakeRegistry() as registry:
            one = registry.add_image("alice/app:1", files={"a": content})
            two = registry.add_image("alice/app:2", files={"b": content})
            expected = {tarsum(BytesIO(image.layer), prefix=image.document) for image in (one, two)}
            found.append((set(_listed(registry)), expected))

    assert [listed == expected for listed, expected in found] == [True, True]
    assert found[0] == found[1]


def test_listed_sum_of_a_layer_without_archive_is_its_payload_sum() -> None:
    for _ in range(2):
        with FakeRegistry() as registry:
            image = registry.add_image("alice/app:1", layer=b"no archive")

            assert _listed(registry) == [image.checksum]


def test_listed_sum_of_a_built_layer_is_its_tarsum() -> None:
    with FakeRegistry() as registry:
        image = registry.add_image("alice/app:1", layer=Layer({"etc/motd": "hello"}))

        assert _listed(registry) == [tarsum(BytesIO(image.layer), prefix=image.document)]
