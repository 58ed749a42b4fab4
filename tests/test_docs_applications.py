"""The transcripts and the Python in docs/applications.md are what happens."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.documents import block, section
from support.programs import environment_of
from v1registry_fakes import FakeRegistry
from webtest import TestApp

from v1registry import FileStorage, Registry
from v1registry.oauth.scopes import SCOPES
from v1registry.rights import User

#: What differs in each run: secrets, ids of users, times.
VARYING = re.compile(r'\b[A-Za-z0-9]{40}\b|\b[A-Za-z0-9]{30}\b|(?<=id": )\d+|\b[\d-]{10}T[\d:.]+Z')

HOST = "https://registry.example.org"


class Replay:
    """Follows a transcript, and learns from each answer the secrets of this run."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def current(self, text: str) -> str:
        """Return a text of the transcript with the secrets of this run."""
        for written, real in self.known.items():
            text = text.replace(written, real)
        return text

    def compare(self, written: str, real: str) -> None:
        """Check that two texts differ only in what varies."""
        assert VARYING.sub("*", written) == VARYING.sub("*", real)
        self.known.update(zip(VARYING.findall(written), VARYING.findall(real), strict=True))


def answer_to(client: TestApp, command: str) -> Any:
    """Return the answer to a command of curl."""
    _, _, url, *options = shlex.split(command)
    given = list(zip(options[::2], options[1::2], strict=True))
    body = "&".join(value for option, value in given if option == "-d")
    headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
    for option, value in given:
        assert option in ("-u", "-d", "-H")
        if option == "-u":
            headers["Authorization"] = f"Basic {base64.b64encode(value.encode()).decode()}"
    path = url.removeprefix(HOST)
    return client.post(path, body, headers) if body else client.get(path, headers=headers)


def consent(client: TestApp, url: str) -> str:
    """Log in as alice and allow what the application asks; return where the browser goes."""
    page = client.get(url.removeprefix(HOST)).follow()
    page.form["username"], page.form["password"] = "alice", "s3cret-one"
    page = page.form.submit().follow()
    (form,) = {form.id or index: form for index, form in page.forms.items() if form.action == ""}.values()
    return str(form.submit("allow").location)


def test_transcript_of_an_application_is_what_happens(tmp_path: Path) -> None:
    def run(line: str) -> str:
        done = subprocess.run(
            line.replace("$PWD", str(tmp_path)),
            shell=True,
            cwd=tmp_path,
            env=environment_of(tmp_path),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    run(block("administration").splitlines()[0].replace(".venv/bin/", ""))
    app = Registry(storage=FileStorage(tmp_path / "registry"), auth="users:")
    extra = {"wsgi.url_scheme": "https", "HTTP_HOST": "registry.example.org", "SERVER_PORT": "443"}
    client, replay, asked = TestApp(app, extra_environ=extra), Replay(), ""

    steps = re.findall(r"^([$#]) (.*)\n((?:[^$#].*\n)*)", block("oauth"), re.MULTILINE)
    assert [sign for sign, _, _ in steps] == ["$", "#", "#", "$", "$"]
    for sign, line, written in steps:
        if sign == "#" and not asked:
            asked = line.removeprefix("a browser goes to ")
        elif sign == "#":
            replay.compare(line.removeprefix("and comes back to "), consent(client, asked))
        elif line.startswith("curl"):
            real = answer_to(TestApp(app, extra_environ=extra), replay.current(line)).text
            replay.compare(written.strip(), real)
        else:
            replay.compare(written, run(line))


def test_python_of_applications_does_what_it_says() -> None:
    with FakeRegistry(auth="users:") as fake:
        fake.add_user("alice")
        registry = Registry(storage=fake.storage, auth="users:")
        application = fake.add_application()
        query = f"response_type=code&client_id={application.client_id}&scope=email_read"
        location = fake.consent(f"https://any.example/?{query}", "alice")
        client = TestApp(fake.app)
        client.authorization = ("Basic", (application.client_id, application.client_secret))
        fields = {"grant_type": "code", "code": urlsplit(location).query.removeprefix("code=")}
        token = client.post("/api/v1.1/o/token/", fields).json["access_token"]
        names: dict[str, Any] = {
            "registry": registry,
            "token": token,
            "query_string": query,
            "user": User("alice"),
        }

        exec(block("oauth-python"), names)

        assert names["application"].is_trusted
        assert (names["bearer"].user.name, names["bearer"].scopes) == ("alice", {"email_read"})
        assert names["bearer"].client_id == names["grant"].application.client_id == application.client_id
        assert names["grant"].scopes == names["question"].scopes == ("email_read",)
        assert names["question"].application.name == names["grant"].application.name
        assert names["grant"].granted_at.tzinfo is not None
        assert names["location"].startswith(f"{application.redirect_uris[0]}?code=")
        assert registry.grants.verify(token) is None


def test_all_scopes_are_in_the_table() -> None:
    scopes = re.findall(r"^\| `(\w+)` \|", section("docs/applications.md", "Scopes"), re.MULTILINE)

    assert scopes == list(SCOPES)
