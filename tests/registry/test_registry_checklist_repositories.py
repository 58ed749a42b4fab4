"""registry.md 2 and 8: repositories, tags, infos and properties (REG-032 to 039, section 14)."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest
from support.engine_client import USER_AGENT, Image, make_image
from support.wsgi_client import Client, error_of, refusal_of

from v1registry import Registry

FIRST, SECOND = make_image(b"first"), make_image(b"second")
REPOSITORIES = "/v1/repositories"

UNKNOWN_INFO = {
    "arch": "amd64", "docker_go_version": None, "docker_version": None,
    "kernel": None, "last_update": None, "os": "linux",
}  # fmt: skip
ENGINE_INFO = {
    "arch": "amd64", "docker_go_version": "go1.4.3", "docker_version": "1.9.1",
    "kernel": "3.16.0-4-amd64", "os": "linux",
}  # fmt: skip


@pytest.fixture
def filled(client: Client) -> Client:
    """Two images and a tag."""
    client.push(FIRST, SECOND)
    assert client.tag("foo/bar", "v1", FIRST).status_int == 200
    return client


# -- REG-032


@pytest.mark.parametrize("what", ["tags", "tags/v1", "tags/v1/json", "json", "images"])
def test_REG_032_a_name_of_one_part_is_in_library(filled: Client, what: str) -> None:
    filled.put(f"{REPOSITORIES}/busybox/", json.dumps([{"id": FIRST.image_id}]))
    assert filled.tag("busybox", "v1", FIRST).status_int == 200
    assert filled.tag("library/busybox", "latest", SECOND).status_int == 200
    short, full = (filled.get(f"{REPOSITORIES}/{name}/{what}") for name in ("busybox", "library/busybox"))
    assert short.status_int == 200
    assert short.body == full.body


def test_REG_032_write_without_namespace_is_to_library(filled: Client) -> None:
    assert filled.put(f"{REPOSITORIES}/busybox/properties", '{"access": "private"}').status_int == 200
    assert filled.get(f"{REPOSITORIES}/library/busybox/properties").json == {"access": "private"}
    filled.tag("busybox", "v1", FIRST)
    assert filled.delete(f"{REPOSITORIES}/busybox/tags/v1").status_int == 200
    assert error_of(filled.get(f"{REPOSITORIES}/library/busybox/tags/v1")) == (404, "Tag not found")
    assert filled.put(f"{REPOSITORIES}/busybox/images", "[]").status_int == 204
    assert filled.delete(f"{REPOSITORIES}/library/busybox/").status_int == 200
    assert filled.delete(f"{REPOSITORIES}/busybox/").status_int == 404


# -- REG-033, 034


def test_REG_033_tags_are_an_object_of_ids(filled: Client) -> None:
    filled.tag("foo/bar", "latest", SECOND)
    answer = filled.get(f"{REPOSITORIES}/foo/bar/tags")
    assert answer.body == f'{{"latest": "{SECOND.image_id}", "v1": "{FIRST.image_id}"}}'.encode()


def test_REG_033_an_unknown_repository_has_no_tags(client: Client) -> None:
    assert error_of(client.get(f"{REPOSITORIES}/foo/none/tags")) == (404, "Repository not found")


def test_REG_033_announced_repository_has_an_empty_object_of_tags(client: Client) -> None:
    client.put(f"{REPOSITORIES}/foo/new/", "[]")
    assert client.get(f"{REPOSITORIES}/foo/new/tags").body == b"{}"


def test_REG_033_last_tag_removes_an_unannounced_repository(
    filled: Client,
) -> None:
    filled.put(f"{REPOSITORIES}/foo/new/", "[]")
    filled.tag("foo/new", "v1", FIRST)
    for name in ("foo/new", "foo/bar"):
        assert filled.delete(f"{REPOSITORIES}/{name}/tags/v1").status_int == 200
    assert filled.get(f"{REPOSITORIES}/foo/new/tags").body == b"{}"
    assert error_of(filled.get(f"{REPOSITORIES}/foo/bar/tags")) == (404, "Repository not found")


def test_REG_034_a_tag_is_a_json_string(filled: Client) -> None:
    answer = filled.get(f"{REPOSITORIES}/foo/bar/tags/v1")
    assert answer.body == f'"{FIRST.image_id}"'.encode()
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "path", ["foo/bar/tags/none", "foo/none/tags/v1", "foo/bar/tags/%C3%A9", "foo/bar/tags/.."]
)
def test_REG_034_an_unknown_tag_is_404(filled: Client, path: str) -> None:
    assert error_of(filled.get(f"{REPOSITORIES}/{path}")) == (404, "Tag not found")


# -- REG-035


@pytest.mark.parametrize(
    "body", ["", "{", "null", "1", "[]", "{}", '""', "true", FIRST.image_id, '"' + FIRST.image_id, b'"\xff"']
)  # fmt: skip
def test_REG_035_tag_other_than_a_json_string_is_invalid_data(filled: Client, body: str | bytes) -> None:
    assert refusal_of(filled.put(f"{REPOSITORIES}/foo/bar/tags/v2", body)) == (400, "Invalid data")


@pytest.mark.parametrize(
    "image_id",
    ["0" * 64, "0" * 16, "x", FIRST.image_id.upper(), FIRST.image_id + "\n", "../" * 10, " ", "\0"],
)
def test_REG_035_an_unknown_id_is_404(filled: Client, image_id: str) -> None:
    answer = filled.put(f"{REPOSITORIES}/foo/bar/tags/v2", json.dumps(image_id))
    assert error_of(answer) == (404, "Image not found")
    assert filled.get(f"{REPOSITORIES}/foo/bar/tags").json == {"v1": FIRST.image_id}


def test_REG_035_a_tag_is_set_and_set_again(filled: Client) -> None:
    for image in (FIRST, SECOND, FIRST):
        answer = filled.tag("foo/bar", "moving", image)
        assert (answer.status_int, answer.body) == (200, b"true")
        assert filled.get(f"{REPOSITORIES}/foo/bar/tags/moving").json == image.image_id


def test_REG_035_tag_is_accepted_with_any_content_type_and_chunked(filled: Client) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert filled.tag("foo/bar", "form", FIRST, headers).status_int == 200
    pieces = [b'"', FIRST.image_id.encode(), b'"']
    assert filled.put_pieces(f"{REPOSITORIES}/foo/bar/tags/chunks", pieces).status_int == 200
    assert set(filled.get(f"{REPOSITORIES}/foo/bar/tags").json) == {"v1", "form", "chunks"}


@pytest.mark.parametrize("tag", ["a", "_", "A" * 128, "1.0-rc_2", "latest", "json", "tags", "images", "x..y"])
def test_section_2_4_valid_tags_are_accepted_and_listed(filled: Client, tag: str) -> None:
    assert filled.tag("foo/good", tag, FIRST).status_int == 200
    assert filled.get(f"{REPOSITORIES}/foo/good/tags").json == {tag: FIRST.image_id}


@pytest.mark.parametrize(
    "tag",
    ["A" * 129, ".x", "-x", "é", "a b", "a+b", "a%b", "x\n", "\0", "..", ".", "a\\b", "a:b", "a@b", "~",
    "a/b"],
)  # fmt: skip
def test_section_14_other_tags_are_400(filled: Client, tag: str) -> None:
    answer = filled.put(f"{REPOSITORIES}/foo/bar/tags/{quote(tag, safe='')}", f'"{FIRST.image_id}"')
    assert refusal_of(answer) == (400, "Invalid tag name")
    assert filled.get(f"{REPOSITORIES}/foo/bar/tags").json == {"v1": FIRST.image_id}


# -- REG-036


def test_REG_036_a_tag_is_deleted_once(filled: Client) -> None:
    answer = filled.delete(f"{REPOSITORIES}/foo/bar/tags/v1")
    assert (answer.status_int, answer.body) == (200, b"true")
    assert error_of(filled.delete(f"{REPOSITORIES}/foo/bar/tags/v1")) == (404, "Tag not found: v1")
    assert error_of(filled.delete(f"{REPOSITORIES}/foo/none/tags/v1")) == (404, "Tag not found: v1")


def test_REG_036_deletion_of_a_tag_removes_its_info_not_the_image(filled: Client) -> None:
    filled.tag("foo/bar", "latest", FIRST, {"User-Agent": USER_AGENT})
    filled.delete(f"{REPOSITORIES}/foo/bar/tags/latest")
    for path in ("foo/bar/tags/latest/json", "foo/bar/json"):
        assert filled.get(f"{REPOSITORIES}/{path}").json == UNKNOWN_INFO
    assert filled.get(f"/v1/images/{FIRST.image_id}/json").status_int == 200
    keys = [stat.key for stat in filled.app.storage.list("repositories/")]
    assert keys == ["repositories/foo/bar/tag_v1", "repositories/foo/bar/tagv1_json"]


# -- REG-037


def test_REG_037_user_agent_is_stored_with_the_tag(filled: Client) -> None:
    before = int(time.time())
    filled.tag("foo/bar", "v2", FIRST, {"User-Agent": USER_AGENT})
    info = filled.get(f"{REPOSITORIES}/foo/bar/tags/v2/json").json
    assert before <= info.pop("last_update") <= time.time()
    assert info == ENGINE_INFO
    assert filled.get(f"{REPOSITORIES}/foo/bar/json").json == UNKNOWN_INFO


def test_REG_037_info_of_a_repository_is_that_of_latest(filled: Client) -> None:
    filled.tag("foo/bar", "latest", FIRST, {"User-Agent": USER_AGENT})
    latest = filled.get(f"{REPOSITORIES}/foo/bar/tags/latest/json").json
    assert filled.get(f"{REPOSITORIES}/foo/bar/json").json == latest
    assert latest | ENGINE_INFO == latest


@pytest.mark.parametrize(
    ("user_agent", "known"),
    [
        ("", {}),
        ("curl/7.88.1", {}),
        ("docker/1.0 OS/LINUX ARCH/ARM", {"docker_version": "1.0", "os": "linux", "arch": "arm"}),
        ("docker go kernel", {}),
        ("docker/1 docker/2", {"docker_version": "1"}),
        ("docker/17.05.0-ce os/linux UpstreamClient(Docker-Client/9)", {"docker_version": "17.05.0-ce",
        "os": "linux"}),
        ("a/b/c/d docker//x kernel/\xe9", {"kernel": "\xe9"}),
    ],
)  # fmt: skip
def test_REG_037_missing_facts_are_left_out(filled: Client, user_agent: str, known: object) -> None:
    filled.tag("foo/bar", "v2", FIRST, {"User-Agent": user_agent})
    info = filled.get(f"{REPOSITORIES}/foo/bar/tags/v2/json").json
    assert isinstance(info.pop("last_update"), int)
    assert info == known


@pytest.mark.parametrize(
    "path", ["foo/bar/tags/none/json", "foo/none/tags/v1/json", "foo/none/json", "none/json"]
)
def test_REG_037_unknown_info_is_an_object_of_nulls(filled: Client, path: str) -> None:
    answer = filled.get(f"{REPOSITORIES}/{path}")
    assert (answer.status_int, answer.json) == (200, UNKNOWN_INFO)


# -- REG-038


@pytest.mark.parametrize("end", ["/", "", "/tags"])
def test_REG_038_deletion_of_a_repository_keeps_its_images(filled: Client, end: str) -> None:
    filled.put(f"{REPOSITORIES}/foo/bar/", json.dumps([{"id": FIRST.image_id}]))
    filled.put(f"{REPOSITORIES}/foo/bar/properties", '{"access": "private"}')
    filled.tag("foo/bar", "latest", FIRST)
    answer = filled.delete(f"{REPOSITORIES}/foo/bar{end}")
    assert (answer.status_int, answer.body) == (200, b"true")
    assert list(filled.app.storage.list("repositories/")) == []
    assert filled.get(f"{REPOSITORIES}/foo/bar/tags").status_int == 404
    assert filled.get(f"{REPOSITORIES}/foo/bar/properties").json == {"access": "public"}
    for image in (FIRST, SECOND):
        assert filled.get(f"/v1/images/{image.image_id}/layer").body == image.layer


@pytest.mark.parametrize("end", ["/", "", "/tags"])
def test_REG_038_an_unknown_repository_cannot_be_deleted(filled: Client, end: str) -> None:
    assert error_of(filled.delete(f"{REPOSITORIES}/foo/none{end}")) == (404, "Repository not found")


def test_REG_038_deletion_keeps_repositories_with_longer_names(filled: Client) -> None:
    for name in ("foo/ba", "foo/bar-2", "foo/bar/deeper"):
        filled.tag(name, "v1", FIRST)
    filled.delete(f"{REPOSITORIES}/foo/bar/")
    for name in ("foo/ba", "foo/bar-2", "foo/bar/deeper"):
        assert filled.get(f"{REPOSITORIES}/{name}/tags").status_int == 200


# -- REG-039


@pytest.mark.parametrize("access", ["private", "public"])
def test_REG_039_stored_properties_are_returned(filled: Client, access: str) -> None:
    answer = filled.put(f"{REPOSITORIES}/foo/bar/properties", json.dumps({"access": access}))
    assert (answer.status_int, answer.body) == (200, b"true")
    answer = filled.get(f"{REPOSITORIES}/foo/bar/properties")
    assert answer.body == f'{{"access": "{access}"}}'.encode()


def test_REG_039_a_new_repository_is_public(filled: Client) -> None:
    assert filled.get(f"{REPOSITORIES}/foo/bar/properties").json == {"access": "public"}


@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", "{}", '"private"', '{"x": 1}', '{"access": null}', '{"access": "Private"}',
     '{"access": ["private"]}', '{"access": {}}', '{"access": ""}'],
)  # fmt: skip
def test_REG_039_section_14_invalid_properties_are_400(filled: Client, body: str) -> None:
    filled.put(f"{REPOSITORIES}/foo/bar/properties", '{"access": "private"}')
    assert error_of(filled.put(f"{REPOSITORIES}/foo/bar/properties", body)) == (400, "Invalid data")
    assert filled.get(f"{REPOSITORIES}/foo/bar/properties").json == {"access": "private"}


# -- names (registry.md 2.2, decisions.md 7)


GOOD_NAMES = ["foo/bar", "a/b", "_/b", "0/0", "foo.bar-baz_x/Up.per_-", "__/_x", "n/" + "r" * 255,
"n" * 255 + "/r",
              "a/b/c/d", "library/x", "a/b..c"]  # fmt: skip
BAD_NAMES = ["Foo/bar", "-a/b", "a-/b", ".a/b", "é/b", "foo/é", "foo/-x", "foo/.x", "foo/..", "foo/.", "../x",
"foo/a b",
             "foo/a%b", "foo/a$b", "foo/a\\b", "foo/a\0", "foo/x\n", "foo//bar", "foo/a+b", "foo/a~b",
             "n/" + "r" * 256, "n" * 257 + "/r"]  # fmt: skip


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_section_2_2_valid_names_are_announced_tagged_and_found(filled: Client, name: str) -> None:
    assert filled.put(f"{REPOSITORIES}/{name}/", "[]").status_int == 200
    assert filled.tag(name, "v1", FIRST).status_int == 200
    assert filled.get(f"{REPOSITORIES}/{name}/tags").json == {"v1": FIRST.image_id}
    found = [result["name"] for result in filled.get("/v1/search").json["results"]]
    assert name in found


@pytest.mark.parametrize("name", BAD_NAMES)
def test_decision_7_other_names_are_400_or_404(filled: Client, name: str) -> None:
    path = f"{REPOSITORIES}/{quote(name, safe='/')}"
    refused = (400, "Invalid repository name")
    assert refusal_of(filled.put(f"{path}/", "[]")) == refused
    assert refusal_of(filled.tag(quote(name, safe="/"), "v1", FIRST)) == refused
    assert refusal_of(filled.put(f"{path}/images", "[]")) == refused
    assert refusal_of(filled.put(f"{path}/properties", '{"access": "private"}')) == refused
    assert refusal_of(filled.delete(f"{path}/")) == refused
    assert refusal_of(filled.delete(f"{path}/tags/v1")) == refused
    assert error_of(filled.get(f"{path}/tags")) == (404, "Repository not found")
    assert error_of(filled.get(f"{path}/images")) == (404, "images not found")
    assert filled.get(f"{path}/properties").json == {"access": "public"}
    assert filled.get("/v1/search").json["num_results"] == 1


def test_name_too_long_for_a_key_is_400_or_404(filled: Client) -> None:
    name = "n/" + "/".join(["r" * 50] * 5)
    assert refusal_of(filled.put(f"{REPOSITORIES}/{name}/", "[]")) == (400, "Invalid repository name")
    assert refusal_of(filled.tag(name, "v1", FIRST)) == (400, "Invalid repository name")
    assert error_of(filled.get(f"{REPOSITORIES}/{name}/tags")) == (404, "Repository not found")
    assert error_of(filled.delete(f"{REPOSITORIES}/{name}/")) == (404, "Repository not found")


def test_an_encoded_slash_is_a_slash(filled: Client) -> None:
    assert filled.get(f"{REPOSITORIES}/foo%2Fbar/tags").json == {"v1": FIRST.image_id}


def test_percent_signs_are_decoded_once(filled: Client) -> None:
    assert error_of(filled.get(f"{REPOSITORIES}/foo%252Fbar/tags")) == (404, "Repository not found")


# -- a tag whose file is the info of another (storage-layout.md 3.3)


@pytest.mark.parametrize(("first", "second"), [("_x", "x_json"), ("x_json", "_x")])
def test_STO_008_tag_whose_file_conflicts_is_409(filled: Client, first: str, second: str) -> None:
    assert filled.tag("foo/bar", first, FIRST).status_int == 200
    assert error_of(filled.tag("foo/bar", second, SECOND)) == (409, "Tag name conflicts")
    assert filled.get(f"{REPOSITORIES}/foo/bar/tags").json == {"v1": FIRST.image_id, first: FIRST.image_id}
    assert filled.delete(f"{REPOSITORIES}/foo/bar/tags/{first}").status_int == 200
    assert filled.tag("foo/bar", second, SECOND).status_int == 200
    assert filled.get(f"{REPOSITORIES}/foo/bar/tags/{second}").json == SECOND.image_id


def test_tags_belong_to_one_repository(app: Registry) -> None:
    client = Client(app)
    client.push(FIRST)
    names = ["a/b", "a/b/c", "a/bb", "a", "library/a/b"]
    for name in names:
        client.tag(name, name.replace("/", "."), FIRST)
    for name in names:
        assert list(client.get(f"{REPOSITORIES}/{name}/tags").json) == [name.replace("/", ".")]


def test_an_image_of_16_digits_can_be_tagged(client: Client) -> None:
    client.push(Image("0123456789abcdef", b'{"id": "0123456789abcdef"}', b"layer"))
    assert client.put(f"{REPOSITORIES}/foo/short/tags/v1", '"0123456789abcdef"').status_int == 200
    assert client.get(f"{REPOSITORIES}/foo/short/tags").json == {"v1": "0123456789abcdef"}
