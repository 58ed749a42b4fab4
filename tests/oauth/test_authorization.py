"""Authorization requests: their parameters, and the redirects with the answers (oauth.md 3.1)."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.backends import UnavailableBackend
from support.faulty_storage import FaultyStorage
from support.oauth_world import BACK, CHALLENGE, MIRA, VERIFIER, OAuthWorld, answer_in, code_in

from v1registry.accounts.service import Accounts
from v1registry.oauth.applications import Applications
from v1registry.oauth.grants import Grants
from v1registry.oauth.provider import (
    AuthorizationRefused,
    AuthorizationRequest,
    Provider,
    UnsafeAuthorization,
)
from v1registry.rights import User
from v1registry.storage.base import StorageUnavailable

GOOD = {"client_id": "ci-bot", "response_type": "code", "state": "s1"}


def ask(world: OAuthWorld, **parameters: str | None) -> AuthorizationRequest:
    """Return the request with valid parameters, except the given ones. None leaves a parameter out."""
    asked = {name: value for name, value in {**GOOD, **parameters}.items() if value is not None}
    return world.provider.check_authorization(urlencode(asked))


def refusal(world: OAuthWorld, query: str) -> dict[str, str]:
    """Return the parameters of the redirect that refuses a query."""
    with pytest.raises(AuthorizationRefused) as refused:
        world.provider.check_authorization(query)
    location = refused.value.location
    assert location.startswith(f"{BACK}?")
    answer = answer_in(location)
    assert answer["error"] == refused.value.code
    # RFC 6749, 4.1.2.1: the characters of error_description
    text = answer["error_description"]
    assert text
    assert all(0x20 <= ord(character) <= 0x7E and character not in '"\\' for character in text), text
    return answer


def refused(world: OAuthWorld, **parameters: str | None) -> str:
    """Return the error for valid parameters except the given ones. The state must be returned."""
    asked = {name: value for name, value in {**GOOD, **parameters}.items() if value is not None}
    answer = refusal(world, urlencode(asked))
    assert answer.get("state") == asked.get("state")
    return answer["error"]


# -- what is asked and how it is answered


@pytest.mark.parametrize(
    "state", ["s1", "a b+c%&=#?/é€", "x" * 4000, "\r\nSet-Cookie: a=b", "<script>", "\x00", '"']
)
def test_OAU_001_allowed_request_redirects_with_code_and_exact_state(world: OAuthWorld, state: str) -> None:
    location = world.provider.allow(ask(world, state=state), MIRA)
    assert location.startswith(f"{BACK}?")
    assert location.isascii()
    assert location.isprintable()
    answer = answer_in(location)
    assert list(answer) == ["code", "state"]
    assert answer["state"] == state
    issued = world.grants.redeem(answer["code"], world.application)
    assert (issued.account.user, issued.scopes) == (MIRA, ("profile_read", "email_read"))


def test_OAU_001_no_state_is_returned_if_none_was_sent(world: OAuthWorld) -> None:
    for state in (None, ""):
        assert list(answer_in(world.provider.allow(ask(world, state=state), MIRA))) == ["code"]
        assert "state" not in answer_in(world.provider.deny(ask(world, state=state)))


def test_OAU_002_denied_request_redirects_with_access_denied_and_state(world: OAuthWorld) -> None:
    location = world.provider.deny(ask(world, state="a b"))
    answer = answer_in(location)
    assert (answer["error"], answer["state"]) == ("access_denied", "a b")
    assert "code" not in answer
    assert world.kept() == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"client_id": None},
        {"client_id": ""},
        {"client_id": "nobody"},
        {"client_id": "ci-bot "},
        {"client_id": "../ci-bot"},
        {"client_id": "CI-BOT"},
        {"client_id": "é"},
        {"redirect_uri": "https://evil.example.org/"},
        {"redirect_uri": f"{BACK}/"},
        {"redirect_uri": f"{BACK}?x=1"},
        {"redirect_uri": f"{BACK}#"},
        {"redirect_uri": "/back"},
        {"redirect_uri": BACK.upper()},
        {"redirect_uri": f"{BACK}\n"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "https://ci.example.org:443/back"},
    ],
)
def test_OAU_003_unknown_client_or_redirect_uri_is_no_redirect(
    world: OAuthWorld, parameters: dict[str, str | None]
) -> None:
    with pytest.raises(UnsafeAuthorization) as unsafe:
        ask(world, **parameters)
    assert unsafe.value.status == 400
    # the page of an attacker's link says nothing that the attacker wrote
    assert not any(value in unsafe.value.public for value in parameters.values() if value)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&&",
        "client_id=ci-bot&client_id=ci-bot&response_type=code",
        "client_id=ci-bot&client_id=",
        f"client_id=ci-bot&response_type=code&redirect_uri={BACK}&redirect_uri={BACK}",
        f"client_id=ci-bot&redirect_uri={BACK}&redirect_uri=https://evil.example.org/",
        "client_id=ci-bot&redirect_uri=%ff",
        "client_id=%ff",
        "client_id=ci-b\xf6t",
        "client_id=ci-bot&" + "a=b&" * 100,
        "client_id=ci-bot&x=" + "x" * 8192,
    ],
)
def test_OAU_003_query_without_a_client_is_no_redirect(world: OAuthWorld, query: str) -> None:
    with pytest.raises(UnsafeAuthorization):
        world.provider.check_authorization(query)


def test_OAU_004_first_redirect_uri_is_the_default(world: OAuthWorld) -> None:
    second = "http://127.0.0.1:8000/other"
    world.applications.add("Two", [BACK, second], client_id="two")

    assert ask(world, client_id="two").redirect_uri == BACK
    assert ask(world, client_id="two", redirect_uri="").redirect_uri == BACK
    named = ask(world, client_id="two", redirect_uri=second)
    assert world.provider.allow(named, MIRA).startswith(f"{second}?code=")
    assert [request.is_redirect_given for request in (ask(world, client_id="two"), named)] == [False, True]


def test_OAU_005_scopes_are_the_requested_ones_or_the_default(world: OAuthWorld) -> None:
    assert ask(world).scopes == ask(world, scope="").scopes == ("profile_read", "email_read")
    assert ask(world, scope="email_write profile_read  email_write").scopes == ("email_write", "profile_read")


@pytest.mark.parametrize(
    "scope",
    [
        "all",
        "profile_read all",
        "PROFILE_READ",
        "profile_read,email_read",
        "profile_read\temail_read",
        "repo_read",
        "profile_read repo_write",
        " ",
        "é",
        "\x00",
        "scope",
        "x" * 5000,
    ],
)
def test_OAU_005_unknown_or_unregistered_scope_is_refused(world: OAuthWorld, scope: str) -> None:
    if scope == " ":
        # blanks name none, so it is the default
        assert ask(world, scope=scope).scopes == ("profile_read", "email_read")
    else:
        assert refused(world, scope=scope) == "invalid_scope"


def test_default_scopes_are_limited_to_the_registered_ones(world: OAuthWorld) -> None:
    world.add("builder", scopes=["repo_read", "repo_write", "email_read"])
    assert ask(world, client_id="builder", scope="repo_write repo_read").scopes == ("repo_write", "repo_read")
    # of the default it gets what it may have
    assert ask(world, client_id="builder").scopes == ("email_read",)
    assert refused(world, client_id="builder", scope="profile_read") == "invalid_scope"

    world.add("puller", scopes=["repo_read"])
    assert refused(world, client_id="puller") == "invalid_scope"


@pytest.mark.parametrize(
    "response_type", ["token", "none", "code token", "barcode", "CODE", "code\n", "id_token", "é"]
)
def test_OAU_006_other_response_type_is_refused(world: OAuthWorld, response_type: str) -> None:
    assert refused(world, response_type=response_type) == "unsupported_response_type"


@pytest.mark.parametrize(
    ("uri", "begins"),
    [
        ("https://x/back?a=b", "https://x/back?a=b&"),
        ("https://x/back?a=b&", "https://x/back?a=b&"),
        ("https://x/?", "https://x/?"),
        ("https://x/?a=%20+%2B&a=;&c", "https://x/?a=%20+%2B&a=;&c&"),
        ("org.example.app:/back", "org.example.app:/back?"),
        ("https://x", "https://x?"),
    ],
)
def test_OAU_007_redirect_uri_keeps_its_query(world: OAuthWorld, uri: str, begins: str) -> None:
    world.applications.add("Query", [uri], client_id="query")
    request = ask(world, client_id="query")
    for location in (world.provider.allow(request, MIRA), world.provider.deny(request)):
        assert location.startswith(begins)
        assert urlsplit(location).query.rpartition("&")[2] == "state=s1"
    with pytest.raises(AuthorizationRefused) as error:
        ask(world, client_id="query", scope="all")
    assert error.value.location.startswith(f"{begins}error=invalid_scope&")


@pytest.mark.parametrize("parameters", [{"response_type": None}, {"response_type": ""}])
def test_missing_parameter_is_refused(world: OAuthWorld, parameters: dict[str, str | None]) -> None:
    assert refused(world, **parameters) == "invalid_request"


@pytest.mark.parametrize("name", ["response_type", "scope", "code_challenge", "code_challenge_method"])
def test_repeated_parameter_is_refused(world: OAuthWorld, name: str) -> None:
    answer = refusal(world, f"{urlencode(GOOD)}&{name}=code&{name}=code")
    assert (answer["error"], answer["state"]) == ("invalid_request", "s1")


def test_repeated_state_is_refused_and_not_returned(world: OAuthWorld) -> None:
    for second in ("s2", "s1", ""):
        answer = refusal(world, f"{urlencode(GOOD)}&state={second}")
        assert answer["error"] == "invalid_request"
        assert "state" not in answer


@pytest.mark.parametrize("name", ["response_type", "scope", "state", "code_challenge"])
def test_parameter_that_is_not_utf8_is_refused(world: OAuthWorld, name: str) -> None:
    asked = {other: value for other, value in GOOD.items() if other != name}
    assert refusal(world, f"{urlencode(asked)}&{name}=%ff")["error"] == "invalid_request"


def test_unknown_parameters_are_ignored_even_names_of_oauthlib(
    world: OAuthWorld,
) -> None:
    query = (
        f"{urlencode(GOOD)}&resource=a&resource=b&scopes=repo_write&user=robert&client=x&response_mode=fragment&prompt=none"
        "&request=x&extra_credentials=x&nonce=1&claims=%7B"
    )
    request = world.provider.check_authorization(query)
    assert request == ask(world)
    assert urlsplit(world.provider.allow(request, MIRA)).fragment == ""


# -- PKCE


def test_pkce_challenge_is_stored_with_the_code(world: OAuthWorld) -> None:
    request = ask(world, code_challenge=CHALLENGE, code_challenge_method="S256")
    assert request.challenge == CHALLENGE
    code = code_in(world.provider.allow(request, MIRA))
    assert world.grants.of_code(code, world.application).code.challenge == CHALLENGE


@pytest.mark.parametrize(
    "parameters",
    [
        {"code_challenge": CHALLENGE},
        {"code_challenge": CHALLENGE, "code_challenge_method": ""},
        {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
        {"code_challenge": VERIFIER, "code_challenge_method": "s256"},
        {"code_challenge": CHALLENGE[:-1], "code_challenge_method": "S256"},
        {"code_challenge": CHALLENGE + "A", "code_challenge_method": "S256"},
        {"code_challenge": CHALLENGE[:-1] + "=", "code_challenge_method": "S256"},
        {"code_challenge": "é" * 43, "code_challenge_method": "S256"},
        {"code_challenge": CHALLENGE[:-1] + "\n", "code_challenge_method": "S256"},
        {"code_challenge_method": "S256"},
        {"code_challenge_method": "plain"},
    ],
)
def test_invalid_challenge_or_other_method_than_S256_is_refused(
    world: OAuthWorld, parameters: dict[str, str]
) -> None:
    assert refused(world, **parameters) == "invalid_request"


def test_public_application_must_use_pkce(world: OAuthWorld) -> None:
    world.add("app", is_public=True)
    assert refused(world, client_id="app") == "invalid_request"
    assert ask(world, client_id="app", code_challenge=CHALLENGE, code_challenge_method="S256").challenge


# -- what goes wrong between the question and the answer


def test_deleted_or_disabled_user_grants_nothing(world: OAuthWorld) -> None:
    request = ask(world)
    world.users.set_active("mira_k", False)
    for user in (MIRA, User("nobody")):
        with pytest.raises(AuthorizationRefused) as error:
            world.provider.allow(request, user)
        answer = answer_in(error.value.location)
        assert (answer["error"], answer["state"]) == ("access_denied", "s1")
    assert world.kept() == []


@pytest.mark.parametrize("is_backend_down", [True, False])
def test_unavailable_storage_redirects_with_temporarily_unavailable(
    world: OAuthWorld, is_backend_down: bool
) -> None:
    broken = FaultyStorage(world.storage)
    broken.fail("write", error=StorageUnavailable("any", "the disk /secret/path is on fire"))
    accounts = Accounts(UnavailableBackend()) if is_backend_down else world.accounts
    applications = Applications(broken)
    provider = Provider(applications, Grants(broken, applications, accounts))
    with pytest.raises(AuthorizationRefused) as error:
        provider.allow(ask(world), MIRA)
    answer = answer_in(error.value.location)
    assert (answer["error"], answer["state"]) == ("temporarily_unavailable", "s1")
    assert "secret" not in error.value.location


# -- chance

_NAMES = st.sampled_from(
    [
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "scopes",
        "x",
    ]
)
_VALUES = st.one_of(
    st.sampled_from(["ci-bot", "code", BACK, "profile_read", "S256", CHALLENGE, "%ff", "%", "", "%00", "+"]),
    st.text(max_size=30),
)


@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.tuples(_NAMES, _VALUES), max_size=9).map(
            lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
        ),
    )
)
def test_random_query_gives_a_request_a_page_or_a_registered_redirect(
    query: str,
) -> None:
    world = _WORLD
    location = ""
    try:
        request = world.provider.check_authorization(query)
    except UnsafeAuthorization:
        return
    except AuthorizationRefused as refused:
        location = refused.location
    else:
        assert request.redirect_uri == BACK
        assert set(request.scopes) <= set(world.application.scopes)
        location = world.provider.deny(request)
    assert location.startswith(f"{BACK}?error=")
    assert location.isascii()
    assert location.isprintable()


#: Nothing that is only asked changes it.
_WORLD = OAuthWorld()
