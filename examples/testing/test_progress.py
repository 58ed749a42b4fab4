"""A program that shows the progress of a download and gives up a slow one, and its tests.

pytest examples/testing/test_progress.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import requests
from v1registry_fakes import FakeRegistry


class TooSlow(Exception):
    """A download is slower than the program accepts."""


def chunks(
    url: str, show: Callable[[str], object], *, least_rate: int = 1000, patience_s: float = 10.0
) -> Iterator[bytes]:
    """Yield what is at a URL, and show the progress after each piece.

    :param least_rate: in bytes per second, compared as soon as the patience has ended.
    :raises TooSlow: the download is slower.
    """
    started_s, done = time.monotonic(), 0
    with requests.get(url, stream=True, timeout=30) as answer:
        answer.raise_for_status()
        size = int(answer.headers["Content-Length"])
        for chunk in answer.iter_content(10_000):
            done += len(chunk)
            show(f"{100 * done // size} %")
            duration_s = time.monotonic() - started_s
            if duration_s > patience_s and done / duration_s < least_rate:
                raise TooSlow(f"{done} bytes in {duration_s:.1f} s")
            yield chunk


# -- tests


def test_the_progress_of_a_slow_download_is_shown(v1registry: FakeRegistry) -> None:
    image = v1registry.add_image("alice/app:1.0", layer=bytes(40_000))
    v1registry.fail(route="get_layer", bytes_per_second=400_000)
    shown: list[str] = []

    layer = b"".join(chunks(f"{v1registry.url}/v1/images/{image.id}/layer", shown.append))

    assert layer == image.layer
    assert shown == ["25 %", "50 %", "75 %", "100 %"]
    assert v1registry.requests[-1].fault


def test_a_download_that_is_too_slow_is_given_up(v1registry: FakeRegistry) -> None:
    image = v1registry.add_image("alice/app:1.0", layer=bytes(1_000_000))
    v1registry.fail(route="get_layer", bytes_per_second=50_000)
    url = f"{v1registry.url}/v1/images/{image.id}/layer"

    with pytest.raises(TooSlow, match="bytes in"):
        list(chunks(url, print, least_rate=1_000_000, patience_s=0.1))
