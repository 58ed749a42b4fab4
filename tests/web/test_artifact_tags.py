"""Owners delete tags that v1 does not show, on the pages: those of artifacts and of some indexes."""

from __future__ import annotations

import pytest
from support.managed import NAME, PAGE, ManagedWorld, noticed
from support.page_person import PASSWORD, Person, said, token_of
from support.v2_client import V2Client, digest_of

from v1registry.rights import Action

FORM = "/manage/tags/mira_k/app"
LINK = {"aria-label": "Delete the tag report"}


class ArtifactWorld(ManagedWorld):
    """A world in which mira_k/app also has the tag report, of an artifact."""

    def __init__(self) -> None:
        super().__init__()
        self.v2 = V2Client(self.app, "mira_k", PASSWORD)
        self.artifact = self.put("report", "one")

    def put(self, tag: str, content: str) -> bytes:
        artifact = self.v2.artifact("mira_k/app", content)
        assert self.v2.put_manifest("mira_k/app", tag, artifact).status == 201
        return artifact


@pytest.fixture
def world() -> ArtifactWorld:
    return ArtifactWorld()


def test_tag_of_an_artifact_is_deleted_after_a_confirmation(world: ArtifactWorld) -> None:
    person = world.mira()
    link = person.get("/repositories/mira_k/app").html.find("a", attrs=LINK)
    page = person.get(link["href"])
    assert digest_of(world.artifact)[:19] in said(page)
    assert world.v2.tags("mira_k/app") == ["1", "latest", "report"], "a link deletes nothing"
    assert noticed(person, person.send(page, FORM)) == "The tag has been deleted."
    assert world.v2.tags("mira_k/app") == ["1", "latest"]
    # the manifest stays
    assert world.v2.shown("mira_k/app", digest_of(world.artifact)) == digest_of(world.artifact)
    assert person.get(link["href"]).status_int == 404
    assert person.send(page, FORM).status_int == 404


@pytest.mark.parametrize("moved_to", ["artifact", "image"])
def test_tag_of_an_artifact_that_was_moved_is_not_deleted(world: ArtifactWorld, moved_to: str) -> None:
    person = world.mira()
    page = person.get(f"{PAGE}?tag=report")
    if moved_to == "artifact":
        world.put("report", "two")
    else:
        image = world.v2.image("mira_k/app", "image")
        assert world.v2.put_manifest("mira_k/app", "report", image).status == 201
    before = world.state()
    answer = person.send(page, FORM)
    assert answer.status_int == 409
    assert "The tag report names something different now" in said(answer)
    assert world.state() == before


def test_tag_of_an_image_that_became_an_artifact_is_not_deleted(world: ArtifactWorld) -> None:
    person = world.mira()
    page = person.get(f"{PAGE}?tag=1")
    world.put("1", "two")
    before = world.state()
    assert person.send(page, FORM).status_int == 409
    assert world.state() == before


def test_last_tag_of_an_artifact_leaves_the_repository(world: ArtifactWorld) -> None:
    person = world.mira()
    for tag in ("1", "latest", "report"):
        answer = person.send(person.get(f"{PAGE}?tag={tag}"), FORM)
        assert noticed(person, answer) == "The tag has been deleted."
    assert world.v2.tags("mira_k/app") == []


@pytest.mark.parametrize("right", [None, Action.READ, Action.WRITE])
def test_only_owners_delete_the_tag_of_an_artifact(world: ArtifactWorld, right: Action | None) -> None:
    if right is not None:
        world.repositories.set_collaborator(NAME, "zoe_x", right)
    before, zoe = world.state(), world.zoe()
    assert zoe.get("/repositories/mira_k/app").html.find("a", attrs=LINK) is None
    assert zoe.get(f"{PAGE}?tag=report").status_int == 403
    sent = {"tag": "report", "target": digest_of(world.artifact), "form_token": token_of(zoe.get("/account"))}
    assert zoe.post(FORM, sent).status_int == 403
    assert world.state() == before


def test_form_for_the_tag_of_an_artifact_needs_the_token(world: ArtifactWorld) -> None:
    before, person = world.state(), world.mira()
    sent = {"tag": "report", "target": digest_of(world.artifact)}
    elsewhere = token_of(world.mira().get(PAGE))
    for token in ("", "x" * 43, elsewhere):
        assert person.post(FORM, {**sent, "form_token": token}).status_int == 403
    own = {**sent, "form_token": token_of(person.get(PAGE))}
    assert person.post(FORM, own, {"Sec-Fetch-Site": "cross-site"}).status_int == 403
    assert world.state() == before


def test_anonymous_visitor_logs_in_before_the_deletion(world: ArtifactWorld) -> None:
    answer = Person(world.app).get(f"{PAGE}?tag=report")
    assert answer.status_int == 303
    assert answer.headers["Location"].startswith("/login?next=")


@pytest.mark.parametrize("tag", ["missing", "", "..", "a/b", "x" * 200, "\u202ex"])
def test_tag_that_is_nowhere_is_404(world: ArtifactWorld, tag: str) -> None:
    before, person = world.state(), world.mira()
    token = token_of(person.get(PAGE))
    assert person.post(FORM, {"tag": tag, "form_token": token}).status_int == 404
    assert world.state() == before
