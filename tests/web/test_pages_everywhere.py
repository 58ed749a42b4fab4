"""The pages below a prefix, in front of an application, behind a proxy, and switched off; and their log."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

import pytest
from support.access_tokens import Granter
from support.kept_mail import PUBLIC_URL, KeptMail
from support.page_person import (
    AUTHORIZE,
    HOST,
    PASSWORD,
    PagesWorld,
    Person,
    form_of,
    location_of,
    query_of,
    said,
    token_of,
)
from webtest import TestResponse

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.accounts import Callback, Environ
from v1registry.web.pages import Pages

BACK = "https://ci.example.org/back"


def behind(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"behind"]


def asked(world: PagesWorld) -> str:
    """Return the path that an application sends its user to."""
    application, _ = world.app.applications.add("Example CI", [BACK])
    return f"{AUTHORIZE}?client_id={application.client_id}&response_type=code&state=s1"


def journey(person: Person, prefix: str, base: str, question: str) -> None:
    """Request, log in, consent, visit the account page if there is one, log out. Follow all links."""
    answer = person.get(f"{prefix}{question}")
    assert location_of(answer).startswith(f"{prefix}{base}/login?next={quote(prefix)}/api/")
    page = person.get(location_of(answer))
    assert_links_lead_here(person, page, prefix)
    answer = person.send(page, f"{prefix}{base}/login", username="mira_k", password=PASSWORD)
    assert location_of(answer) == f"{prefix}{question}"
    page = person.get(location_of(answer))
    assert_links_lead_here(person, page, prefix)
    answer = person.send(page, "", button="allow")
    assert location_of(answer).startswith(f"{BACK}?code=")
    if base != "/api/v1.1/o":
        account = person.get(f"{prefix}{base}/account")
        assert_links_lead_here(person, account, prefix)
        answer = person.send(account, f"{prefix}{base}/account/profile", full_name="Mira")
        assert location_of(answer) == f"{prefix}{base}/account?done=profile"
        page = person.get(location_of(answer))
    answer = person.send(page, f"{prefix}{base}/logout")
    assert location_of(answer) == f"{prefix}{base}/login?done=logout"
    assert person.browser.cookies == {}


def assert_links_lead_here(person: Person, page: TestResponse, prefix: str) -> None:
    """Check that all addresses in a page work and are below the prefix."""
    assert page.status_int == 200
    addresses = [tag["href"] for tag in page.html.find_all(["a", "link"])]
    addresses += [tag["src"] for tag in page.html.find_all("script")]
    for address in addresses:
        if not address.startswith("#"):
            assert address.startswith(f"{prefix}/"), address
            assert Person(person.app).get(address).status_int in (200, 303), address


class Below:
    """Return a dispatcher that mounts an application below a prefix."""

    def __init__(self, app: Any, prefix: str):
        self.app, self.prefix = app, prefix

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        assert path.startswith(f"{self.prefix}/"), path
        environ = {
            **environ,
            "SCRIPT_NAME": environ["SCRIPT_NAME"] + self.prefix,
            "PATH_INFO": path.removeprefix(self.prefix),
        }
        return self.app(environ, start_response)


def test_pages_work_at_the_root_of_a_host() -> None:
    world = PagesWorld()
    journey(world.person(), "", "", asked(world))


@pytest.mark.parametrize("prefix", ["/hub", "/a/b", "/sp%20ace"])
def test_below_a_prefix_the_cookie_is_for_that_prefix(prefix: str) -> None:
    world = PagesWorld()
    app = Below(world.app, prefix.replace("%20", " "))
    person = Person(app)
    journey(person, prefix, "", asked(world))
    answer = person.log_in("mira_k", base=prefix)
    assert answer.headers["Set-Cookie"].startswith("__Secure-v1registry_session="), "__Host- needs the path /"
    assert f"; Path={prefix}; " in answer.headers["Set-Cookie"]
    # an attacker on the network can plant a cookie by plain http, but not with that name
    for name, is_in in (("v1registry_session", False), ("__Secure-v1registry_session", True)):
        other = Person(app)
        other.headers["Cookie"] = f"{name}={person.cookie}"
        assert other.is_in(base=prefix) is is_in, name
    assert answer.headers["Set-Cookie"].endswith("; Secure")


@pytest.mark.parametrize(
    "target",
    [
        "/account",
        "/hubx/account",
        "/",
        "//hub/account",
        "/hub",
        "/other",
        "/hub/../account",
        "/hub/%2e%2e/account",
        "/hub//evil.example.org",
    ],
)
def test_below_a_prefix_a_log_in_stays_below_it(target: str) -> None:
    person = Person(Below(PagesWorld().app, "/hub"))
    page = person.browser.get("/hub/login", {"next": target})
    assert "next" not in form_of(page, "/hub/login").fields


@pytest.mark.parametrize("target", ["/hub/", "/hub/account", "/hub/?q=x"])
def test_below_a_prefix_a_log_in_stays_there(target: str) -> None:
    person = Person(Below(PagesWorld().app, "/hub"))
    page = person.browser.get("/hub/login", {"next": target})
    assert form_of(page, "/hub/login")["next"].value == target


def test_pages_in_front_of_an_application_have_a_path() -> None:
    world = PagesWorld(pages="/registry")
    app = world.app.in_front_of(behind)
    person = Person(app)
    journey(person, "", "/registry", asked(world))
    for path in ("/", "/login", "/account", "/register", "/logout", "/registryx/login"):
        assert person.get(path).body == b"behind"
    page = person.browser.get("/registry/login", {"next": "/account"})
    assert "next" not in form_of(page, "/registry/login").fields, "that page is the application's"


@pytest.mark.parametrize("settings", [{"pages": "off"}, {}])
def test_without_pages_consent_has_the_path_of_oauth(settings: dict[str, str]) -> None:
    world = PagesWorld(**settings)
    question = asked(world)
    app = world.app.in_front_of(behind) if not settings else world.app
    person = Person(app)
    journey(person, "", "/api/v1.1/o", question)
    assert person.get("/api/v1.1/o/account").status_int == 404
    assert person.get("/api/v1.1/o/register").status_int == 404
    page = person.get("/api/v1.1/o/login")
    assert "Register" not in said(page)
    # a log-in without a target
    answer = person.send(page, "/api/v1.1/o/login", username="mira_k", password=PASSWORD)
    page = person.get(location_of(answer))
    assert "You are logged in as mira_k" in said(page)
    for target in ("/account", "/", "/api/v1.1/o/", "/api/v1.1/o/login"):
        again = person.browser.get("/api/v1.1/o/login", {"next": target})
        assert again.status_int == 200


def test_without_pages_and_oauth_there_is_no_login_page() -> None:
    registry = Registry(storage=MemoryStorage(), auth=Callback(lambda username, password: True))
    for app in (registry.in_front_of(behind), Registry(storage=MemoryStorage(), auth=Environ(), pages="off")):
        assert Person(app).get("/api/v1.1/o/login").status_int == 404
    assert Person(registry).get("/login").status_int == 200


@pytest.mark.parametrize("pages", ["on", "off", "/registry"])
def test_without_accounts_there_is_no_login_page(pages: str) -> None:
    person = Person(Registry(storage=MemoryStorage(), pages=pages))
    for base in ("", "/registry", "/api/v1.1/o"):
        for path in ("/login", "/register", "/account", "/authorize"):
            assert person.get(f"{base}{path}").status_int == 404
            assert person.post(f"{base}{path}", {"x": "y"}).status_int == 404
        assert person.post(f"{base}/logout").status_int == 404


def test_with_an_external_index_there_is_no_login_page() -> None:
    person = Person(Registry(storage=MemoryStorage(), index="https://index.example.org"))
    for path in ("/login", "/account", "/api/v1.1/o/authorize"):
        assert person.get(path).status_int == 404


# -- behind a proxy


def test_public_url_makes_cookies_secure() -> None:
    """The proxy uses http to the server, and another host name."""
    world = PagesWorld(public_url="https://registry.example.org")
    person = world.person(scheme="http", host="backend:5000")
    page = person.get("/login")
    assert page.headers["Set-Cookie"].startswith("__Host-v1registry_session=")
    assert page.headers["Set-Cookie"].endswith("; Secure")
    fields = {"username": "mira_k", "password": PASSWORD, "form_token": token_of(page)}
    # WebTest does not send secure cookies over http
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    for origin, status in (
        (f"https://{HOST}", 303),
        ("https://backend:5000", 303),
        ("https://evil.example.org", 403),
    ):
        answer = person.post("/login", fields, {"Cookie": cookie, "Origin": origin})
        assert answer.status_int == status, origin


def test_a_prefix_of_public_url_is_in_all_links() -> None:
    world = PagesWorld(public_url="https://registry.example.org/hub")
    question = asked(world)
    person = world.person(scheme="http", host="backend:5000")
    answer = person.get(question)
    assert answer.headers["Location"].endswith("/hub/login?next=/hub" + question.replace("&", "%26"))
    page = person.get(answer.headers["Location"].partition("/hub")[2])
    assert "; Path=/hub; " in page.headers["Set-Cookie"]
    assert form_of(page, "/hub/login")["next"].value == f"/hub{question}"


@pytest.mark.parametrize(
    ("address", "is_secure"), [("10.0.0.1", True), ("192.0.2.1", False)], ids=["trusted", "somebody"]
)
def test_https_is_believed_only_from_trusted_proxies(address: str, is_secure: bool) -> None:
    world = PagesWorld(trusted_proxies=["10.0.0.0/8"])
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": HOST}
    person = world.person(scheme="http", host="backend:5000", headers=headers, REMOTE_ADDR=address)
    answer = person.get("/login")
    assert answer.headers["Set-Cookie"].endswith("; Secure") is is_secure
    assert person.get(asked(world)).status_int == (303 if is_secure else 400)


def test_the_refusal_behind_a_proxy_names_public_url() -> None:
    person = PagesWorld().person(scheme="http", host="backend:5000")
    answer = person.send(
        person.get("/login"),
        "/login",
        username="mira_k",
        password=PASSWORD,
        headers={"Origin": "http://registry.example.org"},
    )
    assert answer.status_int == 403
    assert "set public_url" in said(answer)
    # newer browsers report the same site by a header
    person = PagesWorld().person(scheme="http", host="backend:5000")
    headers = {"Origin": "https://registry.example.org", "Sec-Fetch-Site": "same-origin"}
    answer = person.send(
        person.get("/login"), "/login", username="mira_k", password=PASSWORD, headers=headers
    )
    assert answer.status_int == 303


def test_an_invalid_host_gets_an_error_page() -> None:
    for host in ("a b", "<script>", "a@b", ""):
        answer = PagesWorld().person(host=host).get("/login")
        assert answer.status_int in (200, 400)
        assert host == "" or answer.status_int == 400


# -- several servers over one storage


def test_two_servers_share_sessions(tmp_path: Any) -> None:
    world = PagesWorld(FileStorage(tmp_path, durable=False))
    one = world.person()
    two = Person(Registry(storage=FileStorage(tmp_path, durable=False), auth="users:"))
    page = one.get("/login")
    two.headers["Cookie"] = f"{one.cookie_name}={one.cookie}"
    answer = two.send(page, "/login", username="mira_k", password=PASSWORD)
    assert answer.status_int == 303
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    one.browser.reset()
    one.headers["Cookie"] = two.headers["Cookie"] = cookie
    assert one.is_in()
    assert two.is_in()
    two.send(one.get("/account"), "/logout")
    assert not one.is_in()
    assert not two.is_in()


def test_registries_of_one_process_share_nothing() -> None:
    first, second = PagesWorld(), PagesWorld()
    person = first.mira()
    stranger = Person(second.app)
    stranger.headers["Cookie"] = f"{person.cookie_name}={person.cookie}"
    assert not stranger.is_in()


def test_templates_can_be_replaced(tmp_path: Any) -> None:
    (tmp_path / "login.html").write_text("<h1>Ours: {{ visitor.form_token() }}</h1>{{ next }}")
    person = PagesWorld(templates=str(tmp_path)).person()
    page = person.get("/login?next=/account")
    assert "Ours: " in page.text
    assert page.text.endswith("/account")
    assert person.get("/register").html.find("form")


@pytest.mark.parametrize("name", ["error.html", "base.html"])
@pytest.mark.parametrize("fault", ["{{ nothing.of.the.kind }}", "{% if %}"])
def test_a_broken_template_is_logged_and_ours_is_used(
    tmp_path: Any, name: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).write_text(f"{{% block content %}}{{% endblock %}}{fault}")
    answer = PagesWorld(templates=str(tmp_path)).person().get("/repositories/absent", {"Accept": "text/html"})
    assert answer.status_int == 404
    assert said(answer).startswith("Repository not found")
    assert f"error.html cannot be rendered with the templates in {tmp_path}" in caplog.text


def test_a_failing_error_page_gives_the_api_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the templates are on a disk that is gone")

    monkeypatch.setattr(Pages, "_text", fail)
    answer = PagesWorld().person().get("/repositories/absent", {"Accept": "text/html"})
    assert answer.status_int == 404
    assert set(answer.json) == {"error"}
    assert "cannot make the page of a failure" in caplog.text


# -- the log


def test_no_line_holds_a_password_a_cookie_a_token_or_a_code(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    mail = KeptMail()
    world = PagesWorld(mail=mail, public_url=PUBLIC_URL)
    question = asked(world).replace("state=s1", "state=very-secret-state")
    person = world.person()
    secrets = {PASSWORD, "wrong-password", "s3cret-two", "chosen-password", "very-secret-state"}
    page = person.send(person.get("/login"), "/login", username="mira_k", password="wrong-password")
    secrets |= {person.cookie, token_of(page)}
    person.send(page, "/login", username="mira_k", password=PASSWORD)
    secrets |= {person.cookie, token_of(person.get("/account"))}
    answer = person.send(person.get(question), "", button="allow")
    secrets.add(query_of(location_of(answer))["code"])
    person.post(question, {"allow": "1", "form_token": "guessed"})
    person.get(question.replace("client_id=", "client_id=x"))
    person.get(question.replace("code", "token"))
    token = Granter(world.storage, world.users).token("mira_k")
    secrets.add(token)
    person.get("/account", {"Authorization": f"Bearer {token}"})
    person.get("/account", {"Authorization": f"Bearer {token[::-1]}"})
    secrets.add(token[::-1])
    for fields in (
        {"old_password": "wrong-password", "new_password": "s3cret-two", "new_password_again": "s3cret-two"},
        {"old_password": PASSWORD, "new_password": "s3cret-two", "new_password_again": "s3cret-two"},
    ):
        person.send(person.get("/account"), "/account/password", **fields)
    secrets.add(person.cookie)
    person.send(person.get("/account"), "/account/emails", email="hidden@example.org")
    person.post("/account/profile", {"full_name": "x", "form_token": "guessed"})
    person.post("/account/profile", f"form_token={person.cookie}&form_token=%ff")
    person.send(person.get("/account"), "/logout")
    new = {"username": "new_one", "email": "hidden@example.net", "password": "chosen-password"}
    person.send(person.get("/register"), "/register", **new, password_again="chosen-password")
    person.send(person.get("/register"), "/register", **new, password_again="chosen-password")
    person.get(mail.path)
    person.post(mail.path)
    secrets |= {mail.path.rpartition("/")[2], "hidden@example.net"}
    secrets |= {part for secret in set(secrets) for part in secret.split(".") if len(part) > 20}
    lines = [
        f"{record.getMessage()} {record.exc_text} {record.args!r} {vars(record)!r}"
        for record in caplog.records
        if record.name.startswith(("v1registry", "oauthlib", "itsdangerous", "jinja2"))
    ]
    assert len(lines) >= 6, "there has to be something to look at"
    assert [line for line in lines if any(secret in line for secret in secrets)] == []
