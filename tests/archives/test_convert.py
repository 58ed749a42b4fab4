"""Chains of v1 images and image configs: their ids equal those of engines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v1registry.archives import rawjson
from v1registry.archives.convert import (
    EMPTY_TAR_DIFF_ID,
    Unconvertible,
    chain_from_config,
    chain_ids,
    config_from_chain,
    digest_of,
    hash_layer,
    parse_time,
    read_diff_ids,
)
from v1registry.layers.compression import open_decompressed

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "docker-registry-0.9.1-data" / "images"
VECTORS = json.loads((DATA / "v1-to-v2.json").read_text())["images"]
DOCKERS_OWN = json.loads((DATA / "image-ids-of-docker-20.10.24.json").read_text())["images"]

DIFF_ID = "sha256:" + "d" * 64
OTHER_DIFF_ID = "sha256:" + "e" * 64


def sample_chain(image_id: str) -> list[str]:
    ancestry: list[str] = json.loads((SAMPLE / image_id / "ancestry").read_text())
    return ancestry[::-1]


def config_of(*documents: dict[str, Any]) -> dict[str, Any]:
    encoded = [json.dumps(document).encode() for document in documents]
    config: dict[str, Any] = json.loads(config_from_chain(encoded, [DIFF_ID] * len(documents)))
    return config


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["tags"][0])
class TestVectors:
    def test_ENG_002_diff_ids_of_sample_layers_equal_the_vectors(self, vector: dict[str, Any]) -> None:
        found = []
        for image_id in sample_chain(vector["id"]):
            with (SAMPLE / image_id / "layer").open("rb") as layer:
                found.append(hash_layer(open_decompressed(layer)).diff_id)
        assert found == vector["diff_ids"]

    def test_ENG_003_chain_ids_equal_the_vectors(self, vector: dict[str, Any]) -> None:
        assert list(chain_ids(vector["diff_ids"])) == vector["chain_ids"]

    def test_ENG_012_config_equals_that_of_docker_byte_for_byte(self, vector: dict[str, Any]) -> None:
        documents = [(SAMPLE / image_id / "json").read_bytes() for image_id in sample_chain(vector["id"])]
        config = config_from_chain(documents, vector["diff_ids"])
        assert config.decode() == vector["docker_config"]
        assert digest_of(config) == vector["docker_image_id"]


class TestAChainBecomesAConfig:
    def test_ENG_010_config_has_history_and_diff_id_of_each_image(self) -> None:
        root = {"id": "a", "created": "2014-06-01T00:00:00Z", "author": "Ada", "comment": "first"}
        top = {
            "id": "b",
            "parent": "a",
            "Size": 7,
            "layer_id": "x",
            "parent_id": "y",
            "throwaway": True,
            "checksum": "tarsum.v1+sha256:00",
            "docker_version": "1.9.1",
            "container_config": {"Cmd": ["/bin/sh", "-c", "touch <x>"]},
        }
        config = config_of(root, top)
        assert config["history"] == [
            {"created": "2014-06-01T00:00:00Z", "author": "Ada", "comment": "first"},
            {"created": "0001-01-01T00:00:00Z", "created_by": "/bin/sh -c touch <x>"},
        ]
        assert config["rootfs"] == {"type": "layers", "diff_ids": [DIFF_ID, DIFF_ID]}
        assert set(config) == {
            "history",
            "rootfs",
            "architecture",
            "os",
            "docker_version",
            "container_config",
        }

    def test_ENG_011_missing_architecture_and_os_are_filled_in(self) -> None:
        config = config_of({"id": "a"})
        assert (config["architecture"], config["os"]) == ("amd64", "linux")
        config = config_of({"id": "a", "architecture": "arm", "os": "plan9"})
        assert (config["architecture"], config["os"]) == ("arm", "plan9")

    def test_null_config_is_removed(self) -> None:
        assert "config" not in config_of({"id": "a", "docker_version": "1.9.1", "config": None})

    def test_command_that_is_a_string_becomes_a_list(self) -> None:
        settings = {"Cmd": "ls", "Entrypoint": "sh", "Env": None}
        document = {
            "id": "a",
            "docker_version": "1.9.1",
            "config": settings,
            "container_config": {"Cmd": "x y"},
        }
        config = config_of(document)
        assert config["config"] == {"Cmd": ["ls"], "Entrypoint": ["sh"], "Env": None}
        assert config["history"][0]["created_by"] == "x y"

    @pytest.mark.parametrize("created", ["yesterday", 7, "2014-13-01T00:00:00Z", "2014-06-01 00:00:00"])
    def test_invalid_time_is_removed(self, created: object) -> None:
        config = config_of({"id": "a", "docker_version": "1.9.1", "created": created})
        assert "created" not in config
        assert config["history"] == [{"created": "0001-01-01T00:00:00Z"}]

    def test_ENG_005_odd_times_and_values_keep_their_text(self) -> None:
        document = (
            b'{"id": "a", "docker_version": "1.10.0-rc1", "created": "2013-04-30T17:46:10.843673123+03:00", '
            b'"x-unknown": {"b": 1.0, "a": null, "c": 1e400, "d": "\\u00e4\\/"}, '
            b'"config": {"PortSpecs": ["80"], "Memory": 10000000000000000000000}}'
        )
        text = config_from_chain([document], [DIFF_ID]).decode()
        assert '"created":"2013-04-30T17:46:10.843673123+03:00","docker_version"' in text
        assert '"x-unknown":{"b":1.0,"a":null,"c":1e400,"d":"\\u00e4\\/"}}' in text
        assert '"config":{"PortSpecs":["80"],"Memory":10000000000000000000000}' in text

    @pytest.mark.parametrize("name", DOCKERS_OWN)
    def test_image_ids_equal_those_of_docker(self, name: str) -> None:
        """Compare chains of docker 0.9.1 to 1.9.1, and some by hand, with docker 20.10.24."""
        image = DOCKERS_OWN[name]
        documents = [document.encode() for document in image["documents"]]
        assert digest_of(config_from_chain(documents, image["diff_ids"])) == image["image_id"]

    @pytest.mark.parametrize("version", [None, "", "0.6.4", "1.8.2", "1.8.2-rc1", "dev", 9])
    def test_documents_before_1_8_3_keep_only_known_fields(self, version: object) -> None:
        document = {"id": "a", "x-unknown": 1, "config": {"Cmd": ["ls"], "PortSpecs": ["80"], "Tty": 1}}
        config = config_of({**document, "docker_version": version})
        assert "x-unknown" not in config
        assert "PortSpecs" not in config["config"]
        assert (config["config"]["Cmd"], config["config"]["Tty"]) == (["ls"], False)

    @pytest.mark.parametrize("version", ["1.8.3", "1.10.0-rc1", "17.05.0-ce"])
    def test_documents_of_later_engines_keep_all_fields(self, version: str) -> None:
        config = config_of({"id": "a", "x-unknown": 1, "config": {"Tty": 1}, "docker_version": version})
        assert (config["x-unknown"], config["config"]) == (1, {"Tty": 1})

    def test_characters_are_escaped_as_in_go(self) -> None:
        document = '{"id":"a","docker_version":"1.9.1","comment":"<&>\u2028 ä","x":"a > b"}'.encode()
        text = config_from_chain([document], [DIFF_ID]).decode()
        assert '"comment":"\\u003c\\u0026\\u003e\\u2028 ä"' in text
        assert '"x":"a \\u003e b"' in text

    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"[]",
            b'{"a":1} x',
            b'{"a":NaN}',
            b'{"a"}',
            b'{"a":1,}',
            b"{1:2}",
            b'{"a":"\xff"}',
            b'{"a":' + b"[" * 100_000,
        ],
    )
    def test_document_that_is_not_an_object_is_refused(self, document: bytes) -> None:
        with pytest.raises(Unconvertible):
            config_from_chain([document], [DIFF_ID])

    def test_missing_layer_is_refused(self) -> None:
        with pytest.raises(Unconvertible):
            config_from_chain([b'{"id":"a"}', b'{"id":"b"}'], [DIFF_ID])


class TestAConfigBecomesAChain:
    CONFIG = json.dumps(
        {
            "os.version": "1",
            "os": "linux",
            "config": {"Env": None, "Cmd": ["<sh>"]},
            "parent": "sha256:" + "9" * 64,
            "history": [],
            "rootfs": {"type": "layers", "diff_ids": [DIFF_ID, OTHER_DIFF_ID, DIFF_ID]},
            "architecture": "amd64",
            "os.features": [],
        }
    ).encode()

    def test_ENG_008_ids_are_chain_ids_and_the_image_id_on_top(self) -> None:
        chain = chain_from_config(self.CONFIG)
        chain_hex = [chain_id.partition(":")[2] for chain_id in chain_ids([DIFF_ID, OTHER_DIFF_ID, DIFF_ID])]
        top_id = digest_of(self.CONFIG).partition(":")[2]
        assert [image.image_id for image in chain] == [*chain_hex[:2], top_id]
        assert [image.diff_id for image in chain] == [DIFF_ID, OTHER_DIFF_ID, DIFF_ID]
        assert chain[0].json == b'{"id":"%s"}' % chain_hex[0].encode()
        assert chain[1].json == b'{"id":"%s","parent":"%s"}' % (chain_hex[1].encode(), chain_hex[0].encode())
        assert chain[2].json == (
            b'{"architecture":"amd64","config":{"Env":null,"Cmd":["\\u003csh\\u003e"]},'
            b'"id":"%s","os":"linux","parent":"%s"}' % (top_id.encode(), chain_hex[1].encode())
        )

    def test_config_of_one_layer_makes_one_image(self) -> None:
        config = json.dumps({"rootfs": {"diff_ids": [DIFF_ID]}}).encode()
        (image,) = chain_from_config(config)
        assert json.loads(image.json) == {"id": digest_of(config).partition(":")[2]}

    @pytest.mark.parametrize("rootfs", [{"diff_ids": []}, {"diff_ids": None}, {}])
    def test_config_without_layers_gets_an_empty_one(self, rootfs: object) -> None:
        (image,) = chain_from_config(json.dumps({"rootfs": rootfs}).encode())
        assert image.diff_id == EMPTY_TAR_DIFF_ID
        assert EMPTY_TAR_DIFF_ID.startswith("sha256:5f70bf18a086")

    @pytest.mark.parametrize(
        "config",
        [
            b"{}",
            b"[]",
            b"no",
            b'{"rootfs": 1}',
            b'{"rootfs": {"diff_ids": ["x"]}}',
            b'{"rootfs": {"diff_ids": "x"}}',
        ],
    )
    def test_config_without_diff_ids_is_refused(self, config: bytes) -> None:
        with pytest.raises(Unconvertible):
            read_diff_ids(config)


def test_stream_of_zero_bytes_counts_as_an_empty_tar() -> None:
    assert hash_layer(io.BytesIO()).diff_id == EMPTY_TAR_DIFF_ID


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.5Z", 1),
        ("1970-01-01T01:00:01+01:00", 1),
        ("1969-12-31T23:00:00-01:00", 0),
        ("0001-01-01T00:00:00+03:00", None),
        ("2016-12-31T23:59:60Z", None),
        ("1970-01-01T00:00:01", None),
        ("1970-01-01T00:00:01Z\n", None),
    ],
)
def test_times_are_parsed_as_rfc_3339(text: str, expected: int | None) -> None:
    moment = parse_time(text)
    assert (moment and int(moment.timestamp())) == expected


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4))
def test_splitting_and_joining_an_object_keeps_its_value(value: dict[str, Any]) -> None:
    members = rawjson.split_object(json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "replace"))
    cleaned = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    assert json.loads(rawjson.join_sorted(members)) == cleaned
