"""The page of an image: its facts and its history."""

from __future__ import annotations

import json

import pytest
from support.image_pages import push_history, steps_in
from support.reader import PEOPLE, Reader, checked, facts_in, links_in, town, words
from v1registry_fakes import FakeRegistry

from v1registry.web.views import history

# -- visibility


@pytest.mark.parametrize(("who", "is_seen"), PEOPLE.items())
@pytest.mark.parametrize("what", ["", "/files", "/changes"])
def test_a_private_image_is_shown_only_to_readers(who: str | None, is_seen: bool, what: str) -> None:
    registry = town()
    image_id = registry.tags("mira_k/ledger")["2015"]
    reader = Reader(registry.app, who)
    answer = reader.ask(f"/images/{image_id}{what}")
    if is_seen:
        assert answer.status == 200
        assert answer.header("Cache-Control") in ("no-store", "no-cache")
        assert image_id[:12] in words(checked(answer.body))
    else:
        absent = reader.ask(f"/images/{'0' * 64}{what}")
        assert (answer.status, answer.body) == (absent.status, absent.body)
        assert words(checked(answer.body).h1) == "Image not found"


@pytest.mark.parametrize("what", ["", "/files", "/changes"])
def test_an_unfinished_image_says_retry_later(registry: FakeRegistry, what: str) -> None:
    image = registry.add_image("team/app:1", is_complete=False)
    page = Reader(registry.app).page(f"/images/{image.id}{what}", 400)
    assert words(page.h1) == "Image is being uploaded, retry later"


@pytest.mark.parametrize(
    "image_id", ["x", "0" * 64, "A" * 64, "..", "0" * 63, "\0", "0" * 64 + "\n", "%", "\xc3\xa9"]
)
@pytest.mark.parametrize("what", ["", "/files", "/changes"])
def test_an_unknown_image_is_404(registry: FakeRegistry, image_id: str, what: str) -> None:
    answer = Reader(registry.app).ask(f"/images/{image_id}{what}")
    assert answer.status == 404
    checked(answer.body)


@pytest.mark.parametrize("what", ["", "/files", "/changes"])
def test_pages_with_credentials_are_not_cached(what: str) -> None:
    registry = town()
    image_id = registry.tags("mira_k/shop")["1.0"]
    mira = Reader(registry.app, "mira_k")
    asked = mira.ask("/v1/repositories/mira_k/shop/images", HTTP_X_DOCKER_TOKEN="true")
    for header in (f"Token {asked.header('X-Docker-Token')}", mira.environ["HTTP_AUTHORIZATION"]):
        answer = Reader(registry.app, HTTP_AUTHORIZATION=header).ask(f"/images/{image_id}{what}")
        assert (answer.status, answer.header("Cache-Control")) == (200, "no-store")
    assert Reader(registry.app).ask(f"/images/{image_id}{what}").header("Cache-Control") == "no-cache"


# -- content


def test_an_image_shows_facts_and_settings(registry: FakeRegistry) -> None:
    image = registry.add_image(
        "team/app:1",
        layer=b"x" * 2048,
        json={
            "created": "2014-05-03T10:15:30.123456789+02:00",
            "author": "Mira Kovac",
            "comment": "two\nlines",
            "os": "linux",
            "architecture": "arm",
            "docker_version": "1.5.0",
            "config": {
                "Cmd": ["sh", "-c", "echo a b"],
                "Entrypoint": ["/bin/tini", "--"],
                "Env": ["A=1", "B=2"],
                "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
                "Volumes": {"/data": {}},
                "WorkingDir": "/srv",
                "User": "www",
                "Labels": {"b": "2", "a": "1"},
                "OnBuild": ["RUN make"],
            },
        },
    )
    page = Reader(registry.app).page(f"/images/{image.id}")
    facts = facts_in(page)
    assert words(page.h1) == f"Image {image.id[:12]}"
    assert facts.pop("Created").endswith("years ago")
    assert page.select_one(".facts time")["datetime"] == "2014-05-03T08:15:30.123456+00:00"
    assert page.select_one(".facts time")["title"] == "2014-05-03 08:15 UTC"
    assert facts == {
        "Id": image.id,
        "Author": "Mira Kovac",
        "Comment": "two lines",
        "Platform": "linux arm",
        "Built by": "Docker 1.5.0",
        "Size": "2.0 KiB in 1 layer",
        "Entry point": "/bin/tini --",
        "Command": "sh -c 'echo a b'",
        "Working folder": "/srv",
        "User": "www",
        "Ports": "443/tcp 80/tcp",
        "Volumes": "/data",
        "Environment": "A=1 B=2",
        "On build": "RUN make",
        "Labels": "a=1 b=2",
    }


def test_history_shows_the_newest_layer_first(registry: FakeRegistry) -> None:
    root, middle, top = push_history(
        registry,
        {
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD file:abc in /"]},
            "comment": "Imported from -",
        },
        {"container_config": {"Cmd": ["/bin/sh", "-c", "make install"]}, "author": "Tomas"},
        {"container_config": None},
    )
    page = Reader(registry.app).page(f"/images/{top.id}")
    steps = steps_in(page)
    assert steps[0].startswith("The command of this layer is unknown This image")
    assert steps[1].startswith(f"make install {middle.id[:12]}")
    assert "by Tomas" in steps[1]
    assert steps[2].startswith(f"ADD file:abc in / {root.id[:12]}")
    assert "Imported from -" in steps[2]
    assert [step.rpartition(" KiB")[0].split()[-1] for step in steps] == ["3.0", "2.0", "1.0"]
    assert [item["value"] for item in page.select(".history > li")] == ["3", "2", "1"]
    assert facts_in(page)["Size"] == "6.0 KiB in 3 layers"
    links = links_in(page)
    assert links[middle.id[:12]] == f"/images/{middle.id}"
    assert links[root.id[:12]] == f"/images/{root.id}"
    assert links["Files in this layer"] == f"/images/{top.id}/files"
    assert links["What this layer changed"] == f"/images/{top.id}/changes"


def test_bars_compare_sizes_with_the_largest_layer(registry: FakeRegistry) -> None:
    *_, top = push_history(registry, {}, {}, {}, {})
    page = Reader(registry.app).page(f"/images/{top.id}")
    assert [bar["width"] for bar in page.select("rect.bar")] == ["100.00", "75.00", "50.00", "25.00"]
    assert all(svg["aria-hidden"] == "true" for svg in page.select(".history svg"))


def test_empty_layers_have_empty_bars(registry: FakeRegistry) -> None:
    image = registry.add_image(layer=b"")
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert [bar["width"] for bar in page.select("rect.bar")] == ["0.00"]


def test_a_hidden_layer_shows_only_its_id() -> None:
    """The ancestry reveals its id. This happens only with old data, or after the loss of marks."""
    registry = town()
    base = registry.add_image("mira_k/ledger:base", json={"comment": "the secret books"}, layer=b"x" * 5000)
    child = registry.add_image("mira_k/open:1", parent=base, layer=b"y" * 1024)
    registry.storage.delete(f"images/{base.id}/_held_by/mira_k/open")
    page = Reader(registry.app).page(f"/images/{child.id}")
    assert "secret" not in words(page.main)
    assert steps_in(page)[1].startswith("You may not see this layer")
    assert f"/images/{base.id}" not in links_in(page).values()
    assert facts_in(page)["Size"] == "at least 1.0 KiB in 2 layers"
    Reader(registry.app).page(f"/images/{child.id}/changes", 404)
    owner = Reader(registry.app, "mira_k").page(f"/images/{child.id}")
    assert "the secret books" in steps_in(owner)[1]


def test_a_layer_of_a_mirror_has_no_size(registry: FakeRegistry) -> None:
    image = registry.add_image()
    registry.storage.delete(f"images/{image.id}/layer")
    registry.storage.delete(f"images/{image.id}/_checksum")
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert "size unknown" in steps_in(page)[0]
    assert facts_in(page)["Size"] == "at least 0 bytes in 1 layer"


def test_a_damaged_ancestry_is_reported(registry: FakeRegistry) -> None:
    _, middle, top = push_history(registry, {}, {}, {})
    registry.storage.delete(f"images/{top.id}/ancestry")
    registry.storage.delete(f"images/{middle.id}/json")
    page = Reader(registry.app).page(f"/images/{top.id}")
    assert "The ancestry of this image is damaged" in words(page.main)
    assert len(steps_in(page)) == 1


def test_missing_and_unfinished_layers_are_marked(registry: FakeRegistry) -> None:
    root, middle, top = push_history(registry, {}, {}, {})
    registry.storage.delete(f"images/{root.id}/json")
    registry.storage.write(f"images/{middle.id}/_inprogress", b"true")
    steps = steps_in(Reader(registry.app).page(f"/images/{top.id}"))
    assert steps[1].startswith("This layer is being uploaded")
    assert steps[2].startswith("This layer is missing")


@pytest.mark.parametrize("most", [2, 3])
def test_a_long_history_is_cut(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(history, "MOST_SHOWN", most)
    _, middle, top = push_history(registry, {}, {}, {})
    page = Reader(registry.app).page(f"/images/{top.id}")
    assert len(steps_in(page)) == most
    links = links_in(page)
    if most == 2:
        assert "1 older layer not shown" in words(page.main)
        assert links["Continue with the oldest layer shown"] == f"/images/{middle.id}"
        assert facts_in(page)["Size"] == "at least 5.0 KiB in 3 layers"
    else:
        assert "not shown" not in words(page.main)


def test_a_thousand_layers_make_a_page_of_a_bounded_size(registry: FakeRegistry) -> None:
    ids = [f"{number:064x}" for number in range(1000)]
    document = {"container_config": {"Cmd": ["sh", "x" * 9000]}, "comment": "y" * 9000}
    for number, image_id in enumerate(ids):
        folder = f"images/{image_id}"
        registry.storage.write(f"{folder}/json", json.dumps({"id": image_id, **document}).encode())
        registry.storage.write(f"{folder}/ancestry", json.dumps(ids[: number + 1][::-1]).encode())
        registry.storage.write(f"{folder}/layer", b"x")
    answer = Reader(registry.app).ask(f"/images/{ids[-1]}")
    assert answer.status == 200
    assert len(checked(answer.body).select(".history > li")) == history.MOST_SHOWN == 500
    assert len(answer.body) < 2_000_000
