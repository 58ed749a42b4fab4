"""Conversions of small documents are remembered. The results do not depend on that."""

from __future__ import annotations

import json

import pytest

from v1registry.archives.convert import Unconvertible, chain_from_config, config_from_chain

DIFF_ID = "sha256:" + "ab" * 32
OTHER_ID = "sha256:" + "cd" * 32


def _document(author: str) -> bytes:
    return json.dumps({"id": "1" * 64, "author": author, "docker_version": "1.9.1"}).encode()


@pytest.mark.parametrize("size", [1, 100_000])
def test_config_follows_documents_and_layers_at_each_time(size: int) -> None:
    author = "a" * size

    configs = [
        json.loads(config_from_chain([_document(name)], [diff_id]))
        for name, diff_id in [(author, DIFF_ID), (author, OTHER_ID), ("bob", DIFF_ID), (author, DIFF_ID)]
    ]

    assert [config["author"] == author for config in configs] == [True, True, False, True]
    assert [config["rootfs"]["diff_ids"] for config in configs] == [
        [DIFF_ID],
        [OTHER_ID],
        [DIFF_ID],
        [DIFF_ID],
    ]


@pytest.mark.parametrize("size", [1, 100_000])
def test_chain_follows_the_config_at_each_time(size: int) -> None:
    configs = [config_from_chain([_document(name * size)], [DIFF_ID]) for name in ("a", "b", "a")]

    chains = [chain_from_config(config) for config in configs]

    assert chains[0] == chains[2] != chains[1]
    assert json.loads(chains[1][-1].json)["author"] == "b" * size


def test_failure_is_raised_at_each_time() -> None:
    for _ in range(2):
        with pytest.raises(Unconvertible, match="not a JSON object"):
            config_from_chain([b"[]"], [DIFF_ID])
        with pytest.raises(Unconvertible, match="no list"):
            chain_from_config(b"{}")
