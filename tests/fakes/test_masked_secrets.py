"""Secrets in transcripts and reports of a fake: where they stand, and what is not one."""

from __future__ import annotations

import json

import pytest
from v1registry_fakes import FakeRegistry, WSGISession
from v1registry_fakes.in_process import environ_of
from v1registry_fakes.transcripts.masking import Masker

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("data", "kind", "masked"),
    [
        (b'[{"password": "hunter2"}]', "application/json", b'[{"password": "masked-1"}]'),
        (b'{"user": {"apiKey": "hunter2"}}', "application/json", b'{"user": {"apiKey": "masked-1"}}'),
        (b'{"a": [[{"refresh_token": "hunter2"}]]}', "", b'{"a": [[{"refresh_token": "masked-1"}]]}'),
        (b'{"tokens": 1, "secret": ["hunter2"]}', "", b'{"tokens": 1, "secret": ["masked-1"]}'),
        (b'{"password": 4711}', "", b'{"password": "masked-1"}'),
        (b'{"url": "https://al:hunter2@a.example/"}', "", b'{"url": "https://masked-1@a.example/"}'),
        (b'{"user":{"password":"hunter2"', "application/json", b'{"user":{"password":"masked-1"'),
        (b'{"password" : "hun\\"ter2', "application/json", b'{"password" : "masked-1'),
        (b"{'password': 'hunter2'}", "application/json", b"{'password': 'masked-1'}"),
        (b'{"token": hunter2}', "application/json", b'{"token": masked-1}'),
        (b'{"token": "hunter2", "x": "\xff"}', "application/json", b'{"token": "masked-1", "x": "\\udcff"}'),
        (b'{"a": {"token": "hunter2"}, "a": 1}', "", b'{"a": {"token": "masked-1"}, "a": 1}'),
        (b"next=%2F%3Ftoken%3Dhunter2&n=1", FORM, b"next=/%3Ftoken%3Dmasked-1&n=1"),
        (b"username=al&password=hunter2", "", b"username=al&password=masked-1"),
        (b'<a href="/?token=hunter2">', "text/html", b'<a href="/?token=masked-1">'),
    ],
)  # fmt: skip
def test_secret_is_masked_wherever_it_stands(data, kind, masked):
    assert Masker().body(data, kind, "/x") == masked


@pytest.mark.parametrize(
    "data",
    [
        b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}',
        b'{"errors":[{"code":"MANIFEST_UNKN',
        b'{"errorDetail":{"code":1}}',
        b'{"has_token":true,"token":null,"token_type":"bearer"}',
        b'{"url":"https://a.example/?n=1"}',
        b"a=1&b=%2f",
        b"\x1f\x8b\xff?token=x",
    ],
)
def test_body_without_a_secret_stays_as_it_is(data):
    assert Masker().body(data, "application/octet-stream", "/x") == data


@pytest.mark.parametrize(
    ("target", "masked"),
    [
        ("/v1/_ping?api_key=hunter2", "/v1/_ping?api_key=masked-1"),
        ("/x?a=1&next=%2F%3Fcode%3Dhunter2", "/x?a=1&next=/%3Fcode%3Dmasked-1"),
        ("https://a.example/#access_token=hunter2", "https://a.example/#access_token=masked-1"),
        ("https://al:hunter2@a.example/x", "https://masked-1@a.example/x"),
        ("/v1/search?q=token&n=1", "/v1/search?q=token&n=1"),
    ],
)
def test_secret_of_a_url_is_masked(target, masked):
    assert Masker().target(target) == masked
    assert Masker().headers([("X-Original-Url", target)]) == [("X-Original-Url", masked)]


def test_user_info_of_a_url_is_sent_as_credentials(tmp_path):
    transcript = tmp_path / "session.jsonl"
    with FakeRegistry(auth="users:") as registry, WSGISession(registry.app) as session:
        registry.add_user("al", "hunter2hunter2")
        with registry.record(transcript):
            answer = session.get("http://al:hunter2hunter2@reg.example:5000/v1/users/")

    assert answer.status_code == 200
    request = registry.requests[-1]
    assert (request.headers["Host"], request.user) == ("reg.example:5000", "al")
    assert "hunter2" not in transcript.read_text()
    assert environ_of("GET", "http://al:x@reg.example/", [], None)["HTTP_HOST"] == "reg.example"


def test_host_with_user_info_is_masked():
    assert Masker().headers([("Host", "al:hunter2@a.example")]) == [("Host", "masked-1@a.example")]


def test_reports_mask_the_secrets_of_queries():
    with FakeRegistry() as registry, WSGISession(registry.app) as session:
        session.get("/v1/search?q=app&token=hunter2")
        request = registry.requests[-1]
        with pytest.raises(AssertionError) as failure:
            registry.assert_requested("GET", "/v1/other")

    assert str(request) == "GET /v1/search?q=app&token=masked 200"
    for text in (registry.describe(), request.describe(), repr(registry.requests), str(failure.value)):
        assert "token=masked" in text
        assert "hunter2" not in text
    assert request.query == "q=app&token=hunter2"


def test_masks_of_json_keep_their_text_comparable():
    masker = Masker(is_numbered=False)
    bodies = [json.dumps([{"token": secret}]).encode() for secret in ("a", "b")]

    assert len({masker.body(body, "application/json", "/x") for body in bodies}) == 1
