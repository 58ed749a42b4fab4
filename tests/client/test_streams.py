"""Archives from and to pipes, FIFOs, links and devices."""

from __future__ import annotations

import gzip
import io
import os
import pty
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import layer_sums, make_archive
from support.scripted import Script

from v1registry.client import BadArchive, BadOutput, Client, ClientError, NotFoundInRegistry


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    """The archive that a test has read from a stream."""
    return tmp_path / "pulled.tar"


@pytest.fixture
def reference(reference: str, client: Client, archive: Path) -> str:
    """A tag that was pushed."""
    client.push(archive, reference)
    return reference


class Reader(threading.Thread):
    """Reads a file to its end in a thread of its own."""

    def __init__(self, path: Path):
        super().__init__(daemon=True)
        self.data = b""
        self._path = path
        self.start()

    def run(self) -> None:
        self.data = self._path.read_bytes()


def parts_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith("-parts")]


class TestPull:
    def test_fifo_receives_the_archive_and_stays(
        self, client: Client, reference: str, archive: Path, pulled: Path, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reader = Reader(fifo)

        result = client.pull(reference, fifo)

        reader.join(20)
        pulled.write_bytes(reader.data)
        assert layer_sums(pulled) == layer_sums(archive)
        assert result.output_path is None
        assert result.archive_size_bytes == len(reader.data)
        assert stat.S_ISFIFO(fifo.lstat().st_mode)
        assert not parts_in(tmp_path)

    def test_failed_pull_writes_nothing_to_a_fifo(
        self, client: Client, reference: str, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reader = Reader(fifo)

        with pytest.raises(NotFoundInRegistry):
            client.pull(f"{reference}-missing", fifo)

        reader.join(20)
        assert not reader.is_alive()
        assert reader.data == b""

    @pytest.mark.parametrize("target", ["target.tar", "missing.tar"])
    def test_link_stays_and_its_target_is_written(
        self, target: str, client: Client, reference: str, archive: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "target.tar").write_bytes(b"old")
        (tmp_path / "folder").mkdir()
        link = tmp_path / "folder" / "link.tar"
        link.symlink_to(f"../{target}")

        client.pull(reference, link)

        assert os.readlink(link) == f"../{target}"
        assert layer_sums(tmp_path / target) == layer_sums(archive)
        assert not parts_in(tmp_path)

    def test_device_is_written_and_not_replaced(self, client: Client, reference: str, tmp_path: Path) -> None:
        link = tmp_path / "null"
        link.symlink_to("/dev/null")

        client.pull(reference, link)

        assert link.is_symlink()
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
        assert not Path("/dev/null.v1registry-parts").exists()

    @pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
    def test_open_file_is_written_from_its_position(
        self, form: str, client: Client, reference: str, archive: Path, pulled: Path, tmp_path: Path
    ) -> None:
        with open(pulled, "wb", buffering=0) as file:
            file.write(b"before")
            path = form.format(file.fileno())
            if form == "link":
                path = str(tmp_path / "link")
                os.symlink(f"/dev/fd/{file.fileno()}", path)
            client.pull(reference, path)
            file.write(b"behind")
        data = pulled.read_bytes()
        assert data[:6] + data[-6:] == b"beforebehind"
        pulled.write_bytes(data[6:-6])
        assert layer_sums(pulled) == layer_sums(archive)

    def test_stream_in_memory_receives_the_archive(
        self, client: Client, reference: str, archive: Path, pulled: Path
    ) -> None:
        stream = io.BytesIO()
        client.pull(reference, stream)
        pulled.write_bytes(stream.getvalue())
        assert layer_sums(pulled) == layer_sums(archive)

    def test_full_pipe_that_does_not_block_is_waited_for(
        self, client: Client, reference: str, tmp_path: Path
    ) -> None:
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        reader = Reader(Path(f"/dev/fd/{read_end}"))
        make_archive(tmp_path / "large.tar", 1, size_bytes=300_000)
        client.push(tmp_path / "large.tar", reference)

        result = client.pull(reference, f"/dev/fd/{write_end}")

        os.close(write_end)
        reader.join(20)
        os.close(read_end)
        assert len(reader.data) == result.archive_size_bytes

    def test_terminal_is_refused_before_a_request(
        self, client: Client, reference: str, script: Script
    ) -> None:
        script.seen.clear()
        controller, terminal = pty.openpty()
        try:
            with pytest.raises(BadOutput, match="the output is a terminal"):
                client.pull(reference, f"/dev/fd/{terminal}")
        finally:
            os.close(controller)
            os.close(terminal)
        assert script.seen == []

    def test_folder_is_refused_before_a_request(
        self, client: Client, reference: str, script: Script, tmp_path: Path
    ) -> None:
        script.seen.clear()
        with pytest.raises(IsADirectoryError):
            client.pull(reference, tmp_path)
        assert script.seen == []

    @pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/")], ids=["file", "link"])
    def test_parts_that_are_no_folder_of_ours_are_refused(
        self, make: Callable[[Path], None], client: Client, reference: str, pulled: Path, tmp_path: Path
    ) -> None:
        make(tmp_path / "pulled.tar.v1registry-parts")
        with pytest.raises((ClientError, FileExistsError)):
            client.pull(reference, pulled)
        assert not pulled.exists()

    def test_parts_of_another_user_are_refused(
        self, client: Client, reference: str, pulled: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (pulled.parent / "pulled.tar.v1registry-parts").mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        with pytest.raises(ClientError, match="must be a folder of this user"):
            client.pull(reference, pulled)


class TestPush:
    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_fifo_is_pushed(
        self,
        compress: Callable[[bytes], bytes],
        client: Client,
        reference: str,
        archive: Path,
        tmp_path: Path,
        script: Script,
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        data = compress(archive.read_bytes())
        writer = threading.Thread(target=fifo.write_bytes, args=(data,), daemon=True)
        writer.start()

        assert len(client.push(fifo, f"{reference}-fifo").skipped) == 3

        writer.join(20)
        assert script.requests("PUT", ".*/tags/v1-fifo")

    def test_stream_in_memory_is_pushed_and_not_closed(
        self, client: Client, reference: str, archive: Path
    ) -> None:
        stream = io.BytesIO(archive.read_bytes())
        assert len(client.push(stream, reference).skipped) == 3
        assert not stream.closed

    def test_open_file_is_pushed_from_its_position(
        self, client: Client, reference: str, archive: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "behind").write_bytes(b"one line\n" + archive.read_bytes())
        with open(tmp_path / "behind", "rb", buffering=0) as file:
            file.read(9)
            assert len(client.push(f"/dev/fd/{file.fileno()}", reference).skipped) == 3

    def test_closed_descriptor_is_reported(self, client: Client, reference: str) -> None:
        with pytest.raises(BadArchive, match="/dev/fd/999 cannot be read: Bad file descriptor"):
            client.push("/dev/fd/999", reference)

    def test_stream_that_is_no_archive_is_refused(self, client: Client, reference: str) -> None:
        with pytest.raises(BadArchive, match="the archive cannot be pushed: it"):
            client.push(io.BytesIO(b"no archive" * 100), reference)


def test_pulled_stream_is_a_tar_without_seeking(client: Client, reference: str) -> None:
    stream = io.BytesIO()
    client.pull(reference, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        assert "manifest.json" in [info.name for info in archive]
