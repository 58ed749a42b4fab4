"""Sessions of skopeo are recorded, from a fake and through the proxy, and served to skopeo again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.oci_clients import Skopeo
from v1registry_fakes import FakeRegistry, RecordingProxy, ReplayedRegistry

pytestmark = pytest.mark.real


def session(folder: Path, host: str, source: Path) -> tuple[str, list[str]]:
    """Log in, push and pull an image and list the tags, as a new user of skopeo."""
    client = Skopeo(folder)
    client.login(host, "alice", "correct horse", is_right=True)
    client.run("skopeo", "copy", "-q", f"oci:{source}", f"oci:{folder}/own:app")
    client.push("app", f"{host}/alice/app:1.0")
    return client.pull(f"{host}/alice/app:1.0"), client.tags(f"{host}/alice/app")


@pytest.mark.parametrize("with_proxy", [False, True], ids=["fake", "proxy"])
def test_skopeo_does_again_what_was_recorded(with_proxy: bool, tmp_path: Path) -> None:
    transcript, source = tmp_path / "skopeo.jsonl", tmp_path / "source"
    with FakeRegistry() as made:
        made.add_image("alice/app", files={"data": bytes(range(256)) * 64}, layers=3, api="v2")
        Skopeo(tmp_path / "0").run(
            "skopeo",
            "copy",
            "-q",
            "--src-tls-verify=false",
            f"docker://{made.host}/alice/app",
            f"oci:{source}",
        )
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "correct horse")
        with RecordingProxy(registry.url) as proxy:
            recorder = proxy if with_proxy else registry
            with recorder.record(transcript):
                recorded = session(tmp_path / "1", recorder.host, source)

    with ReplayedRegistry(transcript) as replayed:
        again = session(tmp_path / "2", replayed.host, source)
        replayed.check()

    assert again == recorded
    assert recorded[1] == ["1.0"]
    assert len(replayed.exchanges) > 15
    text = transcript.read_text()
    assert "YWxpY2U6Y29ycmVjdCBob3JzZQ" not in text
    assert "Bearer masked-" in text
