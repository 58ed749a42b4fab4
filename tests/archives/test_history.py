"""The history of an image in the JSON of its v1 images, and the comparison of such JSONs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.archive_builder import DIFF_IDS, EXPECTED_IDS, LAYERS, Archive, Load

from v1registry.archives.convert import chain_from_config, config_from_chain
from v1registry.archives.history import is_same_image, with_history

HISTORY: list[dict[str, Any]] = [
    {"created": "2020-01-01T00:00:00.5Z", "created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created": "2020-01-01T00:00:01Z", "created_by": "ENV A=b", "empty_layer": True},
    {
        "created": "2020-01-01T00:00:02+01:00",
        "author": "Mira <m@x>",
        "created_by": 'RUN /bin/sh -c echo "é" && true # buildkit',
        "comment": "buildkit.dockerfile.v0",
    },
    {"created": "2020-01-01T00:00:03Z", "created_by": "COPY app /srv # buildkit"},
    {"created": "2020-01-01T00:00:04Z", "created_by": 'CMD ["sh"]', "empty_layer": True},
]


def config_with(history: object, **more: object) -> bytes:
    return json.dumps({"os": "linux", "rootfs": {"diff_ids": DIFF_IDS}, "history": history, **more}).encode()


def described(config: bytes) -> list[dict[str, Any]]:
    return [json.loads(document.json) for document in with_history(chain_from_config(config), config)]


def test_each_image_gets_the_description_of_its_layer() -> None:
    first, second, third = described(config_with(HISTORY))
    assert first == {
        "id": EXPECTED_IDS[0],
        "created": "2020-01-01T00:00:00.5Z",
        "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD file:1 in / "]},
    }
    assert second == {
        "id": EXPECTED_IDS[1],
        "parent": EXPECTED_IDS[0],
        "created": "2020-01-01T00:00:02+01:00",
        "author": "Mira <m@x>",
        "comment": "buildkit.dockerfile.v0",
        "container_config": {"Cmd": ['RUN /bin/sh -c echo "é" && true # buildkit']},
    }
    assert third["container_config"] == {"Cmd": ["COPY app /srv # buildkit"]}
    assert third["created"] == "2020-01-01T00:00:03Z"
    assert third["os"] == "linux"


def test_ids_are_those_of_an_engine() -> None:
    config = config_with(HISTORY)
    plain = chain_from_config(config)
    full = with_history(plain, config)
    assert [document.image_id for document in full] == [document.image_id for document in plain]
    assert [document.diff_id for document in full] == DIFF_IDS


def test_document_has_sorted_keys_and_no_blanks_between_them() -> None:
    config = config_with([{"created_by": "a > b", "author": "x"}, {}, {}])
    document = with_history(chain_from_config(config), config)[0]
    assert document.json == (
        b'{"author":"x","container_config":{"Cmd":["a \\u003e b"]},"id":"%s"}' % EXPECTED_IDS[0].encode()
    )


def test_members_of_the_config_stay() -> None:
    own = {"created": "2021-01-01T00:00:00Z", "author": "A", "comment": "C"}
    top = described(config_with(HISTORY, **own))[-1]
    assert {key: top[key] for key in own} == own


def test_command_of_the_layer_replaces_that_of_the_config() -> None:
    settings = {"Hostname": "h", "Cmd": ["/bin/sh", "-c", '#(nop) CMD ["sh"]'], "Env": None}
    top = described(config_with(HISTORY, container_config=settings))[-1]
    assert top["container_config"] == {"Hostname": "h", "Cmd": ["COPY app /srv # buildkit"], "Env": None}


@pytest.mark.parametrize("settings", [None, "x", []])
def test_container_config_of_another_type_is_replaced(settings: object) -> None:
    top = described(config_with(HISTORY, container_config=settings))[-1]
    assert top["container_config"] == {"Cmd": ["COPY app /srv # buildkit"]}


def test_container_config_stays_without_a_command_in_the_history() -> None:
    top = described(config_with([{}, {}, {"comment": "imported"}], container_config={"Cmd": ["own"]}))[-1]
    assert top["container_config"] == {"Cmd": ["own"]}


def test_history_survives_the_way_back() -> None:
    config = config_with(HISTORY)
    documents = with_history(chain_from_config(config), config)
    back = json.loads(config_from_chain([document.json for document in documents], DIFF_IDS))
    assert back["history"] == [
        {key: entry[key] for key in ("created", "author", "created_by", "comment") if key in entry}
        for entry in HISTORY
        if not entry.get("empty_layer")
    ]


@pytest.mark.parametrize(
    "history",
    [
        None,
        {},
        "x",
        [],
        HISTORY[:3],
        [*HISTORY, {}],
        [1, 2, 3],
        [{"created": 1, "author": None, "created_by": ["x"], "comment": ""}] * 3,
        [{"created": "yesterday"}] * 3,
    ],
)
def test_history_that_cannot_be_assigned_adds_nothing(history: object) -> None:
    config = config_with(history)
    plain = chain_from_config(config)
    assert with_history(plain, config) == plain


def test_archive_of_todays_engines_is_read_with_its_history(load: Load) -> None:
    archive = Archive().file("c.json", config_with(HISTORY))
    for number, layer in enumerate(LAYERS):
        archive.file(f"{number}.tar", layer)
    entry = {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["0.tar", "1.tar", "2.tar"]}
    ((chain, _),) = load(archive.file("manifest.json", [entry]))
    assert json.loads(chain.images[0].json)["created"] == "2020-01-01T00:00:00.5Z"


BARE: dict[str, Any] = {"id": "a", "parent": "b"}
TOP: dict[str, Any] = {"id": "a", "parent": "b", "os": "linux", "created": "x"}


class TestComparison:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            (BARE, BARE),
            (BARE, {"parent": "b", "id": "a"}),
            (
                BARE,
                BARE | {"created": "x", "author": "y", "comment": "z", "container_config": {"Cmd": ["a"]}},
            ),
            (BARE | {"created": "x"}, BARE | {"created": "y", "author": "z"}),
            (TOP, TOP | {"container_config": {"Cmd": ["a"]}, "author": "z"}),
            (TOP | {"container_config": {}}, TOP | {"container_config": {"Cmd": ["a"]}}),
        ],
    )
    def test_lost_descriptions_make_no_difference(self, left: object, right: object) -> None:
        one, two = json.dumps(left).encode(), json.dumps(right, indent=1).encode()
        assert is_same_image(one, two)
        assert is_same_image(two, one)

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            (BARE, BARE | {"parent": "c"}),
            (BARE, {"id": "a"}),
            (BARE, BARE | {"config": {"Cmd": ["evil"]}}),
            (BARE | {"created": "x"}, TOP),
            (TOP, TOP | {"os": "plan9"}),
            (TOP, TOP | {"created": "y"}),
            (TOP, TOP | {"config": {"Cmd": ["evil"]}}),
        ],
    )
    def test_everything_else_is_a_difference(self, left: object, right: object) -> None:
        one, two = json.dumps(left).encode(), json.dumps(right).encode()
        assert not is_same_image(one, two)
        assert not is_same_image(two, one)
