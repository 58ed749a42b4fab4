"""The control API below /_fakes/: what fills the fake, what shows it, and what is rejected."""

from __future__ import annotations

import base64
import json

import pytest
from support.archive_builder import TOP, old_archive
from support.control_requests import post, refused
from v1registry_fakes.control.application import TABLE, ControlledFake
from webtest import TestApp


def test_image_of_v1_is_pushed(control, registry):
    base = post(control, "images", {"name": "alice/base", "files": {"bin/sh": {"base64": "AAEC"}}})
    body = {"name": "alice/app:1.0", "files": {"a": "text", "bin/sh": None}, "parent": "alice/base",
            "config": {"Cmd": ["a"]}, "json": {"author": "me"}}  # fmt: skip

    made = post(control, "images", body)

    image = registry.image("alice/app:1.0")
    assert made == {
        "api": "v1",
        "id": image.id,
        "checksum": image.checksum,
        "ancestry": [image.id, base["id"]],
        "is_complete": True,
    }
    assert image.files == {"a": b"text", "bin/sh": None}
    assert (image.json["config"], image.json["author"]) == ({"Cmd": ["a"]}, "me")
    assert registry.images[base["id"]].files == {"bin/sh": b"\0\1\2"}


def test_image_with_a_given_id_and_layer_stays_unfinished(control, registry):
    layer = base64.b64encode(b"no archive").decode()
    body = {"name": "alice/app", "id": "ab" * 32, "layer": {"base64": layer}, "is_complete": False}

    made = post(control, "images", body)

    assert (made["id"], made["is_complete"]) == ("ab" * 32, False)
    assert registry.images["ab" * 32].layer == b"no archive"


def test_image_of_v2_is_pushed(control, registry):
    base = post(control, "images", {"name": "alice/base", "api": "v2"})
    made = post(control, "images", {"name": "alice/app", "api": "v2", "parent": base["digest"], "layers": 2})

    manifest = registry.manifest("alice/app")
    assert made["digest"] == manifest.digest
    assert made["media_type"] == "application/vnd.oci.image.manifest.v1+json"
    assert len(made["layers"]) == 3
    assert made["layers"][0] == base["layers"][0]


def test_index_and_artifact_name_images(control, registry):
    image = post(control, "images", {"name": "alice/app:arm", "api": "v2"})
    index = post(control, "indexes", {"name": "alice/app", "platforms": {"linux/arm64": "alice/app:arm"}})
    one = post(control, "artifacts", {"name": "alice/app", "blobs": "one", "subject": image["digest"]})
    two = post(control, "artifacts", {"name": "alice/app:sbom", "blobs": {"a": "A", "b": {"base64": "Qg=="}},
                                      "artifact_type": "text/a", "annotations": {"by": "test"}})  # fmt: skip

    assert index["manifests"] == [image["digest"]]
    assert one["subject"] == image["digest"]
    artifact = registry.manifests[two["digest"]]
    assert (artifact.layers, artifact.artifact_type) == ([b"A", b"B"], "text/a")
    assert artifact.annotations == {"by": "test"}


def test_image_gets_another_tag(control, registry):
    made = post(control, "images", {"name": "alice/app:1.0"})
    for image in (made["id"], "alice/app:1.0"):
        assert post(control, "tags", {"image": image, "name": "bob/app:2.0"})["id"] == made["id"]

    assert registry.tags("bob/app") == {"2.0": made["id"]}


def test_user_application_and_consent_are_made(with_users):
    control = TestApp(ControlledFake(with_users))
    user = post(control, "users", {"username": "alice", "password": "pw", "groups": ["ops"]})
    application = post(control, "applications", {"redirect_uris": ["https://ci.example.org/back"]})
    url = f"/api/v1.1/o/authorize/?client_id={application['client_id']}&response_type=code"

    allowed = post(control, "consent", {"url": url, "username": "alice"}, 200)

    assert user == {"username": "alice", "groups": ["ops"], "is_active": True, "is_administrator": False}
    assert application["client_secret"]
    assert allowed["location"].startswith("https://ci.example.org/back?code=")
    assert "already exists" in refused(control, "users", {"username": "alice"}, 409)


def test_private_repository_is_hidden(with_users):
    control = TestApp(ControlledFake(with_users))
    post(control, "users", {"username": "alice"})
    post(control, "repositories", {"name": "alice/app", "is_private": True})

    assert control.get("/v1/repositories/alice/app/images", expect_errors=True).status_int in (401, 404)


def test_contents_list_tags_images_and_manifests(control):
    one = post(control, "images", {"name": "alice/app:1.0"})
    two = post(control, "artifacts", {"name": "alice/app:sbom", "blobs": "x"})

    contents = control.get("/_fakes/contents").json

    assert contents["repositories"] == {"alice/app": {"1.0": one["id"], "sbom": two["digest"]}}
    assert contents["images"] == {one["id"]: {"is_complete": True}}
    assert list(contents["manifests"]) == [two["digest"]]


def test_reset_empties_the_fake(control, registry):
    post(control, "images", {"name": "alice/app:1.0"})
    control.get("/v1/_ping")

    control.post("/_fakes/reset", status=204)

    assert registry.repositories == []
    assert control.get("/_fakes/requests").json == []


def test_index_lists_every_row(control, registry):
    answer = control.get("/_fakes/").json

    assert control.get("/_fakes").json == answer
    assert answer["url"] == registry.url
    assert {(row["method"], row["path"]) for row in answer["endpoints"]} == {
        (route.method, route.path) for route in TABLE
    }
    assert all(row["does"] for row in answer["endpoints"])


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("images", {"nam": "a/b"}, 400, "unknown field `nam`; the known keys are name, files, layer"),
        ("images", {"layers": "x"}, 400, "Expected `int`, got `str` - at `$.layers`"),
        ("images", {"layers": 0}, 400, "Expected `int` >= 1 - at `$.layers`"),
        ("images", {"layers": 10**9}, 400, "Expected `int` <= 127 - at `$.layers`"),
        ("images", {"layer": {"base64": "!"}}, 400, "Invalid base64 encoded string - at `$.layer.base64`"),
        ("images", {"files": {"a": 1}}, 400, "Expected `str | object | null`, got `int` - at `$.files[...]`"),
        ("images", {"files": {}, "layer": {"base64": ""}}, 400, "files and layer exclude each other"),
        ("images", {"name": "A B"}, 400, "Invalid repository name"),
        ("images", {"name": "\ud800/x"}, 400, "half of a surrogate pair"),
        ("images", {"\ud800": 1}, 400, "half of a surrogate pair"),
        ("images", {"parent": "ab" * 32}, 404, "no repository"),
        ("images", {"parent": "alice/missing"}, 404, "no repository 'alice/missing'; there are none"),
        ("images", {"api": "v3"}, 400, "Invalid enum value 'v3' - at `$.api`"),
        ("images", {"api": "v2"}, 400, "an image of v2 needs a name"),
        (
            "images",
            {"api": "v2", "name": "a/b", "id": "ab" * 32},
            400,
            'id and is_complete are for "api": "v1"',
        ),
        ("images", [], 400, "Expected `object`, got `array`"),
        ("tags", {"image": "alice/app"}, 400, "missing required field `name`"),
        ("tags", {"image": "x" * 64, "name": "a/b"}, 404, "no repository"),
        ("repositories", {"name": 5}, 400, "Expected `str`, got `int` - at `$.name`"),
        ("users", {"username": "alice"}, 400, 'make it with auth="users:"'),
        ("applications", {}, 400, "this registry has no OAuth"),
        ("consent", {"url": "x", "username": "alice"}, 400, "this registry has no OAuth"),
        ("indexes", {"name": "a/b", "platforms": {"linux/arm": "a/b:c"}}, 404, "no manifest 'a/b:c'"),
        ("artifacts", {"name": "a/b", "subject": "sha256:" + "0" * 64}, 404, "no manifest"),
    ],
)
def test_invalid_body_is_rejected_with_its_reason(control, path, body, status, text):
    assert text in refused(control, path, body, status)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[1", "The body must be a JSON object in UTF-8"),
        (b'{"a": 1, "a": 2}', "an object has a key twice"),
        (b"\xff", "The body must be a JSON object in UTF-8"),
        (b"[" * 1000 + b"]" * 1000, "nested too deeply"),
        (b'{"layers": NaN}', "NaN is not JSON"),
    ],
)
def test_body_that_is_no_json_is_rejected(control, body, text):
    answer = control.post("/_fakes/images", body, status=400)

    assert text in answer.json["error"]


def test_body_above_the_limit_is_rejected(control, monkeypatch):
    monkeypatch.setattr("v1registry_fakes.control.bodies.MOST_JSON_BYTES", 10)

    answer = control.post("/_fakes/images", json.dumps({"name": "alice/app"}), status=413)

    assert "larger than the 10 bytes" in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/_fakes/nothing", 404, "There is no '/_fakes/nothing'; GET /_fakes/ lists"),
        ("PUT", "/_fakes/images", 405, "Method PUT is not allowed here; allowed: POST"),
        (
            "GET",
            "/_fakes/requests?status=x",
            400,
            "must be a whole number of at most 9 digits, not 'x'",
        ),
        ("GET", "/_fakes/requests?stat=1", 400, "only, not 'stat'"),
        ("GET", "/_fakes/requests?path=a&path=b", 400, "The query must have path once"),
        ("GET", "/_fakes/requests?" + "path=a&" * 30, 400, "The query is invalid"),
        ("GET", "/_fakes/requests?bodies=2", 400, "bodies must be 0 or 1, not '2'"),
        ("GET", "/_fakes/requests?wait_s=61", 400, "wait_s must be at most 60, not 61"),
        ("GET", "/_fakes/requests?count=1", 400, "count is for wait_s: give both, or neither"),
        ("GET", "/_fakes/requests?count=0&wait_s=0", 400, "count must be at least 1, not 0"),
        ("DELETE", "/_fakes/faults/x", 404, "There is no fault 'x', or it is undone"),
        ("GET", "/_fakes/requests?path=%FF", 400, "The query is invalid"),
        ("GET", "/_fakes/%FF", 400, "The path is not UTF-8"),
    ],
)
def test_wrong_request_is_rejected_with_its_reason(control, method, path, status, text):
    answer = control.request(path, method=method, status=status)

    assert text in answer.json["error"]


def test_pages_of_other_sites_are_rejected(control, registry):
    post(control, "images", {"name": "alice/app"})

    answer = control.post("/_fakes/reset", headers={"Origin": "https://evil.example"}, status=403)

    assert "https://evil.example" in answer.json["error"]
    assert registry.repositories == ["alice/app"]
    control.post("/_fakes/reset", headers={"Origin": "http://localhost:80"}, status=204)


def test_paths_beside_the_control_api_are_the_registrys(control, registry):
    for path in ("/v1/_ping", "/_fakesx", "/"):
        control.get(path, expect_errors=True)

    assert [request.path for request in registry.requests] == ["/v1/_ping", "/_fakesx", "/"]


def test_repository_has_a_description_and_stars(control):
    post(control, "repositories", {"name": "alice/app", "description": "An app", "star_count": 3})

    (found,) = control.get("/v1/search?q=app").json["results"]

    assert (found["description"], found["star_count"]) == ("An app", 3)


@pytest.mark.parametrize(("query", "key"), [("", "id"), ("?api=v2", "digest")])
def test_images_of_an_archive_are_pushed(control, registry, query, key):
    names = json.dumps({"alice/app": {"1.0": TOP}}).encode()
    archive = old_archive().file("repositories", names).bytes()

    (made,) = control.post(f"/_fakes/archives{query}", archive, status=201).json
    (same,) = control.post("/_fakes/archives?name=bob/app:2.0&api=v1", archive, status=201).json

    assert made[key]
    assert registry.tags("bob/app") == {"2.0": same["id"]}
    assert registry.tags("alice/app").keys() == {"1.0"}


@pytest.mark.parametrize("body", [b"", b"no archive", b"\x1f\x8b\x08" + b"x" * 50, b"\0" * 10240, b"{}"])
def test_body_that_is_no_archive_is_rejected(control, body):
    assert control.post("/_fakes/archives", body, status=400).json["error"]
    assert "not 'x'" in control.post("/_fakes/archives?api=x", body, status=400).json["error"]


def test_archive_above_the_limit_is_rejected(control, monkeypatch):
    monkeypatch.setattr("v1registry_fakes.control.filling.MOST_ARCHIVE_BYTES", 10)

    assert "larger than the 10" in control.post("/_fakes/archives", b"x" * 11, status=413).json["error"]
