"""registry.md 9 and hub.md 7: search (HUB-027, HUB-028, decisions.md 1 and 16)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from support.engine_client import make_image
from support.wsgi_client import Client

from v1registry import Registry, Storage

NUMBERED = [f"foo/r{number:03d}" for number in range(120)]


def fill(client: Client, *names: str) -> None:
    for name in names:
        assert client.put(f"/v1/repositories/{name}/", "[]").status_int == 200


def searched(client: Client, **parameters: object) -> dict[str, Any]:
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
    answer = client.get(f"/v1/search?{query}" if query else "/v1/search")
    assert (answer.status_int, answer.headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [result["name"] for result in found["results"]]


@pytest.fixture
def many(client: Client) -> Client:
    fill(client, *NUMBERED)
    return client


def test_HUB_027_an_answer_has_six_keys(client: Client) -> None:
    fill(client, "foo/bar")
    found = searched(client, q="bar")
    assert {key: value for key, value in found.items() if key != "results"} == {
        "num_pages": 1, "num_results": 1, "page": 1, "page_size": 10_000, "query": "bar",
    }  # fmt: skip
    assert set(found) == {"num_pages", "num_results", "page", "page_size", "query", "results"}


def test_HUB_027_nothing_found_is_one_empty_page(client: Client) -> None:
    found = searched(client, q="nothing", n=10)
    assert (found["num_results"], found["num_pages"], found["page"], found["results"]) == (0, 1, 1, [])


def test_decision_1_search_without_n_and_page_returns_all(many: Client) -> None:
    found = searched(many)
    assert names(found) == NUMBERED
    assert (found["num_results"], found["num_pages"], found["page"], found["page_size"]) == (
        120,
        1,
        1,
        10_000,
    )


def test_decision_1_results_are_limited_and_the_total_is_not(storage: Storage) -> None:
    client = Client(Registry(storage=storage, search_limit=50))
    fill(client, *NUMBERED)
    found = searched(client)
    assert names(found) == NUMBERED[:50]
    assert (found["num_results"], found["num_pages"], found["page"], found["page_size"]) == (120, 3, 1, 50)


@pytest.mark.parametrize(
    ("n", "page_size"),
    [("1", 1), ("7", 7), ("100", 100), ("101", 100), ("0", 1), ("-3", 1), ("9" * 40, 100), ("", 25),
    ("x", 25), ("1.5", 25),
     ("1e1", 25), ("\0", 25), (" 7 ", 7)],
)  # fmt: skip
def test_HUB_027_n_is_clamped_to_1_and_100_and_is_25_by_default(many: Client, n: str, page_size: int) -> None:
    found = searched(many, n=n)
    assert names(found) == NUMBERED[:page_size]
    assert (found["page_size"], found["num_results"]) == (page_size, 120)
    assert found["num_pages"] == -(-120 // page_size)


@pytest.mark.parametrize(
    ("page", "effective"),
    [
        ("1", 1),
        ("2", 2),
        ("5", 5),
        ("6", 6),
        ("0", 1),
        ("-1", 1),
        ("", 1),
        ("x", 1),
        ("9" * 18, int("9" * 18)),
    ],
)
def test_HUB_027_pages_start_at_1_and_are_empty_past_the_end(many: Client, page: str, effective: int) -> None:
    found = searched(many, page=page)
    start = (effective - 1) * 25
    assert names(found) == NUMBERED[start : start + 25]
    assert (found["page"], found["page_size"], found["num_results"], found["num_pages"]) == (
        effective,
        25,
        120,
        5,
    )


def test_HUB_027_the_pages_together_are_all_results(many: Client) -> None:
    paged = [name for page in range(1, 9) for name in names(searched(many, n=17, page=page))]
    assert paged == NUMBERED


# -- results


def test_HUB_028_a_result_has_six_keys(client: Client) -> None:
    fill(client, "foo/bar", "library/bar")
    assert searched(client, q="bar")["results"] == [
        {"name": name, "description": "", "is_official": is_official, "is_trusted": False,
        "is_automated": False,
         "star_count": 0}
        for name, is_official in (("bar", True), ("foo/bar", False))
    ]  # fmt: skip


@pytest.mark.parametrize("user_agent", ["docker/0.6.4 go/go1.1.2", "docker/0.6.0", "docker/0.6.7"])
def test_HUB_028_docker_0_6_gets_only_strings(client: Client, user_agent: str) -> None:
    fill(client, "foo/bar")
    answer = client.get("/v1/search?q=bar", {"User-Agent": user_agent})
    assert answer.json["results"] == [{"name": "foo/bar", "description": ""}]


@pytest.mark.parametrize(
    "user_agent", ["docker/0.7.0", "docker/0.60.1", "docker/1.9.1", "", "x docker/0.6.4"]
)
def test_HUB_028_other_clients_get_all_keys(client: Client, user_agent: str) -> None:
    fill(client, "foo/bar")
    assert len(client.get("/v1/search?q=bar", {"User-Agent": user_agent}).json["results"][0]) == 6


# -- matching and order


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("bar", {"foo/bar", "bar", "foo/rebar", "bar/x"}),
        ("BAR", {"foo/bar", "bar", "foo/rebar", "bar/x"}),
        ("foo bar", {"foo/bar", "foo/rebar"}),
        ("  foo   bar  ", {"foo/bar", "foo/rebar"}),
        ("foo/bar", {"foo/bar"}),
        ("library", {"bar", "ubuntu"}),
        ("o/b", {"foo/bar"}),
        ("%", set()),
        ("é", set()),
        ("nothing bar", set()),
    ],
)
def test_section_7_every_word_is_in_the_name_in_any_case(client: Client, query: str, found: set[str]) -> None:
    fill(client, "foo/bar", "bar", "foo/rebar", "bar/x", "ubuntu")
    assert set(names(searched(client, q=query))) == found


def test_section_7_exact_names_come_first_then_official_ones(client: Client) -> None:
    fill(client, "zoo/bar", "bar", "alpha/bar-x", "library/bar-z", "alpha/bar")
    assert names(searched(client, q="bar")) == ["bar", "bar-z", "alpha/bar", "alpha/bar-x", "zoo/bar"]
    assert names(searched(client, q="zoo/bar")) == ["zoo/bar"]


@pytest.mark.parametrize("query", ["q=", "q=%20", "x=1", "q", "&&;="])
def test_section_7_an_empty_query_lists_everything(client: Client, query: str) -> None:
    fill(client, "foo/bar", "ubuntu")
    answer = client.get(f"/v1/search?{query}")
    assert (answer.status_int, answer.json["num_results"]) == (200, 2)


def test_section_9_repository_is_found_until_it_is_deleted(client: Client) -> None:
    image = make_image(b"layer")
    client.push(image)
    assert names(searched(client)) == []
    fill(client, "foo/announced")
    client.tag("foo/tagged", "v1", image)
    assert names(searched(client)) == ["foo/announced", "foo/tagged"]
    client.delete("/v1/repositories/foo/announced/")
    client.delete("/v1/repositories/foo/tagged/tags/v1")
    assert names(searched(client)) == []


# -- decisions.md 16


@pytest.mark.parametrize(
    ("setting", "query", "name"),
    [
        ("auto", "", "library/ubuntu"),
        ("auto", "q=ubuntu", "ubuntu"),
        ("auto", "n=5", "ubuntu"),
        ("auto", "page=1", "ubuntu"),
        ("auto", "q=", "library/ubuntu"),
        ("short", "", "ubuntu"),
        ("short", "q=ubuntu", "ubuntu"),
        ("long", "", "library/ubuntu"),
        ("long", "q=ubuntu&n=5", "library/ubuntu"),
    ],
)
def test_decision_16_official_names_are_long_in_full_results(
    storage: Storage, setting: str, query: str, name: str
) -> None:
    client = Client(Registry(storage=storage, search_names=setting))
    fill(client, "ubuntu")
    assert [result["name"] for result in client.get(f"/v1/search?{query}").json["results"]] == [name]
