"""A simulated browser with cookies and forms, and a server for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from webtest import Form, TestApp, TestResponse

from support.world import World
from v1registry import Storage
from v1registry.accounts.users import UserStore

HOST = "registry.example.org"
PASSWORD = "s3cret-one"
AUTHORIZE = "/api/v1.1/o/authorize/"
FORM_TYPE = "application/x-www-form-urlencoded"


class Person:
    """A browser over https, or over http with ``scheme="http"``. Error statuses raise nothing.

    It believes what a browser does: cookies with their attributes, forms with all their fields. Redirects are
    not followed.
    """

    def __init__(
        self,
        app: Any,
        *,
        scheme: str = "https",
        host: str = HOST,
        headers: Mapping[str, str] | None = None,
        **environ: str,
    ):
        self.app = app
        self.headers = dict(headers or {})
        extra = {"wsgi.url_scheme": scheme, "HTTP_HOST": host, "SERVER_PORT": "443", **environ}
        self.browser = TestApp(app, extra_environ=extra, lint=True)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.browser.get(path, headers={**self.headers, **(headers or {})}, status="*")

    def post(
        self, path: str, fields: Mapping[str, str] | str = "", headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        """Send fields as a form, or a body unchanged."""
        body = fields if isinstance(fields, str) else urlencode(fields)
        sent = {"Content-Type": FORM_TYPE, **self.headers, **(headers or {})}
        return self.browser.post(path, body, headers=sent, status="*")

    def send(
        self,
        page: TestResponse,
        action: str,
        *,
        button: str | None = None,
        headers: Mapping[str, str] | None = None,
        **fields: str,
    ) -> TestResponse:
        """Fill in and send the form of a page that has this ``action`` and these fields."""
        form = form_of(
            page, action, **{name: fields[name] for name in ("address", "grant") if name in fields}
        )
        for name, value in fields.items():
            form[name] = value
        return form.submit(button, headers={**self.headers, **(headers or {})}, status="*")

    def log_in(self, username: str, password: str = PASSWORD, *, base: str = "") -> TestResponse:
        return self.send(self.get(f"{base}/login"), f"{base}/login", username=username, password=password)

    def is_in(self, *, base: str = "") -> bool:
        """Say whether the browser is logged in."""
        return self.get(f"{base}/login").status_int == 303

    @property
    def cookie(self) -> str:
        """The value of the only cookie of the browser."""
        (value,) = self.browser.cookies.values()
        return str(value)

    @property
    def cookie_name(self) -> str:
        (name,) = self.browser.cookies
        return str(name)

    def with_cookie(self, value: str) -> Person:
        """Return another browser with this cookie."""
        other = Person(self.app)
        other.headers["Cookie"] = f"__Host-v1registry_session={value}"
        return other


class PagesWorld(World):
    """A world with the users mira_k and zoe_x, for tests of pages."""

    users: UserStore

    def __init__(self, storage: Storage | None = None, **settings: Any) -> None:
        super().__init__(storage, **settings)
        for name in ("mira_k", "zoe_x"):
            self.users.create(name, PASSWORD, f"{name}@example.org")

    def person(self, **options: Any) -> Person:
        return Person(self.app, **options)

    def mira(self, **options: Any) -> Person:
        """Return a browser in which mira_k is logged in."""
        person = self.person(**options)
        assert person.log_in("mira_k").status_int == 303
        return person


def form_of(page: TestResponse, action: str, **values: str) -> Form:
    """Return the form of a page that has this ``action`` and these values."""
    forms = {id(form): form for form in page.forms.values()}.values()
    found = [
        form
        for form in forms
        if (form.action or "") == action
        and all(name in form.fields and form[name].value == value for name, value in values.items())
    ]
    (form,) = found
    return form


def token_of(page: TestResponse) -> str:
    """Return the token of the forms of a page. All forms have the same one."""
    forms = {id(form): form for form in page.forms.values()}.values()
    (token,) = {form["form_token"].value for form in forms}
    return str(token)


def location_of(answer: TestResponse) -> str:
    """Return the target of a redirect; only the path if it is on this server."""
    location = str(answer.headers["Location"])
    assert urlsplit(location).hostname != HOST, location
    return location


def query_of(location: str) -> dict[str, str]:
    """Return the parameters of a URL. None may be repeated."""
    found = parse_qs(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values()), location
    return {name: values[0] for name, values in found.items()}


def said(page: TestResponse) -> str:
    """Return the text of a page without markup."""
    return " ".join(page.html.get_text(" ").split())


def described(page: TestResponse, name: str) -> str:
    """Return the error message of a field, found as a screen reader finds it."""
    field = page.html.find(id=name)
    assert field["aria-invalid"] == "true", field
    return " ".join(page.html.find(id=id_).get_text(" ").strip() for id_ in field["aria-describedby"].split())
