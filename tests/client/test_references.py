"""Parsing references, and the messages for invalid ones."""

from __future__ import annotations

import pytest

from v1registry.client import BadReference, Client, Reference

ID = "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "name", "tag", "scheme"),
    [
        ("localhost:5000/foo/bar:v1", "localhost:5000", "foo/bar", "v1", None),
        ("localhost/busybox", "localhost", "library/busybox", "latest", None),
        ("registry.example/a/b/c:1.0-rc_2", "registry.example", "a/b/c", "1.0-rc_2", None),
        ("Registry.Example:443/foo/Bar", "registry.example:443", "foo/Bar", "latest", None),
        ("127.0.0.1:5000/foo/bar", "127.0.0.1:5000", "foo/bar", "latest", None),
        ("[::1]:5000/foo/bar:x", "[::1]:5000", "foo/bar", "x", None),
        ("http://registry/foo/bar", "registry", "foo/bar", "latest", "http"),
        ("HTTPS://registry.example/foo/bar", "registry.example", "foo/bar", "latest", "https"),
    ],
)
def test_references_are_parsed(text: str, host: str, name: str, tag: str, scheme: str | None) -> None:
    reference = Reference.parse(text)
    assert (reference.host, str(reference.name), reference.tag, reference.scheme) == (host, name, tag, scheme)
    assert Client(reference.origin).host == host


def test_name_without_namespace_is_kept_in_archives() -> None:
    assert Reference.parse("https://localhost:5000/busybox").archive_name == "localhost:5000/busybox:latest"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be HOST"),
        ("busybox", "has no repository"),
        ("localhost:5000", "has no repository"),
        ("localhost:5000/", "has no repository"),
        ("foo/bar", "must begin with a registry"),
        ("ftp://localhost/foo", "http or https"),
        ("localhost:0/foo", "registry must be HOST"),
        ("localhost:99999/foo", "registry must be HOST"),
        ("-.x:y/foo", "registry must be HOST"),
        ("local host:5000/foo", "registry must be HOST"),
        ("localhost:5000/foo@sha256:" + ID[1:], "digest must be"),
        ("localhost:5000/foo@" + ID, "digest must be"),
        ("localhost:5000/foo@", "digest must be"),
        ("localhost:5000/foo@sha256:" + ID + "@sha256:" + ID, "digest must be"),
        ("localhost:5000/foo:@sha256:" + ID, "tag must be"),
        ("localhost:5000/@sha256:" + ID, "repository must be"),
        ("localhost:5000/Foo/bar", "repository must be"),
        ("localhost:5000/foo//bar", "repository must be"),
        ("localhost:5000/foo/bar/", "repository must be"),
        ("localhost:5000//foo", "repository must be"),
        ("localhost:5000/foo/../bar", "repository must be"),
        ("localhost:5000/foo/b%2Fr", "repository must be"),
        ("localhost:5000/foo/bar:", "tag must be"),
        ("localhost:5000/foo/bar:a b", "tag must be"),
        ("localhost:5000/foo/bar:-x", "tag must be"),
        ("localhost:5000/foo/bar:" + "x" * 129, "tag must be"),
        ("localhost:5000/foo/bar:x\n", "tag must be"),
    ],
)
def test_invalid_reference_is_refused_with_the_expected_form(text: str, reason: str) -> None:
    with pytest.raises(BadReference, match=reason):
        Reference.parse(text)


@pytest.mark.parametrize("host", ["", "a/b", "x:y", "http://", "ftp://x"])
def test_invalid_host_is_refused(host: str) -> None:
    with pytest.raises(BadReference):
        Client(host)


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(BadReference, match="http or https"):
        Client("localhost", scheme="gopher")
