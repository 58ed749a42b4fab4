"""The settings in docs/mirror.md and examples/mirror.ini make a mirror."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.documents import block
from support.programs import EXAMPLES
from support.v2_client import V2Client
from v1registry_fakes import FakeRegistry

from v1registry import Registry
from v1registry.cli.main import main
from v1registry.settings import from_ini, judge


def written(text: str, folder: Path, url: str) -> Path:
    """Write an ini file whose origin is at a URL."""
    path = folder / "mirror.ini"
    text = text.replace("file:///srv", f"file://{folder}/srv")
    path.write_text(text.replace("https://registry.example.com", url), "utf-8")
    return path


def texts() -> list[str]:
    return [block("mirror-ini"), (EXAMPLES / "mirror.ini").read_text("utf-8")]


@pytest.mark.parametrize("text", texts(), ids=["page", "example"])
def test_the_settings_make_a_mirror(text: str, tmp_path: Path) -> None:
    with FakeRegistry() as origin:
        image = origin.add_image("team/app:1.0", api="v2")
        origin.add_image("alice/app:1.0", api="v2")
        mirror = V2Client(Registry.from_ini(written(text, tmp_path, origin.url)))
        assert mirror.get_manifest("team/app", "1.0").body == image.document
        assert mirror.get_manifest("alice/app", "1.0").status == 404


def test_every_commented_setting_of_the_example_is_valid(tmp_path: Path) -> None:
    text = texts()[1]
    given = from_ini(written(text, tmp_path, "https://registry.example.com"))
    lines = [line[1:].partition(" = ") for line in text.splitlines() if re.match(r";\w+ = ", line)]
    assert len(lines) > 4
    _, problems = judge({**given, **{key: value for key, _, value in lines}})
    assert problems == []


def test_check_config_asks_the_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeRegistry() as origin:
        path = written(texts()[0], tmp_path, origin.url)
        path.write_text(f"{path.read_text()}mirror_user = robot\nmirror_password = s3cret\n")
        assert main(["check-config", "--config", str(path)]) == 0
        printed = capsys.readouterr().out
        assert "s3cret" not in printed
        assert "warning: mirror_user: every client reads what robot can read" in printed
        with origin.fail(status=503):
            assert main(["check-config", "--config", str(path)]) == 3
    assert "problem: mirror: the registry cannot be asked: " in capsys.readouterr().out


@pytest.mark.parametrize("text", texts(), ids=["page", "example"])
def test_check_config_warns_of_a_mirror_to_which_every_client_can_push(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeRegistry() as origin:
        for text_of_case, is_warned in ((text, False), (text.replace("read_only = yes", ""), True)):
            path = written(text_of_case, tmp_path, origin.url)
            assert main(["check-config", "--config", str(path)]) == 0
            assert ("warning: mirror: every client can push" in capsys.readouterr().out) is is_warned
