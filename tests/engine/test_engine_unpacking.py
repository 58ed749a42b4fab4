"""Archives with odd members that are put into a container."""

from __future__ import annotations

import io
import tarfile

import docker
import pytest
from docker.errors import APIError
from v1registry_fakes.engine import FakeEngine


def archive_of(*members: tuple[str, bytes, str, bytes]) -> bytes:
    """Return an archive of members: name, kind, target of a link, content."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, kind, link, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


@pytest.fixture
def container(engine: FakeEngine, client: docker.DockerClient) -> docker.models.containers.Container:
    engine.add_image("alice/app", files={"etc/motd": "hello", "srv/": ""})
    return client.containers.create("alice/app", name="web")


@pytest.mark.parametrize(
    ("members", "path", "content"),
    [
        ([("l", tarfile.SYMTYPE, "/srv", b""), ("l/x", tarfile.REGTYPE, "", b"1")], "/srv/x", b"1"),
        ([("l", tarfile.SYMTYPE, "../srv", b""), ("l/x", tarfile.REGTYPE, "", b"1")], "/srv/x", b"1"),
        ([("f", tarfile.REGTYPE, "", b"1"), ("h", tarfile.LNKTYPE, "f", b"")], "/etc/h", b"1"),
        ([("", tarfile.REGTYPE, "", b"1")], "/etc/motd", b"hello"),
        ([("./", tarfile.DIRTYPE, "", b""), ("./x", tarfile.REGTYPE, "", b"1")], "/etc/x", b"1"),
    ],
)
def test_RMT_127_members_are_put_where_links_of_the_container_lead(
    engine: FakeEngine,
    container: docker.models.containers.Container,
    members: list[tuple[str, bytes, str, bytes]],
    path: str,
    content: bytes,
) -> None:
    container.put_archive("/etc", archive_of(*members))
    assert engine.containers["web"].files[path] == content


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("motd/x", tarfile.REGTYPE, "", b"1")], "mkdir /etc/motd: not a directory"),
        ([("h", tarfile.LNKTYPE, "nope", b"")], "link /etc/nope /etc/h: no such file or directory"),
        (
            [("l", tarfile.SYMTYPE, "l", b""), ("l/x", tarfile.REGTYPE, "", b"1")],
            "too many levels of symbolic links",
        ),
    ],
)
def test_RMT_127_members_that_have_no_place_are_rejected(
    container: docker.models.containers.Container, members: list[tuple[str, bytes, str, bytes]], message: str
) -> None:
    with pytest.raises(APIError, match=message):
        container.put_archive("/etc", archive_of(*members))
