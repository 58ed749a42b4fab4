"""Each example runs as documented. An image is pushed and pulled, and the application behind it answers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from support.engine_client import EngineClient, make_chain, random_layer
from support.programs import EXAMPLES, start_example

#: What the front page of each example says.
PAGES = {
    "flask_app.py": "Hello from Flask",
    "django_app.py": "Hello from Django",
    "pyramid_app.py": "Hello from Pyramid",
    "asgi_app.py": "Hello from Starlette",
    "plain_wsgi.py": "Hello from WSGI",
    "paste.ini": "Hello from PasteDeploy",
    "servers/cheroot_server.py": '"docker-registry server"',
    "servers/granian.sh": '"docker-registry server"',
    "servers/gunicorn.conf.py": '"docker-registry server"',
    "servers/uwsgi.ini": '"docker-registry server"',
    "servers/waitress_server.py": '"docker-registry server"',
}


def documented() -> set[str]:
    """Return the examples that document a command.

    Those with users are tested in ``tests/accounts``, the sample settings in ``test_example_operation``.
    """
    files = [
        path
        for path in EXAMPLES.rglob("*")
        if path.suffix in (".py", ".ini", ".sh")
        and path.parent.name != "auth"
        and path.name != "v1registry.ini"
    ]
    return {
        str(path.relative_to(EXAMPLES)) for path in files if "file:///srv/registry" in path.read_text("utf-8")
    }


def test_every_example_is_run() -> None:
    assert documented() == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_an_example_serves_a_registry_and_its_own_page(name: str, tmp_path: Path) -> None:
    if "uwsgi" in name and shutil.which("uwsgi", path=Path(sys.executable).parent) is None:
        pytest.skip("needs uWSGI, which is compiled when it is installed: pip install 'v1registry[uwsgi]'")
    chain = make_chain(random_layer(1000, n) for n in range(2))
    with start_example(name, tmp_path, tmp_path / "registry") as running:
        client = EngineClient(running.host)
        client.push("me/tiny", chain)
        assert client.pull("me/tiny") == chain
        page = client.get("/")
        assert (page.status, page.body.decode()) == (200, PAGES[name])


def test_the_registry_of_plain_wsgi_answers_below_its_prefix_too(tmp_path: Path) -> None:
    (image,) = make_chain([random_layer(1000, "prefix")])
    with start_example("plain_wsgi.py", tmp_path, tmp_path / "registry") as running:
        client = EngineClient(running.host)
        client.push("me/tiny", [image])
        assert client.get("/registry/v1/_ping").status == 200
        assert client.get("/registry/v1/repositories/me/tiny/tags").json() == {"latest": image.image_id}
        assert client.get(f"/registry/v1/images/{image.image_id}/layer").body == image.layer
        assert client.get("/registry").json() == "docker-registry server"
        assert client.get("/registryother").body == b"Hello from WSGI"
