"""An image in each state of a push, and the answers to its requests."""

from __future__ import annotations

import json
from collections.abc import Callable

from webtest import TestResponse

from support.engine_client import Image, make_image, tar_layer
from support.wsgi_client import Client, error_of
from v1registry import Storage

LAYER = tar_layer({"./etc/motd": b"hello\n"})
IMAGE = make_image(LAYER, name="push")
ID = IMAGE.image_id

#: The same id with another layer, and with other JSON.
OTHER_LAYER = Image(ID, IMAGE.json, tar_layer({"./etc/motd": b"other\n"}))
OTHER_JSON = Image(ID, json.dumps({"id": ID, "comment": "other"}).encode(), LAYER)

IN_PROGRESS = (400, "Image is being uploaded, retry later")
NOT_FOUND = (404, "Image not found")
EXISTS = (409, "Image already exists")
REFUSED = (409, "Cannot set this image checksum")
MISSING = (400, "Image's layer is missing")
MISMATCH = (400, "Checksum mismatch")
DONE = (200, True)

READINGS = ("json", "layer", "ancestry", "files", "diff")


def absent(client: Client) -> None:
    """S0: nothing is known of the image."""


def announced(client: Client) -> None:
    assert client.put_json(IMAGE).status_int == 200


def uploaded(client: Client) -> None:
    announced(client)
    assert client.put_layer(IMAGE).status_int == 200


def complete(client: Client) -> None:
    client.push(IMAGE)


def mirrored(client: Client) -> None:
    """S4: a mirror has the JSON, and not yet the layer."""
    storage: Storage = client.app.storage
    storage.write(f"images/{ID}/json", IMAGE.json)
    storage.write(f"images/{ID}/ancestry", json.dumps([ID]).encode())


STATES: list[Callable[[Client], None]] = [absent, announced, uploaded, complete, mirrored]


def told(answer: TestResponse) -> tuple[int, object]:
    """Return the status with the text of the error, or with the JSON of what is none."""
    if answer.status_int >= 400:
        return error_of(answer)
    return answer.status_int, answer.json
