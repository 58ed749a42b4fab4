"""The grammars of names, with examples and generated texts."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from v1registry.errors import ImageNotFound, InvalidImageId, InvalidRepositoryName, InvalidTagName
from v1registry.names import (
    RepositoryName,
    check_image_id,
    check_tag,
    check_target_id,
    is_host,
    is_image_id,
    is_loopback,
)
from v1registry.registry import layout

ID = "0123456789abcdef" * 4

WORD = string.ascii_letters + string.digits + "_"

#: Machines that test are busy: how long chance takes there says nothing.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# -- image ids


@pytest.mark.parametrize("text", [ID, "0123456789abcdef"])
def test_an_image_id_has_16_or_64_hex_digits(text: str) -> None:
    assert is_image_id(text)
    assert check_image_id(text) == check_target_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", ID[1:], ID + "0", ID[:15], ID[:32], ID.upper(), ID[:-1] + "g", ID + "\n", "\n" + ID,
     ID[:-1] + "\u0661", "\uff10" * 64],
)  # fmt: skip
def test_other_texts_are_not_image_ids(text: str) -> None:
    assert not is_image_id(text)
    with pytest.raises(InvalidImageId):
        check_image_id(text)
    with pytest.raises(ImageNotFound):
        check_target_id(text)


@pytest.mark.parametrize("value", [None, 0, b"0" * 64, ["0" * 64], {}, 1.5])
def test_other_types_are_not_image_ids(value: object) -> None:
    assert not is_image_id(value)


# -- tags


@patiently
@given(st.text(WORD, min_size=1, max_size=1), st.text(WORD + ".-", max_size=127))
def test_tags_of_engines_since_1_3_are_valid(first: str, rest: str) -> None:
    assert check_tag(first + rest) == first + rest


@patiently
@given(st.text())
def test_any_other_tag_is_invalid(text: str) -> None:
    is_good = re.match(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", text) is not None
    if is_good:
        assert check_tag(text) == text
    else:
        with pytest.raises(InvalidTagName):
            check_tag(text)


@pytest.mark.parametrize("text", ["", "x\n", "a" * 129, "é", "a/b", ".", "..", "-", "\u0661"])
def test_tags_outside_of_the_grammar_are_invalid(text: str) -> None:
    with pytest.raises(InvalidTagName):
        check_tag(text)


# -- hosts


@pytest.mark.parametrize("text", ["a", "a.b-c_d:1", "127.0.0.1:65535", "[::1]", "[fe80::1.2.3.4]:5000"])
def test_hosts_with_and_without_port_are_valid(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    ["", ":1", "a:", "a:123456", "a b", "a\n", "a,b", "a/b", "u@a", "[::1", "::1", "[g]", "é", "a:1:2", 'a"'],
)
def test_other_texts_are_not_hosts(text: str) -> None:
    assert not is_host(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("a.localhost:80", True),
        ("127.1.2.3:80", True),
        ("[::1]:80", True),
        ("::1", True),
        ("localhost.example", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("", False),
        ("a b.localhost", False),
        ("127.0.0.1.example", False),
    ],
)
def test_only_hosts_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# -- repositories


@pytest.mark.parametrize(
    ("text", "namespace", "repository"),
    [
        ("ubuntu", "library", "ubuntu"),
        ("ubuntu/", "library", "ubuntu"),
        ("library/ubuntu", "library", "ubuntu"),
        ("a/b", "a", "b"),
        ("a/b///", "a", "b"),
        ("a/b/c", "a", "b/c"),
        ("a//b", "a", "/b"),
        ("/a", "", "a"),
        ("//", "library", ""),
        ("", "library", ""),
    ],
)
def test_a_name_is_split_at_its_first_slash(text: str, namespace: str, repository: str) -> None:
    assert RepositoryName.parse(text) == RepositoryName(namespace, repository)


@pytest.mark.parametrize(
    "text",
    ["a/b", "ubuntu", "_/_", "0.1-2_3/Up.Per_-", "a/b/c/d", "n" * 255 + "/" + "r" * 255, "__/a..b", "a_/b"],
)
def test_names_of_engines_are_valid(text: str) -> None:
    name = RepositoryName.parse(text)
    assert name.checked() is name


@pytest.mark.parametrize(
    "text",
    ["", "/", "/a", "a//b", "A/b", "a./b", ".a/b", "a-/b", "-a/b", "é/b", "n" * 256 + "/b", "a/b\n", "a\n/b",
     "a/.b", "a/-b",
     "a/..", "a/.", "../a", "a/b/..", "a/b/../c", "a/é", "a/b c", "a/b%20", "a/b\\c", "a/b\0",
      "a/" + "r" * 256, "a/\u0661"],
)  # fmt: skip
def test_other_names_are_invalid(text: str) -> None:
    with pytest.raises(InvalidRepositoryName):
        RepositoryName.parse(text).checked()


def test_official_names_are_short() -> None:
    assert (RepositoryName.parse("ubuntu").short, str(RepositoryName.parse("ubuntu"))) == (
        "ubuntu",
        "library/ubuntu",
    )
    assert RepositoryName.parse("a/b/c").short == "a/b/c"


# -- names as they are stored


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@patiently
@given(texts)
def test_a_stored_part_is_one_safe_segment_and_comes_back(text: str) -> None:
    stored = layout.store_part(text)
    assert re.fullmatch(r"[A-Za-z0-9_.+%-]+", stored)
    assert stored not in (".", "..")
    if text not in ("%2E", "%2E%2E"):  # these are what docker-registry makes of dots
        assert layout.unstore_part(stored) == text


@patiently
@given(texts, texts)
def test_repository_in_its_usual_folder_is_listed_by_its_name(namespace: str, repository: str) -> None:
    assume({namespace, repository}.isdisjoint({"%2E", "%2E%2E"}))
    assume(" " not in repository)  # a blank that is quoted twice looks like a plus that is quoted once
    name = RepositoryName(namespace, repository)
    top, *folders = layout.repository_folders(name)[-1].split("/")
    assert top == "repositories"
    assert layout.repository_from_folders(*folders) == name


@patiently
@given(
    st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_.-]{1,9}(/[a-z]{1,3}){0,3}", fullmatch=True),
)
def test_writable_names_are_listed_from_each_possible_folder(namespace: str, repository: str) -> None:
    for folder in layout.repository_folders(RepositoryName(namespace, repository)):
        found = layout.repository_from_folders(*folder.split("/")[1:])
        assert found == RepositoryName(namespace, repository)
