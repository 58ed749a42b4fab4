"""The errors of FakeRegistry, and errors inside the application."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeImage, FakeRegistry, NotThere, PushRefused
from webtest import TestApp

from v1registry import SettingsError

# -- errors of wrong use


def test_not_there_lists_the_existing_names(registry):
    image = registry.add_image("alice/app:1.0")
    registry.tag(image, "alice/app:latest")
    for ask, text in [
        (lambda: registry.image("alice/app:x"), "no tag 'x' in alice/app; there are: 1.0, latest"),
        (lambda: registry.tags("alice/app")["x"], "no tag 'x' in alice/app; there are: 1.0, latest"),
        (lambda: registry.tags("bob/app"), "no repository 'bob/app'; there are: alice/app"),
        (lambda: registry.image("bob/app:1.0"), "no repository 'bob/app'; there are: alice/app"),
        (lambda: registry.images["f" * 64], f"no image '{'f' * 64}'; there are: {image.id}"),
        (lambda: registry.images["../x"], f"no image '../x'; there are: {image.id}"),
        (lambda: registry.tag("e" * 64, "alice/app"), f"no image '{'e' * 64}'; there are: {image.id}"),
        (lambda: registry.add_image(parent="d"), f"no image 'd' to be the parent; there are: {image.id}"),
    ]:
        with pytest.raises(NotThere) as caught:
            ask()
        assert str(caught.value) == text
        assert isinstance(caught.value, LookupError)
    assert registry.images.get("f" * 64) is None
    assert "f" * 64 not in registry.images


def test_not_there_lists_some_of_many_names(registry):
    for number in range(15):
        registry.add_repository(f"alice/app{number:02}")
    with pytest.raises(NotThere, match=r"alice/app11 and 3 more$"):
        registry.tags("bob/app")


def test_an_unfinished_image_reports_what_is_missing(registry, client):
    image_id = "ab" * 32
    client.put_json(f"/v1/images/{image_id}/json", {"id": image_id})
    with pytest.raises(NotThere, match="has no layer: its push has not ended"):
        _ = registry.images[image_id].layer
    absent = FakeImage(registry.storage, "cd" * 32)
    assert repr(absent) == f"<FakeImage {'cd' * 32} absent>"
    with pytest.raises(NotThere, match="has no JSON: there is no such image"):
        _ = absent.document


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"files": {}, "layer": b""}, TypeError, "give one of them"),
        ({"layers": 0}, ValueError, "at least 1, not 0"),
        ({"files": {"a": 1}}, TypeError, "content of 'a' must be bytes, text or None, not int"),
        ({"id": "ABC"}, PushRefused, "rejected PUT /v1/images/ABC/json: 404 Invalid image ID"),
        ({"id": "ab" * 32, "json": {"id": "x"}}, PushRefused, "400 JSON data contains invalid id"),
        ({"name": "alice/a$b"}, PushRefused, "400 Invalid repository name"),
        ({"name": "alice/app:-"}, PushRefused, "400 Invalid tag name"),
    ],
)
def test_a_rejected_push_has_the_reason(registry, arguments, error, text):
    with pytest.raises(error, match=text):
        registry.add_image(**arguments)


def test_an_existing_id_is_rejected(registry):
    image = registry.add_image()
    with pytest.raises(PushRefused, match="409 Image already exists") as caught:
        registry.add_image(id=image.id)
    assert caught.value.status == 409


def test_an_unknown_option_suggests_the_nearest_one():
    with pytest.raises(SettingsError, match="did you mean search_limit"):
        FakeRegistry(serach_limit=3)


# -- failures of the registry itself


def _break(registry, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(registry.storage, "read", fail)
    monkeypatch.setattr(registry.storage, "stat", fail)


def test_check_reports_an_unexpected_error_once(registry, client, monkeypatch):
    image = registry.add_image("alice/app")
    client.get("/v1/_ping")
    with monkeypatch.context() as patched:
        _break(registry, patched, ZeroDivisionError("by chance"))
        client.get(f"/v1/images/{image.id}/json", status=500)
    with pytest.raises(AssertionError) as caught:
        registry.check()
    assert str(caught.value) == (
        "The registry itself failed in these requests, which is not the fault of the test:\n"
        f"  GET /v1/images/{image.id}/json 500\n"
        "    ZeroDivisionError: by chance\n"
        "asked: 2\n"
        "  GET /v1/_ping 200\n"
        f"  GET /v1/images/{image.id}/json 500\n"
        "there: 1 repositories, 1 images\n"
        f"  alice/app:latest {image.id}"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    registry.check()


def test_leaving_the_block_checks_unless_it_failed(monkeypatch):
    def fail_in_block(raised):
        with FakeRegistry() as registry:
            image = registry.add_image()
            with monkeypatch.context() as patched:
                _break(registry, patched, ZeroDivisionError("by chance"))
                TestApp(registry.app).get(f"/v1/images/{image.id}/json", status=500)
            if raised is not None:
                raise raised

    with pytest.raises(AssertionError, match="by chance"):
        fail_in_block(None)
    with pytest.raises(LookupError, match="the test's own"):
        fail_in_block(LookupError("the test's own"))


def test_an_error_in_the_middle_of_an_answer_is_reported(registry, client, monkeypatch):
    image = registry.add_image(layer=b"x" * 300_000)
    open_blob = registry.storage.open

    def open_broken(*arguments):
        blob = open_blob(*arguments)
        monkeypatch.setattr(type(blob), "read", lambda *arguments: 1 / 0)
        return blob

    monkeypatch.setattr(registry.storage, "open", open_broken)
    with pytest.raises(ZeroDivisionError):
        client.get(f"/v1/images/{image.id}/layer")
    with pytest.raises(AssertionError, match=rf"GET /v1/images/{image.id}/layer 200\n    ZeroDivisionError"):
        registry.check()


def test_filling_a_broken_registry_shows_the_error(registry, monkeypatch):
    with monkeypatch.context() as patched:
        _break(registry, patched, ZeroDivisionError("by chance"))
        with pytest.raises(PushRefused, match="500 Internal server error") as caught:
            registry.add_repository("alice/app")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_describe_works_with_a_broken_registry(registry, client, monkeypatch):
    client.get("/v1/_ping")
    with monkeypatch.context() as patched:
        patched.setattr(registry.storage, "list_folders", lambda *arguments, **options: 1 / 0)
        described = registry.describe().splitlines()
    assert described == [
        "asked: 1",
        "  GET /v1/_ping 200",
        "there: unknown, because of ZeroDivisionError('division by zero')",
    ]


def test_rejected_requests_are_not_errors(registry, client):
    client.get("/v1/images/x/json", status=404)
    client.post("/v1/_ping", status=405)
    client.put("/v1/repositories/alice/app/", b"{", status=400)
    registry.check()
    assert all(request.error is None for request in registry.requests)
