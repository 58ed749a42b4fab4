"""The page of an image: malformed and large JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.image_pages import push_history, steps_in
from support.reader import ATTACKS, Reader, checked, facts_in, links_in, make_private, town, words
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import Registry
from v1registry.storage.base import StorageUnavailable
from v1registry.web.views import history
from v1registry.web.views.image_json import Command, ImageFacts, command_of, time_of

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
def test_an_image_with_an_invalid_document_is_not_found(registry: FakeRegistry, document: bytes) -> None:
    """It counts as incomplete (decisions.md 22). A page of an image above it still lists it."""
    base = registry.add_image()
    top = registry.add_image(parent=base.id)
    registry.storage.write(f"images/{base.id}/json", document)
    Reader(registry.app).page(f"/images/{base.id}", 404)
    page = Reader(registry.app).page(f"/images/{top.id}")
    assert facts_in(page)["Id"] == top.id
    assert len(steps_in(page)) == 2


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_values_are_escaped(registry: FakeRegistry, attack: str) -> None:
    said: dict[str, object] = {key: attack for key in KEYS if key not in ("container_config", "config")}
    inner: dict[str, object] = {"Cmd": ["/bin/sh", "-c", attack], "Env": [attack], "User": attack}
    inner |= {"Labels": {attack: attack}, "Volumes": {attack: {}}, "WorkingDir": attack, "OnBuild": [attack]}
    said |= {"container_config": inner, "config": inner}
    *_, top = push_history(registry, said, said)
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


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
    *_, top = push_history(
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
    *_, top = push_history(
        registry, *[padded(share, container_config={"Cmd": ["make"]}) for _ in range(6)], {}
    )
    steps = steps_in(Reader(registry.app).page(f"/images/{top.id}"))
    assert ["make" in step for step in steps] == [False, True, True, True, True, False, False]
    assert ["No details" in step for step in steps] == [False] * 5 + [True] * 2
