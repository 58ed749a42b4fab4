"""registry.md 8.8: the meaning of ambiguous paths, and repositories with names of resources (REG-048)."""

from __future__ import annotations

import json

import pytest
from support.engine_client import Image, make_image
from support.wsgi_client import Client, error_of

ONE, TWO, THREE = (make_image(name.encode()) for name in ("one", "two", "three"))
REPOSITORIES = "/v1/repositories"
RESERVED = ["images", "tags", "json", "auth", "properties"]


@pytest.fixture
def pushed(client: Client) -> Client:
    client.push(ONE, TWO, THREE)
    return client


def listed(*images: Image) -> str:
    return json.dumps([{"id": image.image_id} for image in images])


def names(client: Client) -> set[str]:
    """Return every repository that exists, by its full name."""
    return {result["name"] for result in client.get("/v1/search").json["results"]}


# -- the rows of the table


@pytest.mark.parametrize("word", RESERVED)
def test_PUT_with_a_slash_announces_the_repository(client: Client, word: str) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/{word}/", "[]")
    assert (answer.status_int, answer.body) == (200, b'""')
    assert names(client) == {f"foo/{word}"}


def test_PUT_foo_images_is_the_list_of_library_foo(client: Client) -> None:
    assert client.put(f"{REPOSITORIES}/foo/images", listed(ONE)).status_int == 204
    assert names(client) == {"library/foo"}


def test_PUT_foo_images_images_is_the_list_of_foo_images(client: Client) -> None:
    answer = client.put(f"{REPOSITORIES}/foo/images/images", listed(ONE))
    assert answer.status_int == 204
    assert names(client) == {"foo/images"}


def test_DELETE_foo_tags_depends_on_the_slash_at_the_end(pushed: Client) -> None:
    for name in ("foo/tags", "library/foo"):
        pushed.put(f"{REPOSITORIES}/{name}/", "[]")
    assert pushed.delete(f"{REPOSITORIES}/foo/tags/").status_int == 200
    assert names(pushed) == {"library/foo"}
    assert pushed.delete(f"{REPOSITORIES}/foo/tags").status_int == 200
    assert names(pushed) == set()


def test_GET_foo_tags_tags_is_the_list_of_foo_tags(pushed: Client) -> None:
    pushed.tag("foo/tags", "v1", ONE)
    pushed.tag("foo", "tags", TWO)
    assert pushed.get(f"{REPOSITORIES}/foo/tags/tags").json == {"v1": ONE.image_id}
    assert pushed.get(f"{REPOSITORIES}/library/foo/tags/tags").json == TWO.image_id


def test_GET_foo_bar_tags_tags_is_a_tag_of_foo_bar(pushed: Client) -> None:
    pushed.tag("foo/bar", "tags", ONE)
    assert pushed.get(f"{REPOSITORIES}/foo/bar/tags/tags").json == ONE.image_id


def test_GET_foo_tags_tags_latest_is_a_tag_of_foo_tags(pushed: Client) -> None:
    pushed.tag("foo/tags", "latest", ONE)
    assert names(pushed) == {"foo/tags"}
    assert pushed.get(f"{REPOSITORIES}/foo/tags/tags/latest").json == ONE.image_id


def test_PUT_and_DELETE_foo_tags_tags_use_a_tag_of_library_foo(pushed: Client) -> None:
    assert pushed.put(f"{REPOSITORIES}/foo/tags/tags", f'"{ONE.image_id}"').status_int == 200
    assert pushed.get(f"{REPOSITORIES}/library/foo/tags").json == {"tags": ONE.image_id}
    assert pushed.delete(f"{REPOSITORIES}/foo/tags/tags").status_int == 200
    assert names(pushed) == set()


def test_GET_tags_json_is_the_tag_json(pushed: Client) -> None:
    pushed.tag("foo", "json", ONE)
    pushed.tag("foo/bar", "json", TWO)
    assert pushed.get(f"{REPOSITORIES}/foo/tags/json").json == ONE.image_id
    assert pushed.get(f"{REPOSITORIES}/foo/bar/tags/json").json == TWO.image_id


def test_GET_foo_json_json_is_the_info_of_foo_json(pushed: Client) -> None:
    pushed.tag("foo/json", "latest", ONE, {"User-Agent": "docker/1.9.1"})
    assert pushed.get(f"{REPOSITORIES}/foo/json/json").json["docker_version"] == "1.9.1"


def test_GET_foo_properties_tags_are_the_tags_of_foo_properties(pushed: Client) -> None:
    pushed.tag("foo/properties", "v1", ONE)
    assert pushed.get(f"{REPOSITORIES}/foo/properties/tags").json == {"v1": ONE.image_id}


def test_PUT_tags_with_a_slash_is_never_an_empty_tag(pushed: Client) -> None:
    answer = pushed.put(f"{REPOSITORIES}/foo/bar/tags/", f'"{ONE.image_id}"')
    assert error_of(answer) == (400, "Invalid data")
    assert names(pushed) == set()
    assert pushed.put(f"{REPOSITORIES}/foo/bar/tags/", "[]").status_int == 200
    assert names(pushed) == {"foo/bar/tags"}


def test_PUT_foo_tags_images_depends_on_the_body(pushed: Client) -> None:
    assert pushed.put(f"{REPOSITORIES}/foo/tags/images", f'"{ONE.image_id}"').status_int == 200
    assert pushed.get(f"{REPOSITORIES}/library/foo/tags").json == {"images": ONE.image_id}
    assert pushed.put(f"{REPOSITORIES}/foo/tags/images", listed(TWO)).status_int == 204
    assert pushed.get(f"{REPOSITORIES}/foo/tags/images").json == [{"id": TWO.image_id}]


@pytest.mark.parametrize("name", ["foo", "foo/bar", "a/b/c"])
def test_GET_tags_images_is_the_list_or_tag_that_exists(pushed: Client, name: str) -> None:
    path = f"{REPOSITORIES}/{name}/tags/images"
    assert error_of(pushed.get(path)) == (404, "images not found" if name == "foo" else "Tag not found")
    pushed.tag(name, "images", ONE)
    assert pushed.get(path).json == ONE.image_id
    pushed.put(f"{REPOSITORIES}/{name}/tags/", listed(TWO))
    assert pushed.get(path).json == ([{"id": TWO.image_id}] if name == "foo" else ONE.image_id)
    pushed.delete(f"{REPOSITORIES}/{name}/tags/images")
    assert pushed.get(path).json == [{"id": TWO.image_id}]


@pytest.mark.parametrize("name", ["foo/tags/bar", "foo/tags/tags/bar", "foo/images/bar", "foo/layer/x/bar"])
def test_deep_names_may_have_such_words_in_the_middle(pushed: Client, name: str) -> None:
    assert pushed.put(f"{REPOSITORIES}/{name}/", listed(ONE)).status_int == 200
    assert pushed.tag(name, "latest", ONE).status_int == 200
    assert pushed.put(f"{REPOSITORIES}/{name}/images", "[]").status_int == 204
    assert pushed.put(f"{REPOSITORIES}/{name}/properties", '{"access": "private"}').status_int == 200
    assert pushed.get(f"{REPOSITORIES}/{name}/images").json == [{"id": ONE.image_id}]
    assert pushed.get(f"{REPOSITORIES}/{name}/tags").json == {"latest": ONE.image_id}
    assert pushed.get(f"{REPOSITORIES}/{name}/tags/latest").json == ONE.image_id
    assert pushed.get(f"{REPOSITORIES}/{name}/properties").json == {"access": "private"}
    assert names(pushed) == {name}
    assert pushed.delete(f"{REPOSITORIES}/{name}/").status_int == 200
    assert names(pushed) == set()


@pytest.mark.parametrize("path", ["", "/", "//", "///", "//tags", "/ /", "//images", "/\n"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_paths_without_a_name_create_nothing(client: Client, method: str, path: str) -> None:
    answer = client.request(method, f"{REPOSITORIES}{path}", b"[]" if method == "PUT" else b"")
    assert error_of(answer)[0] in (400, 404, 405)
    assert names(client) == set()


# -- REG-048


@pytest.mark.parametrize("namespace", ["foo", "library"])
@pytest.mark.parametrize("word", RESERVED)
def test_REG_048_names_of_resources_are_pushed_pulled_and_deleted(
    client: Client, namespace: str, word: str
) -> None:
    name = f"{namespace}/{word}"
    announced = client.put(f"{REPOSITORIES}/{name}/", listed(ONE), {"X-Docker-Token": "true"})
    assert announced.status_int == 200
    assert f'repository="{name}",access=write' in announced.headers["X-Docker-Token"]
    client.push(ONE)
    assert client.tag(name, "latest", ONE).status_int == 200
    assert client.put(f"{REPOSITORIES}/{name}/images", "[]").status_int == 204

    assert client.get(f"{REPOSITORIES}/{name}/images").json == [{"id": ONE.image_id}]
    assert client.get(f"{REPOSITORIES}/{name}/tags").json == {"latest": ONE.image_id}
    assert client.get(f"{REPOSITORIES}/{name}/tags/latest").json == ONE.image_id
    assert names(client) == {name}

    assert client.delete(f"{REPOSITORIES}/{name}/").status_int == 200
    assert client.get(f"{REPOSITORIES}/{name}/images").status_int == 404


@pytest.mark.parametrize("word", RESERVED)
def test_REG_048_official_repository_is_used_as_engines_name_it(client: Client, word: str) -> None:
    """The index calls leave ``library/`` out, the tags calls do not (clients.md 3.5)."""
    assert client.put(f"{REPOSITORIES}/{word}/", listed(ONE)).status_int == 200
    client.push(ONE)
    assert client.tag(f"library/{word}", "latest", ONE).status_int == 200
    assert client.put(f"{REPOSITORIES}/{word}/images", "[]").status_int == 204
    assert client.get(f"{REPOSITORIES}/{word}/images").json == [{"id": ONE.image_id}]
    assert client.get(f"{REPOSITORIES}/library/{word}/tags").json == {"latest": ONE.image_id}
    assert names(client) == {f"library/{word}"}


@pytest.mark.parametrize("above", ["foo/deep", "foo/tags", "a/b/c"])
@pytest.mark.parametrize("word", RESERVED)
def test_REG_048_deep_names_of_resources_are_pushed_and_pulled(client: Client, above: str, word: str) -> None:
    """Engines since 1.10 take names of any depth; since 1.8 they ask for the one tag that they were told."""
    path = f"{REPOSITORIES}/{above}/{word}"
    assert client.put(f"{path}/", listed(ONE)).status_int == 200
    client.push(ONE)
    assert client.tag(f"{above}/{word}", "latest", ONE).status_int == 200
    assert client.put(f"{path}/images", "[]").status_int == 204
    assert client.get(f"{path}/images").json == [{"id": ONE.image_id}]
    assert client.get(f"{path}/tags/latest").json == ONE.image_id
    assert names(client) == {f"{above}/{word}"}
    assert client.delete(f"{path}/").status_int == 200
    assert names(client) == set()
