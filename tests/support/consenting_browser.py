"""A browser that logs in and consents: over HTTP, by the forms of the pages, without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


@dataclass
class Form:
    """A form of a page: where it goes, its hidden fields, and its buttons with a name."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(found.get("action", "")))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        elif tag == "button" and "name" in found and self.forms:
            self.forms[-1].buttons[found["name"]] = found["value"]


class Browser:
    """Follows redirects as long as they stay on the server.

    :param ca_file: vouches for the server.
    """

    def __init__(self, url: str, ca_file: str):
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file

    def decide(self, address: str, username: str, password: str, *, allow: bool = True) -> str:
        """Open the page of consent, log in if that is necessary, and decide; return the redirect."""
        answer = self._request("GET", address)
        if "password" in (form := self._form(answer, "form_token")).fields:
            answer = self._submit(answer, form, username=username, password=password)
            form = self._form(answer, "form_token")
        assert form.buttons == {"allow": "1"}, form
        answer = self._submit(answer, form, **(form.buttons if allow else {}))
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def _submit(self, page: requests.Response, form: Form, **fields: str) -> requests.Response:
        return self._request("POST", urljoin(page.url, form.action or page.url), {**form.fields, **fields})

    def _request(self, method: str, address: str, fields: dict[str, str] | None = None) -> requests.Response:
        answer = self._session.request(method, address, data=fields, allow_redirects=False, timeout=30)
        while answer.is_redirect:
            target = urljoin(answer.url, answer.headers["Location"])
            if not target.startswith(f"{self._url}/"):
                break
            answer = self._session.get(target, allow_redirects=False, timeout=30)
        return answer

    @staticmethod
    def _form(page: requests.Response, name: str) -> Form:
        """Return the last form of a page that has this field: the page's own, after those of its head."""
        assert page.status_code == 200, (page.status_code, page.url, page.headers.get("Location"), page.text)
        parser = _Forms()
        parser.feed(page.text)
        return [form for form in parser.forms if name in form.fields][-1]
