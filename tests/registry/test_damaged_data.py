"""Keys that a crash or a full disk left empty, cut or missing: no answer is 500, and a push repairs the image
(decisions.md 22).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.accounts_world import READ, REPOSITORIES, WRITE, AccountsWorld, Person, image_of, list_of
from support.backends import People
from support.engine_client import Image
from support.faulty_storage import FaultyStorage
from support.push_requests import end_of

from v1registry import MemoryStorage, Registry
from v1registry.rights import User

ALICE, BOB = User("alice"), User("bob")
BASE = image_of("base")
TOP = image_of("top", BASE)
NAME = "alice/app"

#: What may become of a value. None: the key vanishes.
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "empty": lambda value: b"",
    "cut": lambda value: value[: len(value) // 2],
    "one byte": lambda value: value[:1],
    "zeros": lambda value: b"\0" * len(value),
    "missing": lambda value: None,
}


class Site:
    """A server with a complete repository, and its owner."""

    def __init__(self, is_open: bool) -> None:
        self.storage = MemoryStorage()
        self.is_open = is_open
        self.world = AccountsWorld(People.of(ALICE, BOB), self.storage)
        self.begin_again()
        self.owner.push(NAME, BASE, TOP)

    def begin_again(self) -> None:
        """Start another process over the same storage."""
        if self.is_open:
            app = Registry(storage=self.storage)
            self.owner = self.reader = Person(app, {})
            return
        self.world = AccountsWorld(self.world.people, self.storage)
        self.owner = self.world.person("alice")
        self.reader = self.world.bearer(NAME, READ, None)

    def statuses(self) -> list[int]:
        """Return the statuses of all that a pull may ask."""
        paths = [
            f"{REPOSITORIES}/{NAME}/{what}"
            for what in ("images", "tags", "tags/latest", "json", "properties")
        ]
        paths += ["/v1/search?q=app", f"{REPOSITORIES}/{NAME}/tags/latest/json"]
        paths += [f"/v1/images/{image.image_id}/{what}" for image in (BASE, TOP)
                  for what in ("json", "layer", "ancestry", "files", "diff")]  # fmt: skip
        people = [self.owner, self.reader]
        return [person.get(path).status_int for person in people for path in paths]

    def assert_whole(self) -> None:
        for image in (BASE, TOP):
            path = f"/v1/images/{image.image_id}"
            assert self.reader.get(f"{path}/json").body == image.json
            assert self.reader.get(f"{path}/layer").body == image.layer
        assert self.reader.get(f"/v1/images/{TOP.image_id}/ancestry").json == [TOP.image_id, BASE.image_id]
        assert self.owner.get(f"{REPOSITORIES}/{NAME}/tags").json == {"latest": TOP.image_id}
        listed = self.owner.get(f"{REPOSITORIES}/{NAME}/images").json
        assert {entry["id"] for entry in listed} == {BASE.image_id, TOP.image_id}


def keys_of(is_open: bool) -> list[str]:
    names = {BASE.image_id: "BASE", TOP.image_id: "TOP"}
    keys = [
        stat.key for stat in Site(is_open).storage.list("") if not stat.key.startswith(("accounts/", "_"))
    ]
    for image_id, name in names.items():
        keys = [key.replace(image_id, name) for key in keys]
    return keys


def damage(storage: MemoryStorage, key: str, change: Callable[[bytes], bytes | None]) -> None:
    key = key.replace("BASE", BASE.image_id).replace("TOP", TOP.image_id)
    value = change(storage.read(key)[0])
    if value is None:
        storage.delete(key)
    else:
        storage.write(key, value)


#: Damages that no look at the image finds: only a look at all bytes does.
_UNSEEN = {
    (f"images/{name}/layer", kind) for name in ("BASE", "TOP") for kind in ("cut", "one byte", "zeros")
}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(
    ("is_open", "key"), [(is_open, key) for is_open in (True, False) for key in keys_of(is_open)]
)
def test_damaged_key_is_repaired_by_a_push(is_open: bool, key: str, kind: str) -> None:
    site = Site(is_open)
    damage(site.storage, key, DAMAGES[kind])
    site.begin_again()
    assert max(site.statuses()) < 500
    site.owner.push(NAME, BASE, TOP)
    assert max(site.statuses()) < 500
    if (key, kind) not in _UNSEEN:
        site.assert_whole()


# -- unfinished pushes


def upload_keys(storage: MemoryStorage) -> list[str]:
    return [stat.key for stat in storage.list("uploads/")]


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("is_open", [True, False])
def test_damaged_upload_is_repaired_by_a_push(is_open: bool, number: int, kind: str) -> None:
    site = Site(is_open)
    late = image_of("late", TOP)
    assert site.owner.announce(NAME, late) == 200
    assert [site.owner.put_json(late), site.owner.put_layer(late)] == [200, 200]
    keys = upload_keys(site.storage)
    key = keys[number % len(keys)]
    damage(site.storage, key, DAMAGES[kind])
    site.begin_again()
    assert max(site.statuses()) < 500
    assert site.owner.image(late) in (400, 404)
    assert site.owner.put_checksum(late) < 500
    site.owner.push(NAME, late)
    assert max(site.statuses()) < 500
    if not key.endswith("/layer"):
        assert site.reader.get(f"/v1/images/{late.image_id}/layer").body == late.layer
    assert site.reader.get(f"/v1/images/{late.image_id}/json").body == late.json


# -- images


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def world(storage: MemoryStorage) -> AccountsWorld:
    return AccountsWorld(People.of(ALICE, BOB), storage)


def damaged_key(image: Image, name: str) -> str:
    return f"images/{image.image_id}/{name}"


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b'"x"', b'{"id": "' + b"0" * 64 + b'"}', b"{}", b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "text", "other id", "no id", "deep"],
)
@pytest.mark.parametrize("is_open", [True, False])
def test_image_with_damaged_json_is_absent_until_it_is_pushed(document: bytes, is_open: bool) -> None:
    site = Site(is_open)
    site.storage.write(damaged_key(BASE, "json"), document)
    assert [site.reader.image(BASE, what) for what in ("json", "layer", "ancestry", "files")] == [404] * 4
    assert [site.owner.image(BASE, what) for what in ("json", "layer", "ancestry", "files")] == [404] * 4
    assert [site.owner.put_json(BASE), site.owner.put_layer(BASE), site.owner.put_checksum(BASE)] == [200] * 3
    site.assert_whole()


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("is_empty", [True, False])
def test_image_without_its_layer_is_absent_until_it_is_pushed(is_open: bool, is_empty: bool) -> None:
    site = Site(is_open)
    damage(site.storage, damaged_key(BASE, "layer"), DAMAGES["empty" if is_empty else "missing"])
    assert [site.reader.image(BASE, what) for what in ("json", "layer", "ancestry")] == [404] * 3
    assert [site.owner.put_json(BASE), site.owner.put_layer(BASE), site.owner.put_checksum(BASE)] == [200] * 3
    site.assert_whole()


def test_empty_layer_that_its_sum_fits_is_whole(world: AccountsWorld) -> None:
    alice, image = world.person("alice"), Image(BASE.image_id, BASE.json, b"")
    alice.push(NAME, image)
    assert [alice.image(image), alice.image(image, "layer")] == [200, 200]


def test_push_of_the_same_bytes_repairs_the_image_for_all_holders(
    world: AccountsWorld, storage: MemoryStorage
) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push(NAME, BASE)
    bob.push("bob/app", BASE)
    damage(storage, damaged_key(BASE, "json"), DAMAGES["cut"])
    bob.push("bob/app", BASE)
    reader = world.bearer(NAME, READ, None)
    assert reader.get(f"/v1/images/{BASE.image_id}/json").body == BASE.json
    assert reader.get(f"/v1/images/{BASE.image_id}/layer").body == BASE.layer


def test_push_of_other_bytes_repairs_the_image_for_its_repository_alone(
    world: AccountsWorld, storage: MemoryStorage
) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push(NAME, BASE)
    bob.push("bob/app", BASE)
    damage(storage, damaged_key(BASE, "layer"), DAMAGES["missing"])
    other = Image(BASE.image_id, BASE.json, TOP.layer)
    bob.push("bob/app", other)
    assert world.bearer("bob/app", READ, None).get(f"/v1/images/{BASE.image_id}/layer").body == other.layer
    assert world.bearer(NAME, READ, None).image(BASE) == 404
    alice.push(NAME, BASE)
    assert world.bearer(NAME, READ, None).get(f"/v1/images/{BASE.image_id}/layer").body == BASE.layer
    assert world.bearer("bob/app", READ, None).get(f"/v1/images/{BASE.image_id}/layer").body == other.layer


@pytest.mark.parametrize(
    ("name", "kind"), [("json", "cut"), ("json", "missing"), ("layer", "missing"), ("layer", "empty")]
)
def test_damaged_second_content_is_repaired(
    world: AccountsWorld, storage: MemoryStorage, name: str, kind: str
) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push(NAME, BASE)
    other = Image(BASE.image_id, BASE.json, TOP.layer)
    bob.push("bob/app", other)
    (variant,) = storage.list_folders(f"images/{BASE.image_id}/_contents")
    damage(storage, f"images/BASE/_contents/{variant}/{name}", DAMAGES[kind])
    reader = world.bearer("bob/app", READ, None)
    assert reader.image(BASE) == 404
    assert alice.image(BASE) == 200
    bob.push("bob/app", other)
    assert reader.get(f"/v1/images/{BASE.image_id}/json").body == other.json
    assert reader.get(f"/v1/images/{BASE.image_id}/layer").body == other.layer
    assert list(storage.list_folders(f"images/{BASE.image_id}/_contents")) == [variant]


def test_damaged_image_is_not_lent_and_does_not_look_present(
    world: AccountsWorld, storage: MemoryStorage
) -> None:
    alice = world.person("alice")
    alice.push(NAME, BASE)
    damage(storage, damaged_key(BASE, "layer"), DAMAGES["missing"])
    token = alice.wanted_token("PUT", f"{REPOSITORIES}/alice/two/", list_of(BASE))
    pusher = Person(world.app, {"Authorization": f"Token {token}"})
    assert pusher.image(BASE) == 404
    assert pusher.tag("alice/two", BASE) == 404
    assert [pusher.put_json(BASE), pusher.put_layer(BASE), pusher.put_checksum(BASE)] == [200] * 3
    assert pusher.tag("alice/two", BASE) == 200


def test_holder_with_a_whole_content_is_read_in_place_of_a_damaged_one(
    world: AccountsWorld, storage: MemoryStorage
) -> None:
    world.person("alice").push(NAME, BASE)
    other = Image(BASE.image_id, BASE.json, TOP.layer)
    world.person("bob").push("bob/app", other)
    damage(storage, damaged_key(BASE, "json"), DAMAGES["empty"])
    assert world.nobody().get(f"/v1/images/{BASE.image_id}/layer").body == other.layer


def test_interrupted_repair_is_finished_by_the_next_push() -> None:
    storage = FaultyStorage()
    world = AccountsWorld(People.of(ALICE, BOB), storage)
    alice = world.person("alice")
    alice.push(NAME, BASE)
    folder = f"images/{BASE.image_id}"
    storage.write(f"{folder}/json", b"")
    storage.delete(f"{folder}/layer")
    storage.fail("write", key=f"{folder}/json")
    assert [alice.put_json(BASE), alice.put_layer(BASE), alice.put_checksum(BASE)] == [200, 200, 503]
    storage.heal()
    assert alice.image(BASE) == 400  # the push has not ended
    alice.push(NAME, BASE)
    assert alice.get(f"/v1/{folder}/layer").body == BASE.layer


def test_old_damaged_image_is_repaired_by_a_push(world: AccountsWorld, storage: MemoryStorage) -> None:
    """Below accounts, a repository of an old folder has a tag on it, and no mark."""
    storage.write(damaged_key(BASE, "json"), BASE.json[:20])
    storage.write(damaged_key(BASE, "layer"), BASE.layer)
    storage.write(damaged_key(BASE, "_checksum"), json.dumps([BASE.payload_checksum]).encode())
    storage.write(f"repositories/{NAME}/tag_latest", BASE.image_id.encode())
    assert world.bearer(NAME, READ, None).image(BASE) == 404
    world.person("alice").push(NAME, BASE)
    assert world.bearer(NAME, READ, None).image(BASE, "layer") == 200


# -- repositories


@pytest.mark.parametrize("kind", ["empty", "cut", "zeros"])
@pytest.mark.parametrize("is_open", [True, False])
def test_damaged_image_list_is_answered_from_the_tags(is_open: bool, kind: str) -> None:
    site = Site(is_open)
    damage(site.storage, f"repositories/{NAME}/_index_images", DAMAGES[kind])
    for person in (site.owner, site.reader):
        answer = person.get(f"{REPOSITORIES}/{NAME}/images")
        assert (answer.status_int, answer.json) == (200, [{"id": TOP.image_id}, {"id": BASE.image_id}])
    other = image_of("other")
    site.owner.push(NAME, other, tag="other")
    listed = {entry["id"] for entry in site.owner.get(f"{REPOSITORIES}/{NAME}/images").json}
    assert listed == {image.image_id for image in (BASE, TOP, other)}
    assert json.loads(site.storage.read(f"repositories/{NAME}/_index_images")[0])


def test_end_of_a_push_repairs_a_damaged_image_list(world: AccountsWorld, storage: MemoryStorage) -> None:
    alice = world.person("alice")
    alice.push(NAME, BASE, TOP)
    storage.write(f"repositories/{NAME}/_index_images", b"")
    assert alice.send(end_of(NAME)).status_int == 204
    listed = json.loads(storage.read(f"repositories/{NAME}/_index_images")[0])
    assert [entry["id"] for entry in listed] == [TOP.image_id, BASE.image_id]


@pytest.mark.parametrize("tag", ["1", "1_json"])
@pytest.mark.parametrize("value", [b"", BASE.image_id.encode()[:20]])
def test_damaged_immutable_tag_can_be_set_again(
    world: AccountsWorld, storage: MemoryStorage, value: bytes, tag: str
) -> None:
    alice = world.person("alice")
    alice.push(NAME, BASE, tag=tag)
    storage.write(f"repositories/{NAME}/_tag_rule", b"immutable")
    storage.write(f"repositories/{NAME}/tag_{tag}", value)
    assert alice.get(f"{REPOSITORIES}/{NAME}/tags/{tag}").status_int == 404
    assert alice.tag(NAME, BASE, tag) == 200
    assert alice.tag(NAME, image_of("other"), tag) != 200
    assert alice.get(f"{REPOSITORIES}/{NAME}/tags/{tag}").json == BASE.image_id


# -- marks


@pytest.mark.parametrize(
    "value", [b"{", b"x", b"[]", b"\0\0", b'{"variant": ""}', b'{"variant": "", "incarnation": ""}']
)
def test_cut_mark_is_no_mark_of_an_earlier_version(
    world: AccountsWorld, storage: MemoryStorage, value: bytes
) -> None:
    """Else a repository of old data would hold the first content, which may be another repository's."""
    storage.write(f"repositories/{NAME}/_incarnation", b"0123456789abcdef adopted")
    storage.write(f"repositories/{NAME}/_private", b"")
    bob = world.person("bob")
    bob.push("bob/app", BASE)
    bob.make_private("bob/app")
    mark = f"images/{BASE.image_id}/_held_by/{NAME}"
    storage.write(mark, value)
    reader = world.bearer(NAME, READ, ALICE)
    assert reader.image(BASE) == 404
    other = Image(BASE.image_id, BASE.json, TOP.layer)
    world.person("alice").push(NAME, other)
    assert reader.get(f"/v1/images/{BASE.image_id}/layer").body == other.layer


@pytest.mark.parametrize("kind", DAMAGES)
def test_lost_incarnation_gives_no_content_of_others(
    world: AccountsWorld, storage: MemoryStorage, kind: str
) -> None:
    """The repository has a tag on other bytes of an id whose first content is private."""
    alice, bob = world.person("alice"), world.person("bob")
    bob.push("bob/app", BASE)
    bob.make_private("bob/app")
    other = Image(BASE.image_id, BASE.json, TOP.layer)
    alice.push(NAME, other)
    damage(storage, f"repositories/{NAME}/_incarnation", DAMAGES[kind])
    for access in (READ, WRITE):
        assert world.bearer(NAME, access, ALICE).image(BASE, "layer") == 404
    alice.push(NAME, other)
    assert world.bearer(NAME, READ, ALICE).get(f"/v1/images/{BASE.image_id}/layer").body == other.layer


@pytest.mark.parametrize("query", ["", f"?repository={NAME}"])
def test_page_of_a_damaged_image_is_not_found(
    world: AccountsWorld, storage: MemoryStorage, query: str
) -> None:
    world.person("alice").push(NAME, BASE)
    page = f"/images/{BASE.image_id}{query}"
    assert world.nobody().get(page, {"Accept": "text/html"}).status_int == 200
    storage.write(damaged_key(BASE, "json"), b"{")
    assert world.nobody().get(page, {"Accept": "text/html"}).status_int == 404
    assert world.person("alice").get(page, {"Accept": "text/html"}).status_int == 404
