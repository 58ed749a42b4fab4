"""``v1registry serve`` starts although its object store does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engine_client import EngineClient
from support.programs import Program, free_port

pytestmark = pytest.mark.real


def test_serve_starts_without_its_object_store(tmp_path: Path) -> None:
    command = ("v1registry", "serve", "--port", "0", "--workers", "2")
    storage = f"s3://absent?endpoint=http://127.0.0.1:{free_port()}&path_style=true&timeout=2"
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "V1REGISTRY_STORAGE": storage,
    }
    with Program(command, folder=tmp_path, environment=settings) as program:
        engine = EngineClient(program.host)
        assert engine.get("/v1/_ping").status == 200
        assert engine.get("/v1/repositories/team/app/tags/latest").status == 503
        assert "which cannot be read now" in program.log
