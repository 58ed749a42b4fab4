"""Lists of tags, referrers and repositories (DST-013, DST-014, DST-016, DST-025, ENG-018 to ENG-020)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from support.accounts_world import Person
from support.credentials import basic
from support.faulty_storage import FaultyStorage
from support.quiet_folders import Settle, settle
from support.token_world import TokenWorld
from support.v2_client import V2Client, descriptor_of, digest_of
from support.wsgi_client import Answer, call

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.distribution.manifests import OCI_INDEX, OCI_MANIFEST
from v1registry.search import scan
from v1registry.storage.base import Storage

__all__ = ["settle"]  # for runs with a folder in the place of memory, which has no versions for a second


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else FileStorage(str(tmp_path), durable=False)


@pytest.fixture
def client(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage, v2="on"))


def next_of(answer: Answer) -> str | None:
    """Return the path and query of the next part, None if there is none."""
    link = answer.header("Link")
    if link is None:
        return None
    found = re.fullmatch(r'<([^<>"]+)>; rel="next"', link)
    assert found is not None, link
    return found[1]


def walk(client: V2Client, path: str, field: str) -> list[list[str]]:
    """Return all parts of a list."""
    parts, following = [], path
    while following:
        answer = client.get(following)
        assert answer.status == 200, answer
        parts.append(json.loads(answer.body)[field])
        following = next_of(answer) or ""
    return parts


# -- tags


def test_DST_014_tags_of_both_apis_are_sorted(client: V2Client) -> None:
    image, artifact = client.image("team/app", "one"), client.artifact("team/app", "two")
    for tag, manifest in (("b", image), ("a", artifact), ("C", image), ("10", artifact), ("9", image)):
        client.put_manifest("team/app", tag, manifest)
    answer = client.get("/v2/team/app/tags/list")
    assert json.loads(answer.body) == {"name": "team/app", "tags": ["10", "9", "C", "a", "b"]}
    assert answer.header("Content-Type") == "application/json"
    head = client.ask("HEAD", "/v2/team/app/tags/list")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(len(answer.body)))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_DST_014_ENG_019_tags_come_in_parts(client: V2Client, number: int) -> None:
    image, artifact = client.image("team/app", "one"), client.artifact("team/app", "two")
    for tag, manifest in (("b", image), ("a", artifact), ("d", image), ("c", artifact)):
        client.put_manifest("team/app", tag, manifest)
    parts = walk(client, f"/v2/team/app/tags/list?n={number}", "tags")
    assert [len(part) <= number for part in parts] == [True] * len(parts)
    assert [tag for part in parts for tag in part] == ["a", "b", "c", "d"]
    assert len(parts) == -(-4 // number)


def test_DST_014_last_need_not_exist(client: V2Client) -> None:
    image = client.image("team/app", "one")
    for tag in ("a", "c"):
        client.put_manifest("team/app", tag, image)
    for last, wanted in (("b", ["c"]), ("c", []), ("", ["a", "c"]), ("é/\x00%", []), ("x" * 5000, [])):
        answer = client.get(f"/v2/team/app/tags/list?last={quote(last)}")
        assert json.loads(answer.body)["tags"] == wanted


@pytest.mark.parametrize(("number", "wanted"), [("0", []), ("-1", ["a"]), ("x", ["a"]), ("9" * 30, ["a"])])
def test_DST_014_odd_numbers_of_tags(client: V2Client, number: str, wanted: list[str]) -> None:
    client.put_manifest("team/app", "a", client.image("team/app", "one"))
    answer = client.get(f"/v2/team/app/tags/list?n={number}")
    assert (answer.status, json.loads(answer.body)["tags"], next_of(answer)) == (200, wanted, None)


def test_DST_014_tags_of_an_unknown_repository_are_404(client: V2Client) -> None:
    answer = client.get("/v2/team/app/tags/list")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


def test_link_keeps_the_path_of_the_mount(client: V2Client) -> None:
    image = client.image("team/app", "one")
    for tag in ("a", "b"):
        client.put_manifest("team/app", tag, image)
    path = "/v2/team/app/tags/list"
    answer = call(client.app, "GET", path, SCRIPT_NAME="/hub", QUERY_STRING="n=1")
    assert answer.header("Link") == f'</hub{path}?n=1&last=a>; rel="next"'


def test_tags_of_images_without_json_are_left_out(client: V2Client, storage: Storage) -> None:
    client.put_manifest("team/app", "a", client.image("team/app", "one"))
    storage.write("repositories/team/app/tag_missing", b"0" * 64)
    storage.write("repositories/team/app/tag_x%2520y", b"0" * 64)
    assert client.tags("team/app") == ["a"]
    answer = client.get_manifest("team/app", "missing")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")


def test_tags_with_files_are_listed_without_a_read_for_each(settle: Settle) -> None:
    storage = FaultyStorage()
    client = V2Client(Registry(storage=storage, v2="on"))
    image = client.image("team/app", "one")
    for number in range(20):
        client.put_manifest("team/app", f"t{number}", image)
    settle()
    client.tags("team/app")
    before = storage.count()
    client.tags("team/app")
    assert storage.count() - before < 20


# -- referrers


def _report(client: V2Client, subject: bytes, content: str, **fields: object) -> bytes:
    named = descriptor_of(subject, OCI_MANIFEST)
    manifest = client.artifact("team/app", content, subject=named, **fields)
    answer = client.put_manifest("team/app", digest_of(manifest), manifest)
    assert (answer.status, answer.header("OCI-Subject")) == (201, named["digest"])
    return manifest


def test_DST_013_referrers_have_type_and_annotations(client: V2Client) -> None:
    image = client.image("team/app", "one")
    report = _report(client, image, "report", annotations={"org.example.a": "ä"})
    signature = client.image("team/app", "two", subject=descriptor_of(image, OCI_MANIFEST))
    client.put_manifest("team/app", "signed", signature)
    answer = client.get(f"/v2/team/app/referrers/{digest_of(image)}")
    assert (answer.status, answer.header("Content-Type")) == (200, OCI_INDEX)
    assert answer.header("OCI-Filters-Applied") is None
    index = json.loads(answer.body)
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    wanted = [
        descriptor_of(
            report,
            OCI_MANIFEST,
            artifactType="application/vnd.example.report",
            annotations={"org.example.a": "ä"},
        ),
        # without artifactType the type of the config counts
        descriptor_of(signature, OCI_MANIFEST, artifactType="application/vnd.oci.image.config.v1+json"),
    ]
    assert index["manifests"] == sorted(wanted, key=lambda entry: str(entry["digest"]))


def test_DST_013_referrers_are_filtered_by_type(client: V2Client) -> None:
    image = client.image("team/app", "one")
    kinds = [_report(client, image, kind, artifactType=f"text/{kind}") for kind in ("a", "b")]
    path = f"/v2/team/app/referrers/{digest_of(image)}?artifactType=text/a"
    answer = client.get(path)
    assert answer.header("OCI-Filters-Applied") == "artifactType"
    assert [entry["digest"] for entry in json.loads(answer.body)["manifests"]] == [digest_of(kinds[0])]
    assert json.loads(client.get(f"{path}x").body)["manifests"] == []


def test_DST_013_referrers_come_in_parts(client: V2Client) -> None:
    image = client.image("team/app", "one")
    reports = [_report(client, image, str(number), artifactType="text/a") for number in range(5)]
    path = f"/v2/team/app/referrers/{digest_of(image)}?n=2&artifactType=text/a"
    parts = walk(client, path, "manifests")
    assert [len(part) for part in parts] == [2, 2, 1]
    found = {dict(entry)["digest"] for part in parts for entry in part}  # type: ignore[call-overload]
    assert found == {digest_of(report) for report in reports}


def test_DST_013_deleted_referrer_is_not_listed(client: V2Client) -> None:
    image = client.image("team/app", "one")
    report = _report(client, image, "report")
    assert client.delete_manifest("team/app", digest_of(report)).status == 202
    assert json.loads(client.get(f"/v2/team/app/referrers/{digest_of(image)}").body)["manifests"] == []


def test_DST_013_subject_is_named_by_sha512(client: V2Client) -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"x", "sha512"), "size": 1}
    manifest = client.artifact("team/app", "report", subject=subject)
    assert client.put_manifest("team/app", "a", manifest).status == 201
    found = json.loads(client.get(f"/v2/team/app/referrers/{subject['digest']}").body)["manifests"]
    assert [entry["digest"] for entry in found] == [digest_of(manifest)]


@pytest.mark.parametrize("name", ["team/app", "team/unknown"])
def test_DST_013_ENG_020_unknown_digest_has_an_empty_index(client: V2Client, name: str) -> None:
    client.put_manifest("team/app", "a", client.image("team/app", "one"))
    answer = client.get(f"/v2/{name}/referrers/{digest_of(b'x')}")
    assert (answer.status, answer.header("Content-Type")) == (200, OCI_INDEX)
    assert json.loads(answer.body) == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


@pytest.mark.parametrize("digest", ["x", "sha256:", "sha256:" + "0" * 63, "sha1:" + "0" * 40, "latest"])
def test_DST_013_ENG_020_malformed_digest_is_400(client: V2Client, digest: str) -> None:
    answer = client.get(f"/v2/team/app/referrers/{digest}")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")


# -- the catalog


NAMES = ["a-b/x", "a.b/x", "a/b", "a/b-c", "a/b.c", "a/b/c", "a/b/c/d", "a0/x", "library/busybox"]


@pytest.mark.parametrize("number", [1, 2, 5, 100])
def test_DST_016_ENG_019_catalog_is_sorted_and_comes_in_parts(client: V2Client, number: int) -> None:
    for name in NAMES:
        short = name.removeprefix("library/")
        client.put_manifest(short, "1.0", client.image(short, "one"))
    parts = walk(client, f"/v2/_catalog?n={number}", "repositories")
    assert [name for part in parts for name in part] == sorted(NAMES)
    assert max(map(len, parts)) <= number


def test_catalog_names_only_what_v2_can_name(client: V2Client, storage: Storage) -> None:
    for folder in ("a/Upper", "a/_x", "a/x", "a/%252E%252E", "a/empty"):
        storage.write(f"repositories/{folder}/_description", b"")
    for folder in ("a/Upper", "a/_x", "a/x", "a/%252E%252E"):
        storage.write(f"repositories/{folder}/_index_images", b"[]")
    assert walk(client, "/v2/_catalog", "repositories") == [["a/x"]]
    assert walk(client, "/v2/_catalog?n=0", "repositories") == [[]]


def test_repositories_of_old_servers_are_listed_once(client: V2Client, storage: Storage) -> None:
    for folder in ("a/b%2Fc", "a/b%252Fc"):
        storage.write(f"repositories/{folder}/_index_images", b"[]")
    assert walk(client, "/v2/_catalog", "repositories") == [["a/b/c"]]


def test_catalog_looks_at_a_bounded_number_of_repositories(
    client: V2Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        client.put_manifest(name, "1.0", client.image(name, "one"))
    monkeypatch.setattr(scan, "MOST_EXAMINED", 2)
    assert walk(client, "/v2/_catalog", "repositories") == [
        sorted(NAMES)[start : start + 2] for start in range(0, len(NAMES), 2)
    ]


# -- rights


@pytest.fixture
def world() -> TokenWorld:
    world = TokenWorld()
    for name in ("alice/app", "alice/secret", "alice/twin"):
        client = V2Client(world.app, "alice")
        client.put_manifest(name, "1.0", client.image(name, "one"))
    for name in ("alice/secret", "alice/twin"):
        Person(world.app, basic("alice")).make_private(name)
    return world


PATHS = ["manifests/1.0", f"manifests/{digest_of(b'x')}", "tags/list", f"referrers/{digest_of(b'x')}"]


@pytest.mark.parametrize("path", PATHS)
def test_DST_025_hidden_repository_looks_like_a_missing_one(world: TokenWorld, path: str) -> None:
    names = ("alice/secret", "alice/missing")
    for user, status in ((None, 401), ("robert", 404)):
        answers = [V2Client(world.app, user).get(f"/v2/{name}/{path}") for name in names]
        assert [answer.status for answer in answers] == [status] * 2
        bodies = {answer.body.replace(b"missing", b"secret") for answer in answers}
        assert len(bodies) == 1


def test_DST_025_changes_of_a_hidden_repository_are_refused_alike(world: TokenWorld) -> None:
    for user in (None, "robert"):
        client = V2Client(world.app, user)
        for method in ("PUT", "DELETE"):
            answers = [
                client.ask(method, f"/v2/{name}/manifests/1.0", b"{}", Content_Type=OCI_MANIFEST)
                for name in ("alice/secret", "alice/missing")
            ]
            assert [answer.status for answer in answers] == [403 if user else 401] * 2


def test_DST_025_owner_reads_a_private_repository(world: TokenWorld) -> None:
    client = V2Client(world.app, "alice")
    assert client.get_manifest("alice/secret", "1.0").status == 200
    assert client.tags("alice/secret") == ["1.0"]
    answer = client.get(f"/v2/alice/missing/referrers/{digest_of(b'x')}")
    assert json.loads(answer.body)["manifests"] == []


def test_DST_014_anonymous_reads_a_public_repository(world: TokenWorld) -> None:
    client = V2Client(world.app)
    assert client.get_manifest("alice/app", "1.0").status == 200
    assert client.tags("alice/app") == ["1.0"]
    assert client.get_manifest("alice/app", "2.0").status == 404


def test_DST_016_catalog_shows_only_what_the_caller_may_see(world: TokenWorld) -> None:
    assert V2Client(world.app).get("/v2/_catalog").status == 401
    for user, wanted in (
        ("robert", ["alice/app"]),
        ("alice", ["alice/app", "alice/secret", "alice/twin"]),
        ("root", ["alice/app", "alice/secret", "alice/twin"]),
    ):
        client = V2Client(world.app, user)
        parts = walk(client, "/v2/_catalog?n=1", "repositories")
        assert [name for part in parts for name in part] == wanted
    token = world.token("registry:catalog:*")
    assert json.loads(world.ask("GET", "/v2/_catalog", token).body) == {"repositories": ["alice/app"]}


def test_ENG_018_manifest_is_served_through_its_repository_alone(world: TokenWorld) -> None:
    client = V2Client(world.app, "alice")
    manifest = client.artifact("alice/secret", "secret")
    client.put_manifest("alice/secret", "artifact", manifest)
    assert client.get_manifest("alice/app", digest_of(manifest)).status == 404
    assert client.put_manifest("alice/app", "stolen", manifest).status == 400
