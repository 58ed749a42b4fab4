"""The requests of one push in any order, against the table of registry.md 5 as a model.

Uploads are begun by one step and ended or cut off by a later one, so other steps happen during a body.
After each step all images are read. A complete one keeps the bytes with which it became complete, and they
match its checksum. Nothing of an unfinished one is shown.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from support.engine_client import tar_layer
from support.wsgi_client import PAYLOAD_HEADER, TARSUM_HEADER, Answer, Client, call
from webtest import TestResponse

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.layers.tarsum import tarsum

ROOT, MIDDLE, TOP = IDS = ("a" * 64, "b" * 64, "c" * 64)

#: What each id may be announced with: a root, another root, a child.
DOCUMENTS = {
    image_id: [
        json.dumps({"id": image_id}).encode(),
        json.dumps({"id": image_id, "comment": "other bytes"}).encode(),
        *([json.dumps({"id": image_id, "parent": parent}).encode()] if parent else []),
    ]
    for image_id, parent in ((ROOT, ""), (MIDDLE, ROOT), (TOP, MIDDLE))
}
LAYERS = [tar_layer({"./a": b"first"}), tar_layer({"./a": b"second"}), b"no archive"]
#: All requests are those of one push: a token is one client's own.
OWN_KEY = "Token signature=one"

REPOSITORY, TAGS = "foo/bar", ("latest", "v1")

ids = st.sampled_from(IDS)
layers = st.sampled_from(LAYERS)
documents = st.integers(0, 2)


def payload_sum(document: bytes, layer: bytes) -> str:
    return "sha256:" + hashlib.sha256(document + b"\n" + layer).hexdigest()


def tarsum_of(document: bytes, layer: bytes) -> str | None:
    """Return the TarSum of a layer, None where it has none."""
    return None if layer == b"no archive" else tarsum(io.BytesIO(layer), prefix=document)


@dataclass
class Model:
    """One image as the table has it."""

    image_id: str
    document: bytes | None = None
    is_marked: bool = False
    layer: bytes | None = None
    sums: list[str] = field(default_factory=list)
    ancestry: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return self.document is not None and not self.is_marked

    def judge_repetition(self, layer: bytes) -> tuple[int, object]:
        assert self.document is not None
        if payload_sum(self.document, layer) in self.sums:
            return 200, True
        return 409, "Image already exists"


class Upload:
    """A layer on its way, in a thread of its own that waits in the middle of the body."""

    def __init__(self, app: Registry, model: Model, layer: bytes):
        self.image_id = model.image_id
        self.layer = layer
        self.document = model.document  #: as it was announced when the upload began
        self.was_complete = model.is_complete
        self._is_cut = False
        self._half_way, self._go_on = Event(), Event()
        self._answers: list[TestResponse] = []
        self._thread = Thread(target=self._send, args=(Client(app, HTTP_AUTHORIZATION=OWN_KEY),))
        self._thread.start()
        assert self._half_way.wait(30), "the application does not read the body"

    def _send(self, client: Client) -> None:
        self._answers.append(client.put_pieces(f"/v1/images/{self.image_id}/layer", self._pieces()))

    def _pieces(self) -> Iterator[bytes]:
        yield self.layer[:5]
        self._half_way.set()
        assert self._go_on.wait(30)
        if self._is_cut:
            raise OSError("the client went away")
        yield self.layer[5:]

    def end(self, *, is_cut: bool) -> TestResponse:
        self._is_cut = is_cut
        self._go_on.set()
        self._thread.join(30)
        return self._answers[0]


class PushMachine(RuleBasedStateMachine):
    """:meth:`make_storage` says over which storage."""

    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self.app = Registry(storage=self.make_storage())
        self.client = Client(self.app, HTTP_AUTHORIZATION=OWN_KEY)
        self.images = {image_id: Model(image_id) for image_id in IDS}
        self.tags: dict[str, str] = {}
        self.is_announced = False
        self.running: list[Upload] = []
        self.completed: dict[str, tuple[bytes, bytes]] = {}

    def make_storage(self) -> Storage:
        return MemoryStorage()

    def teardown(self) -> None:
        for upload in self.running:
            upload.end(is_cut=True)

    def check(self, answer: TestResponse, expected: tuple[int, object]) -> None:
        told = answer.json["error"] if answer.status_int >= 400 else answer.json
        assert (answer.status_int, told) == expected

    # -- pushing

    @rule(image_id=ids, number=documents)
    def put_json(self, image_id: str, number: int) -> None:
        model = self.images[image_id]
        document = DOCUMENTS[image_id][number % len(DOCUMENTS[image_id])]
        parent = json.loads(document).get("parent")
        answer = self.client.put(f"/v1/images/{image_id}/json", document)
        if parent and self.images[parent].document is None:
            self.check(answer, (400, "Image depends on a non existing parent"))
        elif model.is_complete:
            self.check(answer, (409, "Image already exists"))
        else:
            self.check(answer, (200, True))
            if model.document != document:
                model.document, model.is_marked, model.sums = document, True, []
                model.ancestry = [image_id, *(self.images[parent].ancestry if parent else [])]

    @rule(image_id=ids, layer=layers)
    def put_layer(self, image_id: str, layer: bytes) -> None:
        upload = self.begin(image_id, layer)
        self.end(upload, is_cut=False)

    @rule(target=uploads, image_id=ids, layer=layers)
    def begin_upload(self, image_id: str, layer: bytes) -> Upload:
        return self.begin(image_id, layer)

    @rule(upload=consumes(uploads))
    def end_upload(self, upload: Upload) -> None:
        self.end(upload, is_cut=False)

    @rule(upload=consumes(uploads))
    def cut_upload(self, upload: Upload) -> None:
        self.end(upload, is_cut=True)

    def begin(self, image_id: str, layer: bytes) -> Upload:
        upload = Upload(self.app, self.images[image_id], layer)
        self.running.append(upload)
        return upload

    def end(self, upload: Upload, *, is_cut: bool) -> None:
        self.running.remove(upload)
        answer = upload.end(is_cut=is_cut)
        model = self.images[upload.image_id]
        if upload.document is None:
            self.check(answer, (404, "Image not found"))
        elif is_cut:
            self.check(answer, (400, "The body ended before it was complete"))
        elif upload.was_complete or (model.is_complete and model.document == upload.document):
            self.check(answer, model.judge_repetition(upload.layer))
        elif model.is_complete:
            self.check(answer, (409, "Image already exists"))
        elif model.document != upload.document:
            self.check(answer, (409, "Image was announced anew during the upload, push it again"))
        else:
            self.check(answer, (200, True))
            model.layer = upload.layer
            model.sums = [payload_sum(upload.document, upload.layer)]

    @rule(image_id=ids, layer=layers, number=documents, kind=st.sampled_from(["payload", "tarsum", "wrong"]))
    def put_checksum(self, image_id: str, layer: bytes, number: int, kind: str) -> None:
        document = DOCUMENTS[image_id][number % len(DOCUMENTS[image_id])]
        announced = {
            "payload": payload_sum(document, layer),
            "tarsum": tarsum_of(document, layer) or "tarsum+sha256:none",
            "wrong": "sha256:" + "0" * 64,
        }[kind]
        self.announce_sum(
            self.images[image_id], TARSUM_HEADER if kind == "tarsum" else PAYLOAD_HEADER, announced
        )

    @rule(image_id=ids, is_tarsum=st.booleans())
    def put_the_right_checksum(self, image_id: str, is_tarsum: bool) -> None:
        model = self.images[image_id]
        if model.document is None or model.layer is None:
            return
        right = payload_sum(model.document, model.layer)
        tarsum_text = tarsum_of(model.document, model.layer) if is_tarsum else None
        if tarsum_text is not None:
            self.announce_sum(model, TARSUM_HEADER, tarsum_text)
        else:
            self.announce_sum(model, PAYLOAD_HEADER, right)

    def announce_sum(self, model: Model, header: str, announced: str) -> None:
        answer = self.client.put(f"/v1/images/{model.image_id}/checksum", headers={header: announced})
        if model.document is None:
            self.check(answer, (404, "Image not found"))
        elif model.is_complete:
            is_stored = announced in model.sums
            self.check(answer, (200, True) if is_stored else (409, "Cannot set this image checksum"))
        elif model.layer is None or not model.sums:
            self.check(answer, (400, "Image's layer is missing"))
        elif announced in model.sums or announced == tarsum_of(model.document, model.layer):
            self.check(answer, (200, True))
            model.is_marked = False
            model.sums += [announced] if announced not in model.sums else []
            parent = json.loads(model.document).get("parent")
            model.ancestry = [model.image_id, *(self.images[parent].ancestry if parent else [])]
            self.completed[model.image_id] = (model.document, model.layer)
        else:
            self.check(answer, (400, "Checksum mismatch"))

    @rule(image_id=ids, number=documents, layer=layers, steps=st.integers(1, 3))
    def push_on(self, image_id: str, number: int, layer: bytes, steps: int) -> None:
        """Do what an engine would do next, so that images become complete often."""
        model = self.images[image_id]
        for _ in range(steps):
            if model.document is None:
                self.put_json(image_id=image_id, number=number)
            elif not model.sums:
                self.put_layer(image_id=image_id, layer=layer)
            else:
                self.put_the_right_checksum(image_id=image_id, is_tarsum=number == 0)

    # -- repositories

    @rule(image_id=ids, tag=st.sampled_from(TAGS))
    def put_tag(self, image_id: str, tag: str) -> None:
        answer = self.client.put(f"/v1/repositories/{REPOSITORY}/tags/{tag}", f'"{image_id}"')
        if not self.images[image_id].is_complete:
            self.check(answer, (404, "Image not found"))
        else:
            self.check(answer, (200, True))
            self.tags[tag] = image_id

    @rule(tag=st.sampled_from(TAGS))
    def delete_tag(self, tag: str) -> None:
        answer = self.client.delete(f"/v1/repositories/{REPOSITORY}/tags/{tag}")
        is_there = self.tags.pop(tag, None) is not None
        self.check(answer, (200, True) if is_there else (404, f"Tag not found: {tag}"))

    @rule()
    def announce_repository(self) -> None:
        self.check(self.client.put(f"/v1/repositories/{REPOSITORY}/", "[]"), (200, ""))
        self.is_announced = True

    @precondition(lambda self: self.is_announced or self.tags)
    @rule()
    def delete_repository(self) -> None:
        self.check(self.client.delete(f"/v1/repositories/{REPOSITORY}/"), (200, True))
        self.tags.clear()
        self.is_announced = False

    # -- what is seen

    def read(self, path: str) -> tuple[Answer, object]:
        """Return an answer, and its JSON or the text of its error."""
        answer = call(self.app, "GET", path)
        is_json = answer.header("Content-Type") == "application/json"
        told = json.loads(answer.body) if is_json else None
        return answer, told["error"] if answer.status >= 400 else told

    @invariant()
    def every_image_is_seen_as_the_table_says(self) -> None:
        for model in self.images.values():
            unseen = None
            if model.document is None:
                unseen = (404, "Image not found")
            elif model.is_marked:
                unseen = (400, "Image is being uploaded, retry later")
            for what in ("json", "layer", "ancestry", "files"):
                answer, told = self.read(f"/v1/images/{model.image_id}/{what}")
                if unseen is not None:
                    assert (answer.status, told) == unseen
                else:
                    self.check_reading(model, what, answer, told)

    def check_reading(self, model: Model, what: str, answer: Answer, told: object) -> None:
        document, layer = self.completed[model.image_id]
        if what == "json":
            assert answer.body == document
            assert answer.header("X-Docker-Checksum-Payload") == payload_sum(document, layer)
            assert answer.header("X-Docker-Size") == str(len(layer))
        elif what == "layer":
            assert answer.body == layer
        elif what == "ancestry":
            assert told == model.ancestry
        else:
            assert answer.status == (400 if layer == b"no archive" else 200)

    @invariant()
    def tags_are_as_set(self) -> None:
        answer, told = self.read(f"/v1/repositories/{REPOSITORY}/tags")
        if self.tags or self.is_announced:
            assert (answer.status, told) == (200, self.tags)
        else:
            assert (answer.status, told) == (404, "Repository not found")


class FilePushMachine(PushMachine):
    """Over a folder."""

    def make_storage(self) -> Storage:
        self.folder = tempfile.mkdtemp()
        return FileStorage(self.folder, durable=False)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


#: Machines that test are busy: how long a step takes there says nothing.
PATIENTLY: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

TestPushesOverMemory = PushMachine.TestCase
TestPushesOverMemory.settings = settings(max_examples=60, stateful_step_count=30, **PATIENTLY)
TestPushesOverFiles = FilePushMachine.TestCase
TestPushesOverFiles.settings = settings(max_examples=25, stateful_step_count=30, **PATIENTLY)


@pytest.mark.parametrize("late", LAYERS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_of_a_replaced_json_removes_no_other_layer(late: bytes, layer: bytes) -> None:
    machine = PushMachine()
    machine.put_json(image_id=ROOT, number=0)
    upload = machine.begin(ROOT, late)
    machine.put_json(image_id=ROOT, number=1)
    machine.put_layer(image_id=ROOT, layer=layer)
    machine.end(upload, is_cut=False)
    machine.put_the_right_checksum(image_id=ROOT, is_tarsum=False)
    machine.every_image_is_seen_as_the_table_says()
    assert machine.images[ROOT].is_complete
