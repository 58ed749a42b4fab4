"""Parsing of the Authorization header."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cpu_time import within_cpu

from v1registry.access.credentials import (
    Basic,
    BearerToken,
    Credentials,
    Malformed,
    TokenFields,
    is_plain_token,
    parse_authorization,
)

GOOD = {"signature": "S.s_-~1", "repository": "foo/bar", "access": "read"}
OTHER = {"signature": "T", "repository": "foo/baz", "access": "write"}


def basic(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(data).decode("ascii")


def written(fields: dict[str, str]) -> str:
    return f'signature={fields["signature"]},repository="{fields["repository"]}",access={fields["access"]}'


def fields_of(credentials: Credentials) -> list[dict[str, str]]:
    assert isinstance(credentials, list), credentials
    return [token.values for token in credentials]


# -- no credentials


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "   ",
        "Basic Og==",  # engines up to 1.6 without a login
        "basic Og==",
        basic(":a password without a name"),
        "Token",  # engines up to 1.6 without a token
        "Token ",
        "Token   ",
        "TOKEN",
    ],
)
def test_empty_credentials_are_no_credentials(header: str | None) -> None:
    assert parse_authorization(header) is None


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic =",
        "Basic Og",
        "Basic Og=",
        "Basic Og==x",
        "Basic O g==",
        "Basic \xe9",
        basic("no colon"),
        basic(""),
        "Digest username=a",
        "Tokens signature=a",
        "Token\tsignature=a",
        "signature=a",
        "Token Token",
        "Token nothing",
        "Token ,",
        "Token =",
        'Token signature="',
        "Token signature=",
        "\x00",
    ],
)
def test_malformed_credentials_differ_from_none(header: str) -> None:
    assert isinstance(parse_authorization(header), Malformed)


# -- Basic


@pytest.mark.parametrize(
    ("header", "username", "password"),
    [
        (basic("mira:pass"), "mira", "pass"),
        (basic("mira:pass").replace("Basic", "BASIC"), "mira", "pass"),
        (basic("mira:pass").replace("Basic", "bAsIc"), "mira", "pass"),
        (basic("mira:pass").replace("Basic ", "Basic   "), "mira", "pass"),
        ("  " + basic("mira:pass") + "  ", "mira", "pass"),
        (basic("mira:with:colons:"), "mira", "with:colons:"),
        (basic("mira:"), "mira", ""),
        (basic(" : "), " ", " "),
        (basic("mïra:pässwörd"), "mïra", "pässwörd"),
        (basic("mira:\x00\n"), "mira", "\x00\n"),
    ],
)
def test_basic_is_split_at_the_first_colon(header: str, username: str, password: str) -> None:
    assert parse_authorization(header) == Basic(username, password)


def test_password_that_is_not_utf_8_is_kept() -> None:
    latin, utf = parse_authorization(basic(b"mira:\xe9")), parse_authorization(basic("mira:é"))
    assert isinstance(latin, Basic)
    assert isinstance(utf, Basic)
    assert latin.password.encode("utf-8", "surrogateescape") == b"\xe9"
    assert latin != utf


def test_neither_passwords_nor_signatures_are_shown() -> None:
    shown = repr([parse_authorization(basic("mira:s3cret")), parse_authorization(f"Token {written(GOOD)}")])
    assert "mira" in shown
    assert "s3cret" not in shown
    assert GOOD["signature"] not in shown


# -- tokens (registry.md 10, after docker-registry 0.9.1, toolkit.py)


@pytest.mark.parametrize(
    "header",
    [
        f"Token {written(GOOD)}",
        f"token {written(GOOD)}",
        f"TOKEN {written(GOOD)}",
        f"Token   {written(GOOD)}  ",
        f"Token Token {written(GOOD)}",
        f"token TOKEN Token {written(GOOD)}",
        'Token access=read,repository="foo/bar",signature=S.s_-~1',
        "Token signature=S.s_-~1,repository=foo/bar,access=read",
        'Token signature="S.s_-~1",repository="foo/bar",access="read"',
        'Token signature="S.s_-~1", repository="foo/bar", access="read"',
        'Token signature:S.s_-~1,repository:"foo/bar",access:read',
        'Token signature= S.s_-~1,repository= foo/bar,access= read',
        'Token signature=S.s_-~1,,repository="foo/bar",,access=read,',
    ],
)  # fmt: skip
def test_REG_041_order_quotes_and_a_doubled_word_are_ignored(header: str) -> None:
    assert fields_of(parse_authorization(header)) == [GOOD]


@pytest.mark.parametrize("separator", [",", ", ", ",Token ", ", Token "])
def test_joined_tokens_are_read_one_by_one(separator: str) -> None:
    header = f"Token {written(GOOD)}{separator}{written(OTHER)}{separator}{written(GOOD)}"
    assert fields_of(parse_authorization(header)) == [GOOD, OTHER, GOOD]


def test_repeated_field_begins_the_next_token() -> None:
    header = "Token signature=A,access=read,signature=B,signature=C,repository=d/e"
    assert fields_of(parse_authorization(header)) == [
        {"signature": "A", "access": "read"},
        {"signature": "B"},
        {"signature": "C", "repository": "d/e"},
    ]


def test_unknown_fields_are_read_and_empty_ones_are_not() -> None:
    header = 'Token signature=A,more=1,access=,repository=""'
    assert fields_of(parse_authorization(header)) == [{"signature": "A", "more": "1"}]


@given(st.text(alphabet='ab_é1:=", ' + "\t", max_size=40))
def test_fields_are_those_that_docker_registry_reads(text: str) -> None:
    last = dict(re.findall(r"(\w+)[:=][\s\"]?([^\",]+)\"?", text.strip(), re.ASCII))
    parsed = parse_authorization(f"Token {text}")
    merged: dict[str, str] = {}
    for token in parsed if isinstance(parsed, list) else ():
        merged.update(token.values)
    assert merged == last


@pytest.mark.parametrize("word", ["a", "a=", "a,", '"', "=", ":", "token ", "a=b,", " ", 'a="'])
def test_long_headers_are_parsed_fast(word: str) -> None:
    header = "Token " + word * (200_000 // len(word))
    within_cpu(2, lambda: (parse_authorization(header), is_plain_token(header)))


@given(st.one_of(st.text(), st.text().map("Token {}".format), st.text().map("Basic {}".format)))
def test_any_header_is_parsed_without_an_error(header: str) -> None:
    assert isinstance(parse_authorization(header), (Basic, list, Malformed, type(None)))
    assert isinstance(is_plain_token(header), bool)


@given(st.text(), st.text())
def test_any_name_and_password_are_read_as_sent(username: str, password: str) -> None:
    sent = f"{username}:{password}".encode("utf-8", "surrogatepass")
    parsed = parse_authorization(basic(sent))
    if not username:
        assert parsed is None
    elif ":" not in username and not re.search("[\ud800-\udfff]", username + password):
        assert parsed == Basic(username, password)


# -- what two servers read alike


@pytest.mark.parametrize(
    "header",
    [
        f"Token {written(GOOD)}",
        f"token Token {written(GOOD)}",
        f"Token {written(GOOD)},{written(OTHER)}",
        f"Token {written(GOOD)}, {written(OTHER)}",
    ],
)
def test_tokens_of_indexes_are_plain(header: str) -> None:
    assert is_plain_token(header)
    assert isinstance(parse_authorization(header), list)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Basic Og==",
        f"Token {written(GOOD)},more=1",
        f'Token {written(GOOD)},more="access=write"',
        f"Token {written(GOOD)} access=write",
        f"Token {written(GOOD)}\n",
        f"Token\t{written(GOOD)}",
        f"Token {written(GOOD)},Token {written(OTHER)}",
        "Token signature=é",
        "Token signature=",
        'Token signature="a',
        'Token signature=a"',
        "Token signature = a",
    ],
)
def test_ambiguous_tokens_are_not_plain(header: str | None) -> None:
    assert not is_plain_token(header)


def test_tokens_are_compared_by_their_fields() -> None:
    assert TokenFields({"a": "b"}) == TokenFields({"a": "b"}) != TokenFields({"a": "c"})


# -- access tokens of OAuth (RFC 6750, 2.1)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER  abc ", "abc"),
        ("Bearer aZ09-._~+/==", "aZ09-._~+/=="),
        ("Bearer " + "a" * 512, "a" * 512),
        # none of these is an access token
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Bearer " + "a" * 513, ""),
        ("Bearer a b", ""),
        ("Bearer a,b", ""),
        ("Bearer =", ""),
        ("Bearer a=b", ""),
        ('Bearer "abc"', ""),
        ("Bearer abc\n", "abc"),
        ("Bearer a\nb", ""),
        ("Bearer \xe9", ""),
        ("Bearer \u0661", ""),
    ],
)
def test_access_token_is_read_or_empty_if_malformed(header: str, token: str) -> None:
    assert parse_authorization(header) == BearerToken(token)


def test_access_token_is_not_shown() -> None:
    assert "s3cret" not in repr(parse_authorization("Bearer s3cret"))
