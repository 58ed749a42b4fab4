"""The v1 view of images of the distribution API: holders, bounds, interruptions, hostile manifests."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.accounts_world import AccountsWorld, People
from support.faulty_storage import FaultyStorage
from support.pushed_views import CONFIG, INDEX, LAYER, OCI, Pushed, sha256, tar_of

from v1registry import FileStorage, MemoryStorage
from v1registry.archives.convert import chain_from_config
from v1registry.names import RepositoryName
from v1registry.rights import User
from v1registry.storage.base import Storage, StorageFull

#: More than the calls that change the storage while a view is made.
MOST_CALLS = 100

CHANGES = ("write", "delete", "delete_tree", "publish", "link")


class Died(BaseException):
    """The process is gone."""


def pushed_by(user: str, storage: Storage, **settings: Any) -> Pushed:
    """Return the repository of a user on a server with accounts, or of an open server for no user."""
    if not user:
        return Pushed(storage, **settings)
    world = AccountsWorld(People.of(User("alice"), User("bob")), storage, v2="on", **settings)
    return Pushed(storage, app=world.app, user=user, repository=RepositoryName(user, "app"))


def store_different(pushed: Pushed, image_id: str) -> None:
    """Store an image with a different layer under an id."""
    document = json.dumps({"id": image_id}).encode()
    for name, value in (
        ("json", document),
        ("layer", b"other"),
        ("ancestry", json.dumps([image_id]).encode()),
        ("_checksum", json.dumps([sha256(document + b"\nother")]).encode()),
    ):
        pushed.storage.write(f"images/{image_id}/{name}", value)


# -- holders


def test_DST_023_different_contents_of_an_id_lie_side_by_side() -> None:
    storage = MemoryStorage()
    bob, alice = pushed_by("bob", storage), pushed_by("alice", storage)
    tar = tar_of("a")
    views = {}
    for pushed, level in ((bob, 1), (alice, 9)):
        # equal diff ids and configs give equal ids, and the layers differ
        layer = gzip.compress(tar, compresslevel=level, mtime=0)
        views[pushed] = pushed.view(pushed.manifest([layer], [sha256(tar)])), layer
    (of_bob, _), (of_alice, _) = views[bob], views[alice]
    assert of_bob == of_alice is not None
    for pushed, (view, layer) in views.items():
        assert view is not None
        content = pushed.rights.content_in(pushed.place.repository, view.image_id)
        stat = pushed.contents.layer(content)
        assert storage.read(stat.key)[0] == layer


def test_equal_images_of_two_repositories_have_one_content() -> None:
    storage = MemoryStorage()
    for user in ("bob", "alice"):
        pushed = pushed_by(user, storage)
        view = pushed.view(pushed.image("a", "b"))
        assert view is not None
        assert pushed.is_viewed(view)
        assert [pushed.contents.variants(image_id) for image_id in view.ancestry] == [[], []]


def test_different_content_of_the_same_repository_has_no_view(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pushed = pushed_by("alice", MemoryStorage())
    tar = tar_of("a")
    layers = [gzip.compress(tar, compresslevel=level, mtime=0) for level in (1, 9)]
    assert pushed.view(pushed.manifest(layers[:1], [sha256(tar)])) is not None
    assert pushed.view(pushed.manifest(layers[1:], [sha256(tar)])) is None
    assert "has a different content" in caplog.text


def test_blob_of_a_different_repository_has_no_view(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    storage = MemoryStorage()
    manifest = pushed_by("bob", storage).image("secret")
    assert pushed_by("alice", storage).view(manifest) is None
    assert "does not contain" in caplog.text
    assert list(storage.list("images/")) == []


# -- what is read


def test_layers_of_a_base_are_not_read_again() -> None:
    storage = FaultyStorage()
    pushed = Pushed(storage)
    assert pushed.view(pushed.image("base", "top")) is not None
    before = storage.count("open", key="blobs/*")
    assert pushed.view(pushed.image("base", "top")) is not None
    assert storage.count("open", key="blobs/*") == before
    assert pushed.view(pushed.image("base", "other")) is not None
    assert storage.count("open", key="blobs/*") == before + 1


def test_top_layer_of_a_different_config_is_hashed_again() -> None:
    pushed = Pushed(MemoryStorage())
    for author in ("mira", "jo"):
        manifest = pushed.image("a", author=author)
        view = pushed.view(manifest)
        assert view is not None
        document = chain_from_config(pushed.config(manifest))[0].json
        payload = sha256(document + b"\n" + gzip.compress(tar_of("a"), mtime=0))
        assert json.loads(pushed.storage.read(f"images/{view.image_id}/_checksum")[0]) == [payload]


def test_kept_payload_sums_of_a_layer_are_bounded() -> None:
    pushed = Pushed(MemoryStorage())
    for number in range(30):
        assert pushed.view(pushed.image("a", author=f"author {number}")) is not None
    digits = hashlib.sha256(gzip.compress(tar_of("a"), mtime=0)).hexdigest()
    facts = json.loads(pushed.storage.read(f"blobs/sha256/{digits[:2]}/{digits}/facts")[0])
    assert len(facts["sums"]) == 20


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"diff_id": 1}', b'{"diff_id":"sha256:0","given":"x","sums":3}']
)
def test_damaged_facts_of_a_layer_are_read_again(value: bytes) -> None:
    pushed = Pushed(MemoryStorage())
    manifest = pushed.image("a")
    view = pushed.view(manifest)
    digits = hashlib.sha256(gzip.compress(tar_of("a"), mtime=0)).hexdigest()
    pushed.storage.write(f"blobs/sha256/{digits[:2]}/{digits}/facts", value)
    assert pushed.view(manifest) == view is not None


def test_DST_022_zstd_layer_is_encoded_once() -> None:
    storage = FaultyStorage()
    pushed = Pushed(storage)
    tar = tar_of("a", b"x" * 50_000)
    layer = zstandard.compress(tar)
    for author in ("mira", "jo"):
        manifest = pushed.manifest([layer], [sha256(tar)], author=author)
        view = pushed.view(manifest)
        assert view is not None
        shown = storage.read(f"images/{view.image_id}/layer")[0]
        assert gzip.decompress(shown) == tar
        document = chain_from_config(pushed.config(manifest))[0].json
        payload = sha256(document + b"\n" + shown)
        assert json.loads(storage.read(f"images/{view.image_id}/_checksum")[0]) == [payload]
    digits = hashlib.sha256(layer).hexdigest()
    assert storage.count("open", key=f"blobs/sha256/*/{digits}/data") == 1


def test_empty_layer_has_the_diff_id_of_its_bytes() -> None:
    pushed = Pushed(MemoryStorage())
    view = pushed.view(pushed.manifest([gzip.compress(b"")], [sha256(b"")]))
    assert view is not None


def test_image_without_layers_gets_an_empty_one() -> None:
    pushed = Pushed(MemoryStorage())
    view = pushed.view(pushed.manifest([], []))
    assert view is not None
    assert pushed.storage.read(f"images/{view.image_id}/layer")[0] == bytes(1024)


# -- bounds


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"max_v1_view_bytes": 50}, "max_v1_view_bytes"),
        ({"max_expanded_bytes": 1000}, "max_expanded_bytes"),
        ({"max_chain_images": 1}, "max_chain_images"),
        ({"max_document_bytes": 100}, "at most 100 are read"),
    ],
)
def test_image_beyond_a_bound_has_no_view(
    settings: dict[str, Any], setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pushed = Pushed(MemoryStorage(), **settings)
    assert pushed.view(pushed.image("a", "b")) is None
    assert setting in caplog.text


def test_gzip_form_beyond_ten_times_the_layer_has_no_view(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("v1registry.distribution.view_facts.FREE_EXPANSION_BYTES", 0)
    pushed = Pushed(MemoryStorage())
    # gzip does not find a repetition that is 64 KiB away, zstd does
    tar = tar_of("a", 50 * random.Random(1).randbytes(64 << 10))
    assert pushed.view(pushed.manifest([zstandard.compress(tar)], [sha256(tar)])) is None
    assert "its gzip form has more than" in caplog.text
    assert list(pushed.storage.list("uploads/")) == []


def test_reading_layers_of_an_image_ends_after_a_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pushed = Pushed(MemoryStorage())
    manifest = pushed.image("a", "b")
    moments = iter([0.0, 0.0, 301.0])
    pushed.distribution.to_v1._timer = lambda: next(moments)
    assert pushed.view(manifest) is None
    assert "v1_view_time_s" in caplog.text
    assert list(pushed.storage.list("images/")) == []


def test_layer_that_failed_is_not_read_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    storage = FaultyStorage()
    pushed = Pushed(storage)
    layer = gzip.compress(tar_of("a"))[:-9]
    for _ in range(2):
        assert pushed.view(pushed.manifest([layer], [sha256(tar_of("a"))])) is None
    digits = hashlib.sha256(layer).hexdigest()
    assert storage.count("open", key=f"blobs/sha256/*/{digits}/data") == 1
    assert "as was found before" in caplog.text


def test_view_is_left_out_if_the_setting_is_off() -> None:
    pushed = Pushed(MemoryStorage(), v1_view="off")
    assert pushed.view(pushed.image("a")) is None
    assert list(pushed.storage.list("images/")) == []


def test_DST_019_platform_of_an_index_is_a_setting() -> None:
    pushed = Pushed(MemoryStorage(), v1_platform="linux/arm64")
    entries, ids = [], {}
    for architecture in ("amd64", "arm64"):
        manifest = pushed.image(architecture, architecture=architecture)
        ids[architecture] = sha256(pushed.config(manifest)).partition(":")[2]
        platform = {"os": "linux", "architecture": architecture}
        entries.append(pushed.blob(manifest, OCI) | {"platform": platform})
    view = pushed.view(json.dumps({"manifests": entries}).encode(), INDEX)
    assert view is not None
    assert view.image_id == ids["arm64"]


# -- hostile manifests


DIGEST = "sha256:" + 64 * "0"


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (b"", OCI),
        (b"[]", OCI),
        (b"[" * 100_000, OCI),
        (b'{"config": 1}', OCI),
        (json.dumps({"config": {"mediaType": CONFIG, "digest": "sha256:../../x"}}).encode(), OCI),
        (json.dumps({"config": {"mediaType": CONFIG, "digest": DIGEST}}).encode(), OCI),
        (json.dumps({"config": {"mediaType": ["x"], "digest": DIGEST}}).encode(), OCI),
        (b'{"manifests": 1}', INDEX),
        (b'{"manifests": ["x"]}', INDEX),
        (json.dumps({"manifests": [{"mediaType": OCI, "digest": {}}]}).encode(), INDEX),
        (json.dumps({"manifests": [{"mediaType": OCI, "platform": {"os": "linux"}}]}).encode(), INDEX),
        (b"{}", "application/vnd.example"),
    ],
)
def test_hostile_manifest_has_no_view(document: bytes, media_type: str) -> None:
    pushed = Pushed(MemoryStorage())
    assert pushed.view(document, media_type) is None
    assert list(pushed.storage.list("images/")) == []


@pytest.mark.parametrize("layers", [1, "x", ["x"], [{}], [{"digest": 1}], [{"digest": "sha256:x"}]])
def test_hostile_layers_have_no_view(layers: object) -> None:
    pushed = Pushed(MemoryStorage())
    manifest = json.loads(pushed.image("a"))
    assert pushed.view(json.dumps({**manifest, "layers": layers}).encode()) is None


@pytest.mark.parametrize(
    "config",
    [b"", b"[]", b"{", b'{"rootfs": 1}', b'{"rootfs": {"diff_ids": [1]}}', b"[" * 100_000],
)
def test_hostile_config_has_no_view(config: bytes) -> None:
    pushed = Pushed(MemoryStorage())
    manifest = json.loads(pushed.image("a"))
    document = {**manifest, "config": pushed.blob(config, CONFIG)}
    assert pushed.view(json.dumps(document).encode()) is None


def test_artifact_with_an_empty_config_has_no_view() -> None:
    pushed = Pushed(MemoryStorage())
    empty = pushed.blob(b"{}", "application/vnd.oci.empty.v1+json")
    document = {"schemaVersion": 2, "artifactType": "text/plain", "config": empty, "layers": [empty]}
    assert pushed.view(json.dumps(document).encode()) is None


def test_wrong_layer_leaves_no_part_of_the_chain() -> None:
    pushed = Pushed(MemoryStorage())
    layers = [gzip.compress(tar_of("a")), gzip.compress(tar_of("b"))]
    assert pushed.view(pushed.manifest(layers, [sha256(tar_of("a")), sha256(b"different")])) is None
    assert list(pushed.storage.list("images/")) == []


# -- interruptions


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("user", ["", "alice"], ids=["open", "accounts"])
def test_view_interrupted_at_any_change_can_be_repeated(user: str, compression: str) -> None:
    tars = [tar_of("a"), tar_of("b")]
    layers = [gzip.compress(tar, mtime=0) for tar in tars]
    if compression == "zstd":
        layers[0] = zstandard.compress(tars[0])
    for calls in range(MOST_CALLS):
        memory = MemoryStorage()
        faulty = FaultyStorage(memory)
        pushed = pushed_by(user, faulty)
        manifest = pushed.manifest(layers, [sha256(tar) for tar in tars])
        faulty.fail(*CHANGES, error=Died(), skip=calls)
        try:
            pushed.view(manifest)
            return  # it was not interrupted any more
        except Died:
            pass
        again = pushed_by(user, memory)
        view = again.view(manifest)
        assert view is not None, calls
        assert again.is_viewed(view), calls
    raise AssertionError(f"a view makes more than {MOST_CALLS} changes")


@pytest.mark.parametrize("method", ["write", "link"])
def test_full_disk_is_reported_and_leaves_nothing_below_images(method: str) -> None:
    storage = FaultyStorage()
    pushed = Pushed(storage)
    manifest = pushed.image("a")
    storage.fail(method, error=StorageFull("any", "no space left"))
    with pytest.raises(StorageFull):
        pushed.view(manifest)
    assert list(storage.list("images/")) == []
    storage.heal()
    assert pushed.view(manifest) is not None


@pytest.mark.parametrize("user", ["", "alice"], ids=["open", "accounts"])
def test_views_of_one_image_at_once_are_equal(user: str, tmp_path: Path) -> None:
    workers = [pushed_by(user, FileStorage(str(tmp_path), durable=False)) for _ in range(4)]
    manifest = workers[0].image("a", "b", "c")
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda worker: worker.view(manifest), workers))
    assert views[0] is not None
    assert views == 4 * [views[0]]
    assert workers[0].is_viewed(views[0])


def test_id_that_a_v1_push_has_taken_stays_as_it_is() -> None:
    pushed = Pushed(MemoryStorage())
    manifest = pushed.image("a")
    image_id = sha256(pushed.config(manifest)).partition(":")[2]
    store_different(pushed, image_id)
    before = pushed.storage.read(f"images/{image_id}/json")[0]
    assert pushed.view(manifest) is None
    assert pushed.storage.read(f"images/{image_id}/json")[0] == before


def test_unknown_layer_media_type_is_read_by_its_bytes() -> None:
    pushed = Pushed(MemoryStorage())
    manifest = json.loads(pushed.image("a"))
    manifest["layers"][0]["mediaType"] = f"{LAYER}+unknown"
    assert pushed.view(json.dumps(manifest).encode()) is not None
