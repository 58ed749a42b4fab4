"""engine-formats.md 2: the JSON of an image is stored byte for byte, whatever its contents are."""

from __future__ import annotations

import json

import pytest
from support.engine_client import Image, tar_layer
from support.wsgi_client import Client

#: Short, and pushes and pulls most that clients do: it runs over an object store each time.
pytestmark = pytest.mark.parametrize("storage", ["memory", "file", "objects"], indirect=True)

LAYER = tar_layer({"./etc/motd": b"hello\n"})
PARENT_ID, ID = "1" * 64, "2" * 64
PARENT = Image(PARENT_ID, f'{{"id":"{PARENT_ID}"}}'.encode(), LAYER)


def served(client: Client, document: bytes) -> bytes:
    """Push a parent and an image of this JSON on it; return the JSON that is served."""
    client.push(PARENT)
    client.push(Image(ID, document, LAYER))
    return client.get(f"/v1/images/{ID}/json").body


@pytest.mark.parametrize(
    "document",
    [
        f'{{"id":"{ID}"}}',
        f'{{"id":"{ID}","parent":"{PARENT_ID}"}}',
        # as no writer of JSON would give it back: order, blanks, a final newline, escapes
        f' {{ "parent" : "{PARENT_ID}",\n\t"id": "\\u0032{ID[1:]}" }} \n',
    ],
)
def test_ENG_004_minimal_json_is_served_byte_for_byte(client: Client, document: str) -> None:
    assert served(client, document.encode()) == document.encode()
    has_parent = "parent" in json.loads(document)
    assert client.get(f"/v1/images/{ID}/ancestry").json == ([ID, PARENT_ID] if has_parent else [ID])


@pytest.mark.parametrize(
    "member",
    [
        '"unknown":{"of":["later",1.10,-0,1e3]}',
        '"parent":null,"config":null,"container_config":{"Cmd":null}',
        '"config":{"PortSpecs":["80","127.0.0.1::443"],"Memory":12345678901234567890}',
        '"created":"2013-06-14T12:03:34.123456789-07:00"',
        '"created":"2014-02-30T25:61:00.1Z"',
        '"author":"Jérôme \\ud83d\\ude00 \\u0000","comment":"a","comment":"b"',
    ],
)
def test_ENG_005_unusual_json_is_served_byte_for_byte(client: Client, member: str) -> None:
    document = f'{{"id":"{ID}",{member}}}'.encode()
    assert served(client, document) == document
