"""Random bodies and headers for the OAuth endpoints: none is a failure of the server."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oauth_world import OAuthWorld
from support.wsgi_client import call

from v1registry.errors import OAuthError
from v1registry.oauth.api import client_credentials, parse_parameters

FORM = "application/x-www-form-urlencoded"

#: No request changes what it is: whoever asks proves nothing, and knows no code.
WORLD = OAuthWorld()
APP = WORLD.another_app()

NAMES = st.one_of(
    st.sampled_from(
        [
            "grant_type",
            "code",
            "refresh_token",
            "scope",
            "token",
            "client_id",
            "client_secret",
            "redirect_uri",
        ]
    ),
    st.text(max_size=10),
)
VALUES = st.one_of(
    st.sampled_from(["authorization_code", "code", "refresh_token", "ci-bot", WORLD.secret, "é", "\x00"]),
    st.text(max_size=40),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.tuples(NAMES, VALUES), max_size=6).map(lambda pairs: urlencode(pairs).encode()),
    st.dictionaries(NAMES, VALUES, max_size=6).map(lambda fields: json.dumps(fields).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
)
TYPES = st.one_of(
    st.sampled_from([FORM, "application/json", f"{FORM}; charset=latin-1"]),
    st.text(st.characters(max_codepoint=255), max_size=20),
)
HEADERS = st.one_of(
    st.none(),
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.binary(max_size=40).map(lambda data: "Basic " + base64.b64encode(data).decode("ascii")),
    st.just("Basic " + base64.b64encode(f"ci-bot:{WORLD.secret}".encode()).decode("ascii")),
)


@given(
    path=st.sampled_from(["token/", "revoke_token/", "introspect/"]),
    body=BODIES,
    content_type=TYPES,
    header=HEADERS,
    query=st.one_of(st.just(""), st.text(st.characters(max_codepoint=255), max_size=20)),
)
def test_random_body_is_not_a_failure_of_the_server(
    path: str, body: bytes, content_type: str, header: str | None, query: str
) -> None:
    environ = {"CONTENT_TYPE": content_type, "QUERY_STRING": query}
    if header is not None:
        environ["HTTP_AUTHORIZATION"] = header
    answer = call(APP, "POST", f"/api/v1.1/o/{path}", body, **environ)
    assert answer.status in (200, 400, 401, 429), answer
    if answer.status != 200:
        assert set(json.loads(answer.body)) == {"error", "error_description"}


@given(st.dictionaries(NAMES.filter(bool), VALUES, max_size=8))
def test_encoded_parameters_are_read_back(fields: dict[str, str]) -> None:
    wanted = {name: value for name, value in fields.items() if value}
    assert parse_parameters(FORM, urlencode(fields).encode()) == wanted
    assert parse_parameters("application/json", json.dumps(fields).encode()) == wanted


@given(st.one_of(BODIES, st.text(max_size=50).map(str.encode)), TYPES)
def test_body_gives_parameters_or_invalid_request(body: bytes, content_type: str) -> None:
    try:
        parameters = parse_parameters(content_type, body)
    except OAuthError as error:
        assert (error.code, error.status) == ("invalid_request", 400)  # noqa: PT017
    else:
        assert all(isinstance(value, str) and value for value in parameters.values())


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_basic_credentials_are_decoded_as_rfc_6749_says(client_id: str, secret: str) -> None:
    encoded = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode("ascii")
    found = client_credentials(f"Basic {encoded}", {})
    assert found is not None
    assert (found.client_id, found.secret) == (client_id, secret)
    assert repr(found) == f"ClientCredentials(client_id={client_id!r})"


@given(st.text(max_size=60))
def test_other_header_than_basic_is_invalid_client(header: str) -> None:
    try:
        found = client_credentials(header, {"client_id": "ci-bot"})
    except OAuthError as error:
        assert (error.code, error.status) == ("invalid_client", 401)  # noqa: PT017
    else:
        assert found is not None


def test_credentials_in_the_body_are_used_without_a_header() -> None:
    assert client_credentials(None, {}) is None
    assert client_credentials("  ", {"client_secret": "x"}) is None
    found = client_credentials(None, {"client_id": "ci-bot", "client_secret": "x"})
    assert found is not None
    assert (found.client_id, found.secret) == ("ci-bot", "x")
    with pytest.raises(OAuthError):
        client_credentials("Digest x", {"client_id": "ci-bot", "client_secret": "x"})
