"""What the tests do whose cost bench_fakes.py measures."""

from __future__ import annotations

import hashlib
import http.client
import json
from urllib.parse import urljoin

import docker
import requests
from v1registry_fakes import FakeEngine, FakeRegistry, Layer

LAYER = bytes(Layer({"etc/motd": "hello"}))

#: One test each, which pytest runs many times.
SOURCES = {
    "a test with the fixture alone": {
        "FakeRegistry": "def test_it(number, v1registry): pass",
        "FakeEngine": "def test_it(number, docker_engine): pass",
        "pytest-httpserver": "def test_it(number, httpserver): pass",
        "moto": "from moto import mock_aws\n@mock_aws\ndef test_it(number): pass",
    },
    "a test that pushes and pulls": {
        "FakeRegistry": """
from fake_tests import push_and_pull
def test_it(number, v1registry_session): push_and_pull(v1registry_session, v1registry_session.base_url)
""",
        "FakeRegistry (port)": """
import requests
from fake_tests import push_and_pull
def test_it(number, v1registry):
    with requests.Session() as session: push_and_pull(session, v1registry.url)
""",
        "moto": """
from fake_tests import put_and_get
from moto import mock_aws
@mock_aws
def test_it(number): put_and_get()
""",
    },
    "a test that pulls and runs": {
        "FakeEngine": """
from fake_tests import pull_and_run
def test_it(number, docker_engine, v1registry): pull_and_run(docker_engine, v1registry)
""",
        "FakeEngine (http.client)": """
from fake_tests import ask_and_run
def test_it(number, docker_engine, v1registry): ask_and_run(docker_engine, v1registry)
""",
    },
}


def push_and_pull(session: requests.Session, url: str) -> None:
    """Push an image by ``/v2/`` and pull it: eight requests."""
    base = f"{url}/v2/alice/app"
    config = json.dumps({"architecture": "amd64", "os": "linux"}).encode()
    descriptors = []
    for blob in (config, LAYER):
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        place = urljoin(url, session.post(f"{base}/blobs/uploads/").headers["Location"])
        mark = "&" if "?" in place else "?"
        session.put(
            f"{place}{mark}digest={digest}", blob, headers={"Content-Type": "application/octet-stream"}
        )
        descriptors.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(blob)})
    media_type = "application/vnd.oci.image.manifest.v1+json"
    descriptors[0]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    descriptors[1]["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptors[0],
        "layers": descriptors[1:],
    }
    pushed = session.put(
        f"{base}/manifests/1", json.dumps(manifest).encode(), headers={"Content-Type": media_type}
    )
    assert pushed.status_code == 201, pushed.text
    pulled = session.get(f"{base}/manifests/1", headers={"Accept": media_type}).json()
    session.get(f"{base}/blobs/{pulled['config']['digest']}")
    layer = session.get(f"{base}/blobs/{pulled['layers'][0]['digest']}")
    assert layer.content == LAYER, "the layer was not pulled as it was pushed"


def put_and_get() -> None:
    """Put three objects into a bucket of moto, and get them: seven requests."""
    import boto3

    client = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="alice")
    for key in ("config", "layer", "manifest"):
        client.put_object(Bucket="alice", Key=key, Body=LAYER)
    for key in ("manifest", "config", "layer"):
        assert client.get_object(Bucket="alice", Key=key)["Body"].read() == LAYER


def pull_and_run(engine: FakeEngine, registry: FakeRegistry) -> None:
    """Pull an image with the docker library, and run a container of it."""
    name = f"{registry.host}/alice/app:1"
    registry.add_image("alice/app:1", files={"etc/motd": "hello"})
    engine.on_run("*/alice/app:1", logs=["hello"])
    client = docker.DockerClient.from_env(environment=engine.environ)
    client.images.pull(name)
    assert client.containers.run(name, "greet") == b"hello\n"
    client.close()


def ask_and_run(engine: FakeEngine, registry: FakeRegistry) -> None:
    """Do what :func:`pull_and_run` does, with the same requests by http.client in place of the library."""
    name = f"{registry.host}/alice/app"
    registry.add_image("alice/app:1", files={"etc/motd": "hello"})
    engine.on_run("*/alice/app:1", logs=["hello"])
    connection = http.client.HTTPConnection(engine.url.removeprefix("tcp://"))

    def ask(method: str, path: str, document: object = None) -> bytes:
        body = None if document is None else json.dumps(document)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        assert response.status < 400, response.read()
        return response.read()

    version = f"/v{json.loads(ask('GET', '/version'))['ApiVersion']}"
    assert b"Downloaded newer image" in ask("POST", f"{version}/images/create?fromImage={name}&tag=1")
    ask("GET", f"{version}/images/{name}:1/json")
    settings = {"Image": f"{name}:1", "Cmd": ["greet"]}
    container = (
        f"{version}/containers/{json.loads(ask('POST', f'{version}/containers/create', settings))['Id']}"
    )
    ask("GET", f"{container}/json")
    ask("POST", f"{container}/start")
    assert ask("GET", f"{container}/logs?stdout=1&follow=1").endswith(b"hello\n")
    assert json.loads(ask("POST", f"{container}/wait"))["StatusCode"] == 0
    connection.close()
