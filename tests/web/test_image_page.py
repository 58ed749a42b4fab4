"""The page of an image: its facts and its history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reader import ATTACKS, PEOPLE, Reader, checked, facts_in, links_in, make_private, town, words
from support.wsgi_client import call
from v1registry_fakes import FakeImage, FakeRegistry

from v1registry import Registry
from v1registry.storage.base import StorageUnavailable
from v1registry.web.views import history
from v1registry.web.views.image_json import Command, ImageFacts, command_of, time_of


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def steps_in(page: Any) -> list[str]:
    return [words(item) for item in page.select(".history > li")]


def chain_of(
    registry: FakeRegistry, *documents: dict[str, object], name: str | None = None
) -> list[FakeImage]:
    """Push images that build on each other, the root first."""
    built: list[FakeImage] = []
    for number, document in enumerate(documents):
        parent = built[-1] if built else None
        built.append(registry.add_image(name, layer=b"x" * 1024 * (number + 1), parent=parent, json=document))
    return built


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
    root, middle, top = chain_of(
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
    *_, top = chain_of(registry, {}, {}, {}, {})
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
    registry.storage.write(f"images/{base.id}/_announced_by/mira_k/open", b"{}")
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
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert "size unknown" in steps_in(page)[0]
    assert facts_in(page)["Size"] == "at least 0 bytes in 1 layer"


def test_a_damaged_ancestry_is_reported(registry: FakeRegistry) -> None:
    _, middle, top = chain_of(registry, {}, {}, {})
    registry.storage.delete(f"images/{top.id}/ancestry")
    registry.storage.delete(f"images/{middle.id}/json")
    page = Reader(registry.app).page(f"/images/{top.id}")
    assert "The ancestry of this image is damaged" in words(page.main)
    assert len(steps_in(page)) == 1


def test_missing_and_unfinished_layers_are_marked(registry: FakeRegistry) -> None:
    root, middle, top = chain_of(registry, {}, {}, {})
    registry.storage.delete(f"images/{root.id}/json")
    registry.storage.write(f"images/{middle.id}/_inprogress", b"true")
    steps = steps_in(Reader(registry.app).page(f"/images/{top.id}"))
    assert steps[1].startswith("This layer is being uploaded")
    assert steps[2].startswith("This layer is missing")


@pytest.mark.parametrize("most", [2, 3])
def test_a_long_history_is_cut(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(history, "MOST_SHOWN", most)
    _, middle, top = chain_of(registry, {}, {}, {})
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


# -- JSON of attackers and of old servers

ODD: list[object] = [
    None, True, 0, -1, 1e308, "", "x", "\ud800", "\0", [], [[]], [None], {}, {"x": None}, {"": ""},
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59", "2014-13-45T99:99:99Z",
    "1969-12-31T00:00:00Z", 1399104930,
    "2014-05-03T08:15:30", ["a", 1, None, {}], [["sh"]], {"Cmd": {"Cmd": []}}, "x" * 100_000, ["x"] * 10_000,
]  # fmt: skip

KEYS = [
    "created",
    "author",
    "comment",
    "container_config",
    "config",
    "os",
    "architecture",
    "docker_version",
    "parent_id",
]
INNER = ["Cmd", "Entrypoint", "Env", "ExposedPorts", "Volumes", "WorkingDir", "User", "Labels", "OnBuild"]


@pytest.mark.parametrize("key", KEYS + INNER)
def test_values_of_wrong_types_are_ignored(registry: FakeRegistry, key: str) -> None:
    for value in ODD:
        document = {key: value} if key in KEYS else {"config": {key: value}, "container_config": {key: value}}
        image = registry.add_image(json=document)
        registry.storage.write(
            f"images/{image.id}/json",
            json.dumps({"id": image.id, **document}).encode("utf-8", "surrogatepass"),
        )
        answer = Reader(registry.app).ask(f"/images/{image.id}")
        assert answer.status == 200, (key, value)
        checked(answer.body)
        assert len(answer.body) < 200_000


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"0",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b'{"created": NaN}',
        b"1" * 5000,
    ],
)
def test_an_invalid_document_gives_no_facts(registry: FakeRegistry, document: bytes) -> None:
    image = registry.add_image()
    registry.storage.write(f"images/{image.id}/json", document)
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert set(facts_in(page)) == {"Id", "Size"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_values_are_escaped(registry: FakeRegistry, attack: str) -> None:
    said: dict[str, object] = {key: attack for key in KEYS if key not in ("container_config", "config")}
    inner: dict[str, object] = {"Cmd": ["/bin/sh", "-c", attack], "Env": [attack], "User": attack}
    inner |= {"Labels": {attack: attack}, "Volumes": {attack: {}}, "WorkingDir": attack, "OnBuild": [attack]}
    said |= {"container_config": inner, "config": inner}
    *_, top = chain_of(registry, said, said)
    page = Reader(registry.app).page(f"/images/{top.id}")
    if attack.startswith("<script"):
        assert steps_in(page)[1].startswith(attack)
        assert facts_in(page)["Author"] == attack
    assert "\u202e" not in str(page)
    assert "\x1b" not in str(page)


texts = st.text() | st.sampled_from([*ATTACKS, "/bin/sh", "-c", "#(nop) X", "2014-01-01T00:00:00Z", "\ud800"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts | st.sampled_from(KEYS + INNER), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=len(KEYS)))
def test_any_document_gives_image_facts(document: dict[str, Any]) -> None:
    told = ImageFacts.of(json.dumps(document).encode())
    shown = [told.author, told.comment, told.platform, told.docker_version]
    shown += [text for _, found in told.settings for text in found]
    shown += [told.command.text] if told.command else []
    for text in shown:
        text.encode("utf-8")
        assert "\0" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-05-03T08:15:30Z", "2014-05-03T08:15:30+00:00"),
        ("2014-05-03T08:15:30.1Z", "2014-05-03T08:15:30.100000+00:00"),
        ("2014-05-03T08:15:30.123456789Z", "2014-05-03T08:15:30.123456+00:00"),
        ("2014-05-03 08:15:30", "2014-05-03T08:15:30+00:00"),
        ("2014-05-03T08:15:30-07:00", "2014-05-03T15:15:30+00:00"),
        ("2014-05-03T08:15:30+0530", "2014-05-03T02:45:30+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
        ("9999-12-31T23:59:59-01:00", None),
        ("1970-01-01T00:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("2014-05-03T08:15:60Z", None),
        ("2014-05-03T08:15:30Z\n", None),
        ("٢٠١٤-05-03T08:15:30Z", None),
        ("2014-05-03", None),
    ],
)
def test_times_of_go_are_parsed(text: str, expected: str | None) -> None:
    found = time_of(text)
    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["/bin/sh", "-c", "#(nop) CMD [\"sh\"]"], Command("instruction", 'CMD ["sh"]')),
        (["/bin/sh", "-c", "#(nop)  ENV A=1"], Command("instruction", "ENV A=1")),
        (["/bin/sh", "-c", "a && b\n  && c"], Command("shell", "a && b\n  && c")),
        (["/bin/bash"], Command("program", "/bin/bash")),
        (["/bin/sh", "-c"], Command("program", "/bin/sh -c")),
        (["a", "b c", "$d"], Command("program", "a 'b c' '$d'")),
        ("make", Command("shell", "make")),
        ([], None),
        ("", None),
        (None, None),
        ([1, None], None),
        (["x" * 20_000], Command("program", "x" * 10_000 + "…")),
    ],
)  # fmt: skip
def test_commands_are_shown_as_given(value: object, expected: Command | None) -> None:
    found = command_of(value)
    if found is not None and expected is not None and len(expected.text) > 5000:
        assert len(found.text) < 10_100
        return
    assert found == expected


def test_an_outage_gets_an_error_page(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    image = registry.add_image()

    def fail(key: str) -> Any:
        raise StorageUnavailable(key, "the disk /secret is on fire")

    monkeypatch.setattr(registry.storage, "stat", fail)
    for what in ("", "/files", "/changes"):
        page = Reader(registry.app).page(f"/images/{image.id}{what}", 503)
        assert "/secret" not in str(page)


def test_an_image_in_a_public_repository_is_public() -> None:
    registry = town()
    image = registry.image("mira_k/shop:1.0")
    registry.add_repository("mira_k/other")
    make_private(registry, "mira_k/other")
    registry.tag(image, "mira_k/other:1")
    Reader(registry.app).page(f"/images/{image.id}")


def test_api_paths_stay_the_same(registry: FakeRegistry) -> None:
    image = registry.add_image("team/app:1")
    for path in (
        f"/v1/images/{image.id}/json",
        f"/v1/images/{image.id}/files",
        "/v1/repositories/team/app/tags",
    ):
        answer = call(registry.app, "GET", path, HTTP_ACCEPT="text/html")
        assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    missing = call(Registry(storage=registry.storage), "GET", "/v1/images/x/json", HTTP_ACCEPT="text/html")
    assert json.loads(missing.body) == {"error": "Invalid image ID"}


# -- large JSON


def padded(size_bytes: int, **said: object) -> dict[str, object]:
    """Return values that make JSON of about so many bytes."""
    return {**said, "padding": "x" * size_bytes}


def test_a_layer_with_too_large_json_says_so(registry: FakeRegistry) -> None:
    said = {"author": "Mira Kovac", "container_config": {"Cmd": ["make"]}}
    *_, top = chain_of(
        registry, padded(10, **said), padded(history.LARGEST_JSON_BYTES, **said), padded(10, **said)
    )
    page = Reader(registry.app).page(f"/images/{top.id}")
    assert "too large" not in words(page.select_one(".facts"))
    steps = steps_in(page)
    assert ["No details" in step for step in steps] == [False, True, False]
    assert "Mira Kovac" not in steps[1]
    assert "2.0 KiB" in steps[1]
    assert links_in(page).keys() >= {image[:12] for image in top.ancestry[1:]}
    assert facts_in(page)["Size"] == "6.0 KiB in 3 layers"


def test_an_image_whose_own_json_is_too_large_says_so(registry: FakeRegistry) -> None:
    image = registry.add_image(json=padded(history.LARGEST_JSON_BYTES, author="Mira Kovac"))
    page = Reader(registry.app).page(f"/images/{image.id}")
    assert "The JSON of this image is too large to display." in words(page.main)
    assert "Author" not in facts_in(page)
    assert "This image" in steps_in(page)[0]


def test_much_json_describes_the_nearest_layers(
    registry: FakeRegistry,
) -> None:
    share = history.MOST_JSON_BYTES // 5
    *_, top = chain_of(registry, *[padded(share, container_config={"Cmd": ["make"]}) for _ in range(6)], {})
    steps = steps_in(Reader(registry.app).page(f"/images/{top.id}"))
    assert ["make" in step for step in steps] == [False, True, True, True, True, False, False]
    assert ["No details" in step for step in steps] == [False] * 5 + [True] * 2
