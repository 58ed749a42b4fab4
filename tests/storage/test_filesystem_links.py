"""FileStorage: symbolic links of the administrator inside the folder."""

from __future__ import annotations

import os

import pytest
from support.folder import keys_of

from v1registry.storage import InvalidKey, KeyNotFound


def test_links_of_the_administrator_are_followed(storage, root, tmp_path):
    other_disk = tmp_path / "other disk"
    (other_disk / "abc").mkdir(parents=True)
    (other_disk / "layer").write_bytes(b"layer")
    root.mkdir()
    (root / "images").symlink_to(other_disk)
    (other_disk / "abc/layer").symlink_to(other_disk / "layer")
    storage.write("images/abc/json", b"{}")
    assert keys_of(storage) == ["images/abc/json", "images/abc/layer", "images/layer"]
    assert list(storage.list_folders("images")) == ["abc"]
    assert storage.read("images/abc/layer")[0] == b"layer"
    assert (other_disk / "abc/json").read_bytes() == b"{}"


def test_link_itself_is_replaced_or_deleted(storage, root, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"target")
    storage.write("a/b", b"value")
    for key in ("a/c", "a/d"):
        (root / key).symlink_to(target)
    storage.write("a/c", b"new")
    storage.delete("a/d")
    assert keys_of(storage) == ["a/b", "a/c"]
    assert target.read_bytes() == b"target"


def test_linked_folder_is_not_replaced_or_deleted_as_a_key(storage, root, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/b").write_bytes(b"target")
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "target")
    with pytest.raises(InvalidKey):
        storage.write("a", b"value")
    with pytest.raises(KeyNotFound):
        storage.delete("a")
    assert keys_of(storage) == ["a/b"]


def test_deleting_a_tree_does_not_follow_links_out_of_it(storage, root, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/x").write_bytes(b"target")
    storage.write("a/b", b"value")
    (root / "a/c").symlink_to(tmp_path / "target")
    storage.delete_tree("a")
    assert os.listdir(root) == []
    assert (tmp_path / "target/x").read_bytes() == b"target"


def test_deleting_a_linked_tree_empties_it(storage, root, tmp_path):
    (tmp_path / "target/c").mkdir(parents=True)
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "target")
    storage.write("a/b", b"value")
    storage.write("a/c/d", b"value")
    storage.delete_tree("a")
    assert keys_of(storage) == []
    assert os.listdir(tmp_path / "target") == []


def test_broken_and_circular_links_are_not_listed(storage, root):
    storage.write("a/b/c", b"value")
    (root / "a/gone").symlink_to(root / "nothing")
    (root / "a/self").symlink_to(root / "a/self")
    (root / "a/b/back").symlink_to(root / "a")
    (root / "a/b/top").symlink_to(root)
    assert keys_of(storage) == ["a/b/c"]
    assert list(storage.list_folders("a")) == ["b"]
    for key in ("a/gone", "a/self"):
        with pytest.raises(KeyNotFound):
            storage.read(key)[0]
