"""registry.md 4.4 and 6: which sums complete an image (REG-015 to 020)."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest
from support.engine_client import Image
from support.wsgi_client import PAYLOAD_HEADER, TARSUM_HEADER, Client, error_of

from v1registry import Registry

ID = "a" * 64
JSON = b'{"id":"%s"}' % ID.encode()

#: The TarSum of an archive with the file of :func:`hello_tar` below JSON, as of docker (registry.md 7.1).
TARSUM = "tarsum+sha256:5348b019147e28c8612109e4d862fbefef29b9882c21c7ae558872369e45a905"
TARSUM_WITHOUT_JSON = "tarsum+sha256:92311c3c021ed7ea392537deb7b650a2695962487ae1000a53e183a2fa6128e0"

WRONG = "sha256:" + "0" * 64
MISMATCH = (400, "Checksum mismatch")

OLD_ENGINES = [
    "docker/0.6.7",
    "docker/0.8.1 go/go1.2 kernel/3.8.0 os/linux arch/amd64",
    "docker/0.9.1 go/go1.2.1",
]
NEW_ENGINES = ["docker/0.10.0 go/go1.2.1", "docker/1.0.1", "docker/17.05.0-ce go/go1.7.5", "curl/7.88.1", ""]


def hello_tar() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("hello.txt")
        member.size, member.mode, member.mtime = 12, 0o644, 1400000000
        tar.addfile(member, io.BytesIO(b"hello world\n"))
    return archive.getvalue()


IMAGE = Image(ID, JSON, gzip.compress(hello_tar(), mtime=0))
PAYLOAD = IMAGE.payload_checksum


def uploaded(client: Client, image: Image = IMAGE) -> Client:
    assert client.put_json(image).status_int == 200
    assert client.put_layer(image).status_int == 200
    return client


# -- REG-015


def test_REG_015_no_header_is_412_with_the_text_of_docker_registry(client: Client) -> None:
    text = (
        "X-Docker-Checksum-Payload not set.  If you are using the Docker daemon, "
        "you should upgrade to version 0.10 or later"
    )
    assert error_of(uploaded(client).put_checksum(IMAGE, {})) == (412, text)


def test_REG_015_the_header_is_looked_at_before_the_image(client: Client) -> None:
    assert error_of(client.put_checksum(IMAGE, {}))[0] == 412
    assert error_of(client.put_checksum(IMAGE, {PAYLOAD_HEADER: ""}))[0] == 400
    assert error_of(client.put_checksum(IMAGE)) == (404, "Image not found")


@pytest.mark.parametrize(
    "headers", [{PAYLOAD_HEADER: ""}, {TARSUM_HEADER: ""}, {PAYLOAD_HEADER: " ", TARSUM_HEADER: ""}]
)
def test_REG_015_an_empty_header_is_400(client: Client, headers: dict[str, str]) -> None:
    assert error_of(uploaded(client).put_checksum(IMAGE, headers)) == (400, "Missing Image's checksum")


def test_REG_015_the_right_sum_is_200_true_and_ends_the_push(client: Client) -> None:
    answer = uploaded(client).put_checksum(IMAGE)
    assert (answer.status_int, answer.body) == (200, b"true")
    assert client.get(f"/v1/images/{ID}/json").status_int == 200


def test_REG_015_stored_checksum_is_200_and_others_are_409(client: Client) -> None:
    uploaded(client).put_checksum(IMAGE)
    assert client.put_checksum(IMAGE).json is True
    refused = error_of(client.put_checksum(IMAGE, {PAYLOAD_HEADER: WRONG}))
    assert refused == (409, "Cannot set this image checksum")


@pytest.mark.parametrize(
    "announced",
    [
        WRONG,
        "x",
        "sha256:",
        PAYLOAD.upper(),
        PAYLOAD.removeprefix("sha256:"),
        PAYLOAD[:-1],
        PAYLOAD + "0",
        "sha256:" + hashlib.sha256(IMAGE.layer).hexdigest(),
        "sha256:" + hashlib.sha256(JSON + IMAGE.layer).hexdigest(),
        "\xe9",
        "[" * 10_000,
    ],
)
@pytest.mark.parametrize("header", [PAYLOAD_HEADER, TARSUM_HEADER])
def test_REG_015_any_other_sum_is_a_mismatch(client: Client, header: str, announced: str) -> None:
    assert error_of(uploaded(client).put_checksum(IMAGE, {header: announced})) == MISMATCH


def test_REG_015_blanks_around_a_sum_do_not_count(client: Client) -> None:
    answer = uploaded(client).put_checksum(IMAGE, {PAYLOAD_HEADER: f"  {PAYLOAD}\t"})
    assert answer.status_int == 200


def test_REG_015_body_is_not_needed_and_ignored(client: Client) -> None:
    path = f"/v1/images/{ID}/checksum"
    assert uploaded(client).put(path, b"anything", {PAYLOAD_HEADER: PAYLOAD}).status_int == 200


# -- REG-016 to 019


def test_REG_016_right_checksum_completes_after_a_wrong_one(client: Client) -> None:
    uploaded(client)
    for _ in range(3):
        assert error_of(client.put_checksum(IMAGE, {PAYLOAD_HEADER: WRONG})) == MISMATCH
        assert client.get(f"/v1/images/{ID}/json").status_int == 400
    assert client.put_checksum(IMAGE).status_int == 200


@pytest.mark.parametrize("header", [PAYLOAD_HEADER, TARSUM_HEADER])
def test_REG_017_a_sum_before_the_layer_is_400(client: Client, header: str) -> None:
    client.put_json(IMAGE)
    assert error_of(client.put_checksum(IMAGE, {header: PAYLOAD})) == (400, "Image's layer is missing")
    assert error_of(client.put_checksum(IMAGE, {header: TARSUM})) == (400, "Image's layer is missing")


def test_REG_018_payload_checksum_covers_json_newline_and_layer(client: Client) -> None:
    document = b' { "id" : "%s" ,\n"b":1, "a":2 } ' % ID.encode()
    image = Image(ID, document, b"no archive at all")
    expected = "sha256:" + hashlib.sha256(document + b"\n" + b"no archive at all").hexdigest()
    assert uploaded(client, image).put_checksum(image, {PAYLOAD_HEADER: expected}).status_int == 200


@pytest.mark.parametrize("wrong", [WRONG, TARSUM[:-1] + "0", TARSUM_WITHOUT_JSON, "x", ""])
def test_REG_019_wrong_tarsum_with_right_payload_is_not_stored(client: Client, wrong: str) -> None:
    headers = {PAYLOAD_HEADER: PAYLOAD, TARSUM_HEADER: wrong}
    assert uploaded(client).put_checksum(IMAGE, headers).status_int == 200
    assert "X-Docker-Checksum" not in client.get(f"/v1/images/{ID}/json").headers


def test_the_payload_sum_in_the_old_header_is_accepted(client: Client) -> None:
    assert uploaded(client).put_checksum(IMAGE, {TARSUM_HEADER: PAYLOAD}).status_int == 200


# -- REG-020


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("user_agent", OLD_ENGINES)
def test_REG_020_tarsum_completes_layers_of_each_compression(
    client: Client, user_agent: str, compress: Callable[[bytes], bytes]
) -> None:
    image = Image(ID, JSON, compress(hello_tar()))
    headers = {TARSUM_HEADER: TARSUM, "User-Agent": user_agent}
    assert uploaded(client, image).put_checksum(image, headers).status_int == 200
    assert client.get(f"/v1/images/{ID}/json").headers["X-Docker-Checksum"] == TARSUM


@pytest.mark.parametrize("user_agent", NEW_ENGINES)
def test_REG_020_tarsum_without_payload_checksum_is_accepted(client: Client, user_agent: str) -> None:
    headers = {TARSUM_HEADER: TARSUM, "User-Agent": user_agent}
    assert uploaded(client).put_checksum(IMAGE, headers).status_int == 200


@pytest.mark.parametrize("user_agent", OLD_ENGINES)
def test_REG_020_tarsum_of_docker_0_9_decides(client: Client, user_agent: str) -> None:
    payload = "sha256:" + hashlib.sha256(hello_tar()).hexdigest()
    headers = {PAYLOAD_HEADER: payload, TARSUM_HEADER: TARSUM, "User-Agent": user_agent}
    assert uploaded(client).put_checksum(IMAGE, headers).status_int == 200


@pytest.mark.parametrize("user_agent", NEW_ENGINES)
def test_wrong_payload_checksum_is_400_with_any_tarsum(client: Client, user_agent: str) -> None:
    headers = {PAYLOAD_HEADER: WRONG, TARSUM_HEADER: TARSUM, "User-Agent": user_agent}
    assert error_of(uploaded(client).put_checksum(IMAGE, headers)) == MISMATCH


@pytest.mark.parametrize(
    "wrong",
    [
        TARSUM_WITHOUT_JSON,
        TARSUM.replace("tarsum+", "tarsum.v1+"),
        TARSUM.replace("tarsum+", "tarsum.v99+"),
        TARSUM.replace("sha256", "md5"),
        "tarsum",
        "tarsum+sha256:",
        "tarsum+sha256:" + "0" * 64,
    ],
)
def test_REG_020_a_wrong_tarsum_is_a_mismatch(client: Client, wrong: str) -> None:
    headers = {TARSUM_HEADER: wrong, "User-Agent": OLD_ENGINES[0]}
    assert error_of(uploaded(client).put_checksum(IMAGE, headers)) == MISMATCH


@pytest.mark.parametrize(
    "layer", [b"", b"no archive", gzip.compress(b"no archive", mtime=0), IMAGE.layer[:-30]]
)
def test_a_tarsum_of_what_is_no_archive_is_a_mismatch(client: Client, layer: bytes) -> None:
    image = Image(ID, JSON, layer)
    headers = {TARSUM_HEADER: TARSUM, "User-Agent": OLD_ENGINES[0]}
    assert error_of(uploaded(client, image).put_checksum(image, headers)) == MISMATCH


def test_layer_beyond_the_limit_is_400_and_stays_in_progress(app: Registry) -> None:
    client = Client(Registry(storage=app.storage, max_expanded_bytes=len(hello_tar()) - 1))
    status, text = error_of(uploaded(client).put_checksum(IMAGE, {TARSUM_HEADER: TARSUM}))
    assert (status, text) == (400, "The layer expands to more bytes than this server looks into")
    assert client.put_checksum(IMAGE).status_int == 200


def test_a_layer_that_expands_to_the_limit_is_summed_up(app: Registry) -> None:
    client = Client(Registry(storage=app.storage, max_expanded_bytes=len(hello_tar())))
    assert uploaded(client).put_checksum(IMAGE, {TARSUM_HEADER: TARSUM}).status_int == 200


def test_the_stored_tarsum_of_a_complete_image_is_200_too(client: Client) -> None:
    uploaded(client).put_checksum(IMAGE, {TARSUM_HEADER: TARSUM})
    assert client.put_checksum(IMAGE, {TARSUM_HEADER: TARSUM}).json is True
    assert client.put_checksum(IMAGE).json is True
    stored = client.app.storage.read(f"images/{ID}/_checksum")[0]
    assert stored == f'["{PAYLOAD}", "{TARSUM}"]'.encode()
