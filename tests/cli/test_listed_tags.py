"""The tags of both APIs in ``repository list``, and patterns of ``gc`` that match nothing."""

from __future__ import annotations

import json

import pytest
from support.v2_client import OCI_MANIFEST, V2Client

from v1registry import FileStorage, Registry
from v1registry.cli.main import main


@pytest.fixture
def client(url: str) -> V2Client:
    return V2Client(Registry(storage=FileStorage.from_url(url), v2="on"))


def test_list_has_tags_that_only_v2_shows(
    client: V2Client, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put_manifest("team/art", "only-v2", client.artifact("team/art", "a chart"), OCI_MANIFEST)
    client.put_manifest("team/art", "gone", client.artifact("team/art", "a chart"), OCI_MANIFEST)
    client.put_manifest("team/art", "both", client.image("team/art", "an image"), OCI_MANIFEST)
    client.ask("DELETE", "/v2/team/art/manifests/gone")

    assert main(["repository", "list", "--storage", url, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["tags"] == ["both", "only-v2"]

    assert main(["repository", "list", "--storage", url]) == 0
    assert "\ttags=2\t" in capsys.readouterr().out


def test_gc_names_patterns_that_match_no_repository(
    client: V2Client, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put_manifest("team/app", "1.0", client.image("team/app", "one"), OCI_MANIFEST)
    arguments = ["--repository", "ci/*", "--repository", "team/*", "--keep-newest", "1", "--storage", url]

    assert main(["gc", *arguments]) == 0
    assert capsys.readouterr().err == (
        "v1registry: warning: no repository has the form 'ci/*' of --repository, so it removed no tag\n"
    )

    assert main(["gc", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["unmatched"] == ["ci/*"]
