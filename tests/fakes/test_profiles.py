"""Profiles: a fake answers as docker-registry, quay or Docker Hub does."""

from __future__ import annotations

import json
import re

import pytest
import requests
from support.transcripts import SAMPLE, exchanges
from v1registry_fakes import FakeRegistry, WSGISession

from v1registry.settings import SettingsError

#: Headers with a time, or of the server below the registry.
_VARYING = {"date", "expires", "server", "connection", "last-modified"}

#: The recorded answers that differ in a way that no profile covers: number of the exchange -> why.
_DIFFERENT = {
    20: "204 has neither length nor type",
    30: "204 has neither length nor type",
    36: "the order of the list is that of a Python 2 dict",
    38: "the order of the list is that of a Python 2 dict",
    42: "the time of the last update",
    43: "the time of the last update",
    49: "the fake computes the diff",
    53: "a refused range may be cached",
}


@pytest.fixture
def ask(request):
    """Return a function that sends a request to a fake with the profile of the test's marker."""
    profile = request.node.get_closest_marker("v1registry").kwargs["profile"]
    with FakeRegistry(profile=profile) as registry, WSGISession(registry.app) as session:

        def ask(method, path, **options):
            return session.request(method, path, allow_redirects=False, **options)

        ask.registry = registry
        yield ask


def of(profile):
    return pytest.mark.v1registry(profile=profile)


# -- docker-registry


def _comparable(headers):
    found = {name.lower(): value for name, value in headers if name.lower() not in _VARYING}
    return {name: re.sub(r"signature=[^,]+", "signature=", value) for name, value in found.items()}


def test_docker_registry_0_9_1_answers_as_recorded():
    different = set()
    recorded = exchanges(SAMPLE, "sample")
    options = {"profile": "docker-registry-0.9.1", "endpoints": recorded[0].recorded_host}
    with FakeRegistry(**options) as registry, WSGISession(registry.app) as session:
        for exchange in recorded:
            request = {"headers": dict(exchange.request_headers), "allow_redirects": False, "stream": True}
            data = exchange.request_body.data or None
            answer = session.request(exchange.method, exchange.path, data=data, **request)
            try:
                body = answer.content
            except requests.exceptions.ChunkedEncodingError:
                body = None  # the recorded range of a layer is shorter than announced
            expected = exchange.response_body.data
            is_equal = (
                answer.status_code == exchange.status
                and _comparable(answer.headers.items()) == _comparable(exchange.response_headers)
                and (
                    not expected or body == expected or "application/octet" in answer.headers["Content-Type"]
                )
            )
            if not is_equal:
                different.add(exchange.number)
    assert different == set(_DIFFERENT)


@of("docker-registry-0.9.1")
def test_docker_registry_0_9_1_has_the_recorded_page_for_unknown_paths(ask):
    (recorded,) = [exchange for exchange in exchanges("docker-1.12.6", "push-new") if exchange.path == "/v2/"]
    answer = ask("GET", "/v2/")
    assert (answer.status_code, answer.content) == (404, recorded.response_body.data)
    assert answer.headers["Content-Type"] == "text/html"


@of("docker-registry-0.9.1")
def test_docker_registry_answers_a_wrong_method_in_html(ask):
    answer = ask("POST", "/v1/_ping")
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "text/html")
    assert answer.headers["Allow"] == "GET, HEAD"


@of("docker-registry-0.9.1")
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/repositories/a/b"), ("DELETE", "/v1/repositories/a/b"), ("GET", "/v1/users")],
)
def test_docker_registry_redirects_to_the_final_slash(ask, method, path):
    answer = ask(method, path)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"http://v1registry.test{path}/")


@of("docker-registry-0.9.1")
@pytest.mark.parametrize(
    ("asked", "status", "content_range", "length", "is_cut"),
    [
        ("bytes=0-9", 206, "0-9/165", 10, False),
        ("bytes=10-164", 206, "10-164/165", 155, False),
        ("bytes=10-", 206, "10-165/165", 156, True),
        ("bytes=10-165", 206, "10-165/165", 156, True),
        ("bytes=5-5", 416, None, 0, False),
        ("bytes=0-0", 416, None, 0, False),
        ("bytes=165-165", 416, None, 0, False),
        ("bytes=170-", 416, None, 0, False),
        ("bytes=0-5,7-9", 200, None, 165, False),
    ],
)
def test_docker_registry_0_9_1_has_its_faults_of_ranges(ask, asked, status, content_range, length, is_cut):
    """The table of registry.md 4.2."""
    image = ask.registry.add_image("alice/app:1", layer=bytes(165))
    answer = ask("GET", f"/v1/images/{image.id}/layer", headers={"Range": asked}, stream=True)
    headers = answer.headers
    assert (answer.status_code, headers.get("Content-Range"), headers["Content-Length"]) == (
        status,
        content_range,
        str(length),
    )
    if is_cut:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = answer.content
    else:
        assert len(answer.content) == length


@of("docker-registry-0.6")
def test_docker_registry_0_6_tells_its_version_everywhere(ask):
    ping = ask("GET", "/v1/_ping")
    assert ping.json() is True
    for answer in (ping, ask("GET", "/v1/search"), ask("GET", "/v1/nothing")):
        assert answer.headers["X-Docker-Registry-Version"] == "0.6.9"
        assert answer.headers["X-Docker-Registry-Config"] == "prod"
    assert ask("GET", "/").json() == "docker-registry server (prod) (v0.6.9)"
    assert ask("GET", "/_status").status_code == 200


@of("docker-registry-0.6")
def test_docker_registry_0_6_has_one_checksum_header(ask):
    image = ask.registry.add_image("alice/app:1")
    headers = ask("GET", f"/v1/images/{image.id}/json").headers
    assert headers["X-Docker-Checksum"] == image.checksum
    assert headers["Pragma"] == "no-cache"
    assert not {"X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum"} & set(headers)


@of("docker-registry-0.6")
def test_docker_registry_0_6_lets_scripts_read_image_lists(ask):
    ask.registry.add_image("alice/app:1")
    answer = ask("GET", "/v1/repositories/alice/app/images")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


# -- quay


@of("quay")
def test_quay_is_not_standalone(ask):
    answer = ask("GET", "/v1/_ping")
    assert (answer.json(), answer.headers["X-Docker-Registry-Standalone"]) == (True, "0")


@of("quay")
def test_quay_has_its_own_statuses(ask):
    ask.registry.add_user("alice")
    login = {"auth": ("alice", "secret")}
    assert ask("PUT", "/v1/repositories/alice/app/", json=[], **login).status_code == 201
    assert ask("GET", "/v1/users/", **login).json() == {"username": "alice", "email": None}
    assert ask("GET", "/v1/users/").status_code == 404
    assert ask("GET", "/v1/users/", auth=("alice", "wrong")).status_code == 401
    for method, path in [("DELETE", "images"), ("PUT", "auth")]:
        assert ask(method, f"/v1/repositories/alice/app/{path}", **login).status_code == 501


@of("quay")
def test_quay_lists_no_images_but_tags(ask):
    image = ask.registry.add_image("alice/app:1")
    assert ask("GET", "/v1/repositories/alice/app/images").json() == []
    assert ask("GET", "/v1/repositories/alice/app/tags").json() == {"1": image.id}


@of("quay")
def test_quay_counts_the_results_of_one_page(ask):
    for number in range(30):
        ask.registry.add_repository(f"alice/app{number}")
    found = ask("GET", "/v1/search", params={"q": "app"}).json()
    assert (len(found["results"]), found["num_results"]) == (25, 25)
    assert ask("GET", "/v1/search").json()["results"] == []


# -- Docker Hub


@of("hub")
def test_hub_lists_tags_with_layers(ask):
    image = ask.registry.add_image("library/python:3.9")
    answer = ask("GET", "/v1/repositories/python/tags")
    assert answer.json() == [{"layer": image.id[:8], "name": "3.9"}]


@of("hub")
def test_hub_searches_in_pages(ask):
    for number in range(30):
        ask.registry.add_repository(f"library/app{number:02}")
    first, last = ask("GET", "/v1/search").json(), ask("GET", "/v1/search?page=2").json()
    assert (len(first["results"]), len(last["results"]), first["num_results"]) == (25, 5, 30)
    assert first["results"][0]["name"] == "app00"


@of("hub")
def test_hub_has_accounts(ask):
    answer = ask("GET", "/v1/users/")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="auth required",Token'
    assert ask("GET", "/v1/_ping").headers["X-Docker-Registry-Standalone"] == "False"


# -- profiles and the rest of a fake


def test_options_go_before_those_of_a_profile():
    options = {"profile": "hub", "auth": "open:", "tags_form": "object"}
    with FakeRegistry(**options) as registry, WSGISession(registry.app) as session:
        image = registry.add_image("alice/app:1")
        assert session.get("/v1/repositories/alice/app/tags").json() == {"1": image.id}


@of("docker-registry-0.9.1")
def test_faults_hit_a_fake_with_a_profile(ask):
    ask.registry.fail("PUT", "/v1/repositories/*", status=503, times=1)
    statuses = [ask("PUT", "/v1/repositories/alice/app/", json=[]).status_code for _ in range(2)]
    assert statuses == [503, 200]
    assert json.loads(ask("GET", "/v1/search").text)["num_results"] == 1


def test_a_reset_keeps_the_profile():
    with FakeRegistry(profile="docker-registry-0.6") as registry, WSGISession(registry.app) as session:
        registry.reset()
        assert session.get("/v1/_ping").json() is True


def test_an_unknown_profile_is_rejected():
    with pytest.raises(SettingsError) as failure:
        FakeRegistry(profile="docker")  # type: ignore[arg-type]
    assert str(failure.value) == (
        "profile: must be one of docker-registry-0.6, docker-registry-0.9.1, quay, hub, not 'docker'"
    )
