"""Published ports: two running containers cannot have the same one."""

from __future__ import annotations

from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


def test_RMT_143_a_port_is_published_by_one_running_container(engine: FakeEngine) -> None:
    engine.add_image("a/b")
    api = TestApp(engine.app)
    for name in ("first", "second"):
        ports = {"80/tcp": [{"HostPort": "8080"}]}
        body = {"Image": "a/b", "HostConfig": {"PortBindings": ports}}
        api.post_json(f"/containers/create?name={name}", body, status=201)
    api.post("/containers/first/start", status=204)
    text = api.post("/containers/second/start", status=500).json["message"]
    assert text.startswith("driver failed programming external connectivity on endpoint second (")
    assert text.endswith("): Bind for 0.0.0.0:8080 failed: port is already allocated")
    api.post("/containers/first/stop", status=204)
    api.post("/containers/second/start", status=204)
