"""``serve`` and ``check-config`` over object stores: processes, texts, and settings that are wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests
from support.engine_client import make_image, random_layer
from support.object_stores import ObjectStore
from support.programs import Program, environment_of
from support.wsgi_client import Client

from v1registry import Registry

pytestmark = [pytest.mark.real, pytest.mark.process]

IMAGE = make_image(random_layer(30_000, "served"), name="served")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return what a command of the project did."""
    return subprocess.run(
        ["v1registry", *arguments],
        cwd=folder,
        env=environment_of(folder) | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check(folder: Path, url: str, *lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return what check-config says of a storage."""
    path = folder / "registry.ini"
    path.write_text("\n".join(["[v1registry]", f"storage = {url}", *lines]))
    return run(folder, "check-config", "--config", str(path), **environment)


def test_several_workers_serve_one_bucket(ceph: ObjectStore, tmp_path: Path) -> None:
    url = ceph.url(ceph.new_bucket(), "registry")
    Client(Registry(storage=url)).push(IMAGE)
    command = ["v1registry", "serve", "--storage", url, "--port", "0", "--workers", "3"]
    with Program(command, folder=tmp_path) as server:
        # each on a new connection, so that each worker answers some
        for _ in range(12):
            got = requests.get(f"{server.url}/v1/images/{IMAGE.image_id}/layer", timeout=60)
            assert (got.status_code, got.content) == (200, IMAGE.layer)
            assert requests.get(f"{server.url}/v1/_status", timeout=60).status_code == 200
        assert "testsecret" not in server.log


def test_check_config_says_what_the_store_honours(ceph: ObjectStore, tmp_path: Path) -> None:
    bucket = ceph.new_bucket()
    done = check(tmp_path, ceph.url(bucket, "registry"))
    assert done.returncode == 0, done.stdout
    assert f"storage: s3 bucket {bucket} at {ceph.endpoint}, below registry/; " in done.stdout
    assert "credentials from the environment (AWS_ACCESS_KEY_ID)" in done.stdout
    assert (
        "storage: conditional writes: If-None-Match is honoured, If-Match is honoured (etags without quotes)"
        in done.stdout
    )


def test_check_config_tells_a_wrong_secret_without_showing_it(ceph: ObjectStore, tmp_path: Path) -> None:
    url = ceph.url(ceph.new_bucket())
    done = check(tmp_path, url, AWS_SECRET_ACCESS_KEY="wrong-secret-of-mine")
    assert done.returncode == 3
    assert "problem: storage: cannot be written" in done.stdout
    assert "403" in done.stdout or "SignatureDoesNotMatch" in done.stdout
    assert "wrong-secret-of-mine" not in done.stdout + done.stderr


def test_check_config_tells_a_missing_bucket(ceph: ObjectStore, tmp_path: Path) -> None:
    done = check(tmp_path, ceph.url("no-such-bucket"))
    assert done.returncode == 3
    assert "NoSuchBucket" in done.stdout


def test_several_workers_of_a_single_writer_are_refused(ceph: ObjectStore, tmp_path: Path) -> None:
    url = ceph.url(ceph.new_bucket(), single_writer="true")
    done = run(tmp_path, "serve", "--storage", url, "--port", "0", "--workers", "2")
    assert done.returncode == 2
    assert "single_writer" in done.stderr


@pytest.mark.stores
def test_store_without_conditions_is_refused_with_what_to_do(swift: ObjectStore, tmp_path: Path) -> None:
    url = swift.url(swift.new_bucket()).replace("&single_writer=true", "")
    done = check(tmp_path, url)
    assert done.returncode == 3
    assert "storage: conditional writes: If-None-Match is refused, If-Match is refused" in done.stdout
    assert "single_writer=true" in done.stdout
