"""Files of containers: copies in and out, export, changes, and images made of containers."""

from __future__ import annotations

import io
import tarfile

import docker
import pytest
from docker.errors import APIError, NotFound


def archive_of(**files: bytes) -> bytes:
    """Return an archive of files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def files_in(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isreg()
        }


def test_RMT_120_files_are_copied_in_and_out(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image)
    assert container.put_archive("/etc", archive_of(new=b"content"))
    data, facts = container.get_archive("/etc")
    assert files_in(b"".join(data)) == {"etc/motd": b"hello", "etc/new": b"content"}
    assert facts["name"] == "etc"
    data, facts = container.get_archive("/etc/new")
    assert files_in(b"".join(data)) == {"new": b"content"}
    assert facts["size"] == 7


def test_RMT_121_missing_paths_and_invalid_archives_are_rejected(
    client: docker.DockerClient, image: str
) -> None:
    container = client.containers.create(image)
    with pytest.raises(NotFound, match="Could not find the file /none in container"):
        container.get_archive("/none")
    with pytest.raises(NotFound, match="Could not find the file /none"):
        container.put_archive("/none", archive_of(x=b""))
    with pytest.raises(APIError, match="extraction point is not a directory"):
        container.put_archive("/etc/motd", archive_of(x=b""))
    with pytest.raises(APIError, match="the archive cannot be read"):
        container.put_archive("/etc", b"no archive at all" * 100)


def test_RMT_122_names_in_archives_do_not_leave_their_folder(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image)
    container.put_archive("/srv", archive_of(**{"../../etc/motd": b"bad", "/abs": b"abs"}))
    data, _ = container.get_archive("/srv")
    assert files_in(b"".join(data)) == {"srv/abs": b"abs"}
    data, _ = container.get_archive("/etc/motd")
    assert files_in(b"".join(data)) == {"motd": b"bad"}


def test_RMT_123_changes_tell_what_was_added_and_modified(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image)
    assert container.diff() is None
    container.put_archive("/etc", archive_of(motd=b"changed", new=b""))
    assert {(change["Path"], change["Kind"]) for change in container.diff()} == {
        ("/etc", 0),
        ("/etc/motd", 0),
        ("/etc/new", 1),
    } or {change["Path"] for change in container.diff()} == {"/etc", "/etc/motd", "/etc/new"}


def test_RMT_124_export_has_all_files(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image)
    assert files_in(b"".join(container.export())) == {"bin/sh": b"x", "etc/motd": b"hello"}


def test_RMT_125_commit_makes_an_image_with_the_changes(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, "sleep 1", detach=True)
    container.put_archive("/etc", archive_of(motd=b"changed"))
    made = container.commit(
        "mine", "1", message="why", author="who", changes=['CMD ["run"]', "ENV A=b", "LABEL x=y", "EXPOSE 80"]
    )
    assert made.tags == ["mine:1"]
    config = made.attrs["Config"]
    assert (config["Cmd"], config["Labels"]["x"], config["ExposedPorts"]) == (["run"], "y", {"80/tcp": {}})
    assert "A=b" in config["Env"]
    assert made.attrs["Parent"] == client.images.get(image).id
    assert len(made.attrs["RootFS"]["Layers"]) == 2
    copy = client.containers.create("mine:1")
    data, _ = copy.get_archive("/etc/motd")
    assert files_in(b"".join(data)) == {"motd": b"changed"}
    with pytest.raises(APIError, match="from is not a valid change command"):
        container.commit("mine", "2", changes=["FROM x"])


def test_RMT_126_an_image_with_children_is_not_removed(client: docker.DockerClient, image: str) -> None:
    client.containers.create(image, name="web").commit("mine", "1")
    client.containers.get("web").remove()
    with pytest.raises(APIError, match=r"\(cannot be forced\) - image has dependent child images"):
        client.images.remove(client.images.get(image).id, force=True)
    client.images.remove("mine:1")
    client.images.remove(image)
    assert client.images.list(all=True) == []
