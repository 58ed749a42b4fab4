"""The control API does not answer names that may lead to it by DNS rebinding, and names no own files."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeRegistry, LiveServer
from v1registry_fakes.control.application import ControlledFake
from webtest import TestApp


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil.example",
     "al@evil.example", "evil.example.", "[::1", "notlocalhost.com"],
)  # fmt: skip
def test_a_public_name_is_rejected(control, registry, host):
    registry.add_image("alice/app")
    same_origin = {"Host": host, "Origin": f"http://{host}"}

    for headers in ({"Host": host}, same_origin):
        answer = control.post("/_fakes/reset", headers=headers, status=403)
        assert "The control API is reached by an IP address" in answer.json["error"]
        control.get("/_fakes/requests", headers=headers, status=403)
    assert registry.images


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000", "10.1.2.3:5000",
     "fakes:5000", "v1registry.test", "host.docker.internal:5000", "LOCALHOST"],
)  # fmt: skip
def test_a_loopback_or_private_name_is_accepted(control, host):
    assert control.get("/_fakes/contents", headers={"Host": host}).status_int == 200


def test_name_that_the_server_listens_on_is_accepted(monkeypatch):
    with LiveServer(address="127.0.0.1") as server, FakeRegistry(server=server) as fake:
        monkeypatch.setattr(FakeRegistry, "host", "fakes.example.com:5000")
        control = TestApp(ControlledFake(fake))

        assert control.get("/_fakes/contents", headers={"Host": "fakes.example.com:5000"}).status_int == 200
        control.get("/_fakes/contents", headers={"Host": "other.example.com:5000"}, status=403)


def test_the_fake_itself_answers_every_name(control):
    assert control.get("/v1/_ping", headers={"Host": "registry.example.com"}).status_int == 200


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f\x8b\x08", b"x" * 2000, b"\0" * 1024])
def test_error_of_an_archive_names_no_file_of_the_process(control, data):
    answer = control.post("/_fakes/archives", data, status=400)

    assert "the archive" in answer.json["error"]
    assert not any(text in answer.json["error"] for text in ("/tmp", "v1registry-", ".tar"))
