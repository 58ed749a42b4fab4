"""Two libraries that we did not write, requests-oauthlib and Authlib's client, over https on a live port.

The user's side is a browser that logs in and consents by the forms of the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session
from support.consenting_browser import Browser
from support.oauth_world import BACK, OAuthWorld, answer_in, code_in
from v1registry_fakes.server import LiveServer

SCOPES = ["profile_read", "email_read"]

#: A code_verifier that an application made itself; see RFC 7636, 4.1.
OWN_VERIFIER = "own-verifier_" * 4


@dataclass
class Site:
    """A live server over https, and a user with a browser."""

    world: OAuthWorld
    url: str
    ca_file: str

    @property
    def authorize_url(self) -> str:
        return f"{self.url}/api/v1.1/o/authorize/"

    @property
    def token_url(self) -> str:
        return f"{self.url}/api/v1.1/o/token/"

    def decide(self, address: str, *, allow: bool = True) -> str:
        return Browser(self.url, self.ca_file).decide(address, "mira_k", "correct-horse", allow=allow)

    def profile(self, token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        address = f"{self.url}/api/v1.1/users/mira_k/"
        return requests.get(address, headers=headers, verify=self.ca_file, timeout=30)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer(tls=True) as started:
        yield started


@pytest.fixture
def site(server: LiveServer) -> Iterator[Site]:
    """A server of this test, which refuses OAuth over plain http."""
    world = OAuthWorld()
    world.add("app", is_public=True)
    server.mount(world.another_app(oauth_http="refuse"))
    yield Site(world, server.url, server.ca_file)
    server.unmount()


def refused(error: type[Exception], action: Callable[[], object]) -> str:
    """Return the error code of RFC 6749 in the exception of a library."""
    with pytest.raises(error) as found:
        action()
    code: str = found.value.error  # type: ignore[attr-defined]  # of both libraries
    return code


# -- requests-oauthlib


def session_of(site: Site, client_id: str = "ci-bot", **options: object) -> OAuth2Session:
    session = OAuth2Session(client_id, redirect_uri=BACK, scope=SCOPES, **options)
    # what the environment says of certificates and proxies is not for this server
    session.verify, session.trust_env = site.ca_file, False
    return session


@pytest.mark.parametrize("pkce", [None, "S256"])
@pytest.mark.parametrize("in_body", [False, True])
def test_requests_oauthlib_completes_the_code_flow_and_refreshes(
    site: Site, pkce: str | None, in_body: bool
) -> None:
    session = session_of(site, pkce=pkce)
    address, _ = session.authorization_url(site.authorize_url)
    location = site.decide(address)
    token = session.fetch_token(
        site.token_url,
        authorization_response=location,
        client_secret=site.world.secret,
        auth=None if in_body else HTTPBasicAuth("ci-bot", site.world.secret),
        include_client_id=in_body or None,
    )
    assert (token["username"], token["scope"], token["token_type"]) == ("mira_k", SCOPES, "Bearer")
    assert session.get(f"{site.url}/api/v1.1/users/mira_k/").json()["id"] == token["user_id"]

    auth = HTTPBasicAuth("ci-bot", site.world.secret)
    renewed = session.refresh_token(site.token_url, auth=auth)
    assert renewed["access_token"] != token["access_token"]
    assert session.get(f"{site.url}/api/v1.1/users/mira_k/").status_code == 200
    used = token["refresh_token"]
    assert (
        refused(OAuth2Error, lambda: session.refresh_token(site.token_url, used, auth=auth))
        == "invalid_grant"
    )
    assert site.profile(renewed["access_token"]).status_code == 401


def test_requests_oauthlib_completes_the_flow_of_a_public_application(site: Site) -> None:
    session = session_of(site, "app", pkce="S256")
    address, _ = session.authorization_url(site.authorize_url)
    token = session.fetch_token(
        site.token_url, authorization_response=site.decide(address), include_client_id=True
    )
    renewed = session.refresh_token(site.token_url, client_id="app")
    assert site.profile(renewed["access_token"]).json()["username"] == token["username"]


def test_requests_oauthlib_gets_access_denied(site: Site) -> None:
    session = session_of(site)
    address, state = session.authorization_url(site.authorize_url)
    location = site.decide(address, allow=False)
    assert answer_in(location)["state"] == state
    action = lambda: session.fetch_token(  # noqa: E731
        site.token_url, authorization_response=location, client_secret=site.world.secret
    )
    assert refused(OAuth2Error, action) == "access_denied"


def test_requests_oauthlib_gets_errors_of_rfc_6749(site: Site) -> None:
    secret = site.world.secret

    def fetched(
        session: OAuth2Session, location: str, client_secret: str = secret, **options: object
    ) -> Callable[[], object]:
        return lambda: session.fetch_token(
            site.token_url, authorization_response=location, client_secret=client_secret, **options
        )

    def location_for(session: OAuth2Session) -> str:
        address, _ = session.authorization_url(site.authorize_url)
        return site.decide(address)

    session = session_of(site)
    location = location_for(session)
    assert refused(OAuth2Error, fetched(session, location, "wrong")) == "invalid_client"
    session.redirect_uri = f"{BACK}/other"
    assert refused(OAuth2Error, fetched(session, location)) == "invalid_grant"
    session.redirect_uri = BACK
    token = session.fetch_token(site.token_url, authorization_response=location, client_secret=secret)
    assert refused(OAuth2Error, fetched(session, location)) == "invalid_grant"
    assert site.profile(token["access_token"]).status_code == 401

    pkce = session_of(site, pkce="S256")
    location = location_for(pkce)
    # the session would send its own verifier
    thief, code = session_of(site), code_in(location)
    without = lambda: thief.fetch_token(site.token_url, code, client_secret=secret)  # noqa: E731
    assert refused(OAuth2Error, without) == "invalid_request"
    wrong = lambda: thief.fetch_token(  # noqa: E731
        site.token_url, code, client_secret=secret, code_verifier="x" * 43
    )
    assert refused(OAuth2Error, wrong) == "invalid_grant"
    pkce.fetch_token(site.token_url, authorization_response=location, client_secret=secret)

    session = session_of(site)
    session.fetch_token(site.token_url, authorization_response=location_for(session), client_secret=secret)
    auth = HTTPBasicAuth("ci-bot", secret)
    session.scope = ["email_write"]
    wider = lambda: session.refresh_token(site.token_url, auth=auth)  # noqa: E731
    assert refused(OAuth2Error, wider) == "invalid_scope"
    session.scope = ["profile_read"]
    assert session.refresh_token(site.token_url, auth=auth)["scope"] == ["profile_read"]


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"scope": "all"}, "invalid_scope"),
        ({"scope": "repo_write"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": "x" * 43}, "invalid_request"),
    ],
)
def test_invalid_request_redirects_before_the_login(
    site: Site, parameters: dict[str, str], error: str
) -> None:
    asked = {"client_id": "ci-bot", "response_type": "code", "state": "s1", **parameters}
    answer = requests.get(site.authorize_url, asked, allow_redirects=False, verify=site.ca_file, timeout=30)
    assert answer.status_code == 302
    told = answer_in(answer.headers["Location"])
    assert (told["error"], told["state"]) == (error, "s1")


def test_unknown_application_gets_a_page(site: Site) -> None:
    for asked in (
        {"client_id": "nobody"},
        {"client_id": "ci-bot", "redirect_uri": "https://evil.example.org/"},
    ):
        answer = requests.get(
            site.authorize_url,
            {**asked, "response_type": "code"},
            allow_redirects=False,
            verify=site.ca_file,
            timeout=30,
        )
        assert answer.status_code == 400
        assert "Location" not in answer.headers
        assert answer.headers["Content-Type"].startswith("text/html")


# -- Authlib


def authlib_of(site: Site, client_id: str = "ci-bot", method: str = "client_secret_basic") -> AuthlibSession:
    session = AuthlibSession(
        client_id,
        None if method == "none" else site.world.secret,
        token_endpoint_auth_method=method,
        redirect_uri=BACK,
        scope=" ".join(SCOPES),
        code_challenge_method="S256",
        token_endpoint=site.token_url,
    )
    # what the environment says of certificates and proxies is not for this server
    session.verify, session.trust_env = site.ca_file, False
    return session


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
@pytest.mark.parametrize("verifier", [None, OWN_VERIFIER])
def test_authlib_completes_flow_refresh_introspection_revocation(
    site: Site, method: str, verifier: str | None
) -> None:
    if method == "none" and verifier is None:
        session = authlib_of(site, "app", method)
        address, _ = session.create_authorization_url(site.authorize_url)
        answer = requests.get(address, allow_redirects=False, verify=site.ca_file, timeout=30)
        assert answer_in(answer.headers["Location"])["error"] == "invalid_request"
        return
    session = authlib_of(site, "app" if method == "none" else "ci-bot", method)
    address, state = session.create_authorization_url(site.authorize_url, code_verifier=verifier)
    location = site.decide(address)
    assert answer_in(location)["state"] == state
    token = session.fetch_token(
        site.token_url, authorization_response=location, state=state, code_verifier=verifier
    )
    assert token["username"] == "mira_k"
    renewed = session.refresh_token(site.token_url, token["refresh_token"])
    assert site.profile(renewed["access_token"]).json()["username"] == "mira_k"

    if method != "none":
        told = session.introspect_token(f"{site.url}/api/v1.1/o/introspect/", renewed["access_token"])
        assert (told.json()["active"], told.json()["username"]) == (True, "mira_k")
    revoked = session.revoke_token(f"{site.url}/api/v1.1/o/revoke_token/", renewed["refresh_token"])
    assert revoked.status_code == 200
    assert site.profile(renewed["access_token"]).status_code == 401
    again = lambda: session.refresh_token(site.token_url, renewed["refresh_token"])  # noqa: E731
    assert refused(AuthlibBaseError, again) == "invalid_grant"


def test_authlib_gets_errors_of_rfc_6749(site: Site) -> None:
    session = authlib_of(site)
    address, state = session.create_authorization_url(site.authorize_url, code_verifier=OWN_VERIFIER)
    location = site.decide(address)

    def fetch(by: AuthlibSession = session, **options: str) -> Callable[[], object]:
        given = {"code_verifier": OWN_VERIFIER, **options}
        return lambda: by.fetch_token(site.token_url, authorization_response=location, state=state, **given)

    wrong = authlib_of(site)
    wrong.client_secret = "wrong"
    _, secret = site.world.applications.add("Other", [BACK], client_id="other")
    other = authlib_of(site, "other")
    other.client_secret = secret
    assert refused(AuthlibBaseError, fetch(wrong)) == "invalid_client"
    assert refused(AuthlibBaseError, fetch(other)) == "invalid_grant"
    assert refused(AuthlibBaseError, fetch(code_verifier="y" * 43)) == "invalid_grant"
    assert refused(AuthlibBaseError, fetch(redirect_uri=f"{BACK}/x")) == "invalid_grant"
    fetch()()
    assert refused(AuthlibBaseError, fetch()) == "invalid_grant"
    password = lambda: session.fetch_token(  # noqa: E731
        site.token_url, username="mira_k", password="correct-horse", grant_type="password"
    )
    assert refused(AuthlibBaseError, password) == "unsupported_grant_type"


def test_code_older_than_a_minute_is_refused(site: Site) -> None:
    session = authlib_of(site)
    code = site.world.code(is_redirect_given=True)
    site.world.clock.now_s += 60
    fetch = lambda: session.fetch_token(site.token_url, code=code, grant_type="authorization_code")  # noqa: E731
    assert refused(AuthlibBaseError, fetch) == "invalid_grant"


def test_library_finds_all_endpoints_by_the_metadata(site: Site) -> None:
    address = f"{site.url}/.well-known/oauth-authorization-server/api/v1.1/o"
    metadata = requests.get(address, verify=site.ca_file, timeout=30).json()
    assert metadata["issuer"] == f"{site.url}/api/v1.1/o"
    session = authlib_of(site)
    address, _ = session.create_authorization_url(metadata["authorization_endpoint"])
    location = site.decide(address)
    token = session.fetch_token(
        metadata["token_endpoint"], code=code_in(location), grant_type="authorization_code"
    )
    told = session.introspect_token(metadata["introspection_endpoint"], token["access_token"]).json()
    assert told["active"]
    assert session.revoke_token(metadata["revocation_endpoint"], token["access_token"]).status_code == 200
    assert site.profile(token["access_token"]).status_code == 401
