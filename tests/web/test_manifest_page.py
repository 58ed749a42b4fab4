"""The page of a manifest, and manifests on the page of a repository."""

from __future__ import annotations

import pytest
from support.reader import ATTACKS, Reader, checked, words
from v1registry_fakes import FakeRegistry

REPOSITORY = "/repositories/team/app"


def page_of(registry: FakeRegistry, digest: str, name: str = "team/app") -> str:
    page = Reader(registry.app).page(f"/manifests/{digest}?repository={name}")
    return words(page.main)


def test_image_shows_digest_platform_layers_and_history(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1.0", layers=2, api="v2")
    text = page_of(registry, image.digest)
    assert text.startswith(f"Repositories › team/app › Image {image.digest[:19]} Image {image.digest[:19]}")
    assert f"docker pull localhost/team/app@{image.digest}" in text
    for expected in ("Platform linux/amd64", "in 2 layers", "Tag 1.0", "one layer", "History"):
        assert expected in text, expected
    for layer in image.json["layers"]:
        assert layer["digest"][:19] in text


def test_repository_links_the_manifests_of_its_tags(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1.0", api="v2")
    page = Reader(registry.app).page(REPOSITORY)
    assert f"/manifests/{image.digest}?repository=team/app" in {link["href"] for link in page.select("a")}
    image_id = registry.image("team/app:1.0").id
    manifest = Reader(registry.app).page(f"/manifests/{image.digest}?repository=team/app")
    assert f"/images/{image_id}?repository=team/app" in {link["href"] for link in manifest.select("a")}


def test_index_shows_its_platforms(registry: FakeRegistry) -> None:
    images = {
        platform: registry.add_image(f"team/app:{platform[-5:]}", files={"p": platform}, api="v2")
        for platform in ("windows/amd64", "windows/arm64")
    }
    index = registry.add_index("team/app:all", images)
    text = page_of(registry, index.digest)
    assert "Platforms windows/amd64" in text
    assert "in 2 manifests" in text
    page = Reader(registry.app).page(REPOSITORY)
    other = words(page.select_one("#other-tags-title").parent)
    assert "Index: windows/amd64, windows/arm64" in other


def test_artifact_shows_type_blobs_and_annotations(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1.0", api="v2")
    artifact = registry.add_artifact(
        "team/app", {"sbom.json": "{}"}, artifact_type="application/spdx+json", subject=image,
        annotations={"made.by": "a test"},
    )  # fmt: skip
    text = page_of(registry, artifact.digest)
    for expected in (
        "Artifact type application/spdx+json",
        "sbom.json",
        "made.by a test",
        f"Attached to {image.digest[:19]}",
    ):
        assert expected in text, expected
    assert "docker pull" not in text
    attached = page_of(registry, image.digest)
    assert f"Attached to this image {artifact.digest[:19]} application/spdx+json" in attached


def test_tag_of_an_artifact_is_on_the_page_of_the_repository(registry: FakeRegistry) -> None:
    registry.add_artifact("team/app:chart", b"x", artifact_type="application/vnd.cncf.helm")
    page = Reader(registry.app).page(REPOSITORY)
    assert "chart" in words(page.select_one("#other-tags-title").parent)
    assert "Artifact: application/vnd.cncf.helm" in words(page.main)


@pytest.mark.parametrize("digest", ["sha256:x", f"sha256:{'0' * 64}", "x", "..", "sha512:", "%00"])
def test_unknown_manifest_is_404(registry: FakeRegistry, digest: str) -> None:
    registry.add_image("team/app:1.0", api="v2")
    answer = Reader(registry.app).ask(f"/manifests/{digest}?repository=team/app")
    assert answer.status == 404
    checked(answer.body)


@pytest.mark.parametrize("name", ["", "team/other", "a/b/c", "../x", "%00"])
def test_manifest_is_shown_only_in_its_repository(registry: FakeRegistry, name: str) -> None:
    image = registry.add_image("team/app:1.0", api="v2")
    registry.add_image("team/other:1.0", files={"other": "x"}, api="v2")
    answer = Reader(registry.app).ask(f"/manifests/{image.digest}?repository={name}")
    assert answer.status == 404


def test_manifest_of_a_private_repository_is_hidden() -> None:
    registry = FakeRegistry(auth="users:")
    registry.add_user("mira")
    registry.add_repository("mira/secret", is_private=True)
    image = registry.add_image("mira/secret:1", api="v2")
    path = f"/manifests/{image.digest}?repository=mira/secret"
    hidden = Reader(registry.app).ask(path)
    absent = Reader(registry.app).ask(path.replace("secret", "absent"))
    assert (hidden.status, hidden.body) == (absent.status, absent.body) == (404, absent.body)


@pytest.mark.parametrize("attack", ATTACKS)
def test_texts_of_manifests_are_escaped(registry: FakeRegistry, attack: str) -> None:
    artifact = registry.add_artifact(
        "team/app:1", {attack: "x"}, annotations={attack: attack}, artifact_type="application/x"
    )
    image = registry.add_image(
        "team/app:2", api="v2", json={"author": attack, "variant": attack, "os": attack}
    )
    for manifest in (artifact, image):
        checked(Reader(registry.app).ask(f"/manifests/{manifest.digest}?repository=team/app").body)
    checked(Reader(registry.app).ask(REPOSITORY).body)


def test_there_is_no_manifest_page_without_the_distribution_api() -> None:
    registry = FakeRegistry(v2="ping")
    registry.add_image("team/app:1")
    path = f"/manifests/sha256:{'0' * 64}?repository=team/app"
    assert Reader(registry.app).ask(path).status == 404
    assert "Artifacts and indexes" not in words(Reader(registry.app).page(REPOSITORY).main)
