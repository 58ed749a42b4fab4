"""What the README shows is run here, as it stands there. The command of the tests is run by .ci/run."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.engine_client import EngineClient, make_image, random_layer
from support.programs import PROJECT, Program, environment_of
from v1registry_fakes import FakeRegistry
from webtest import TestApp

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.oauth.scopes import SCOPES
from v1registry.rights import User

pytest_plugins = ["pytester"]


def block(name: str) -> str:
    """Return the fenced block after the comment ``<!-- name -->`` of the README."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    (found,) = re.findall(rf"^<!-- {name} -->\n```\w+\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("name", ["serve", "tests"])
def test_one_command_sets_everything_up(name: str) -> None:
    (command,) = block(name).splitlines()
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_the_commands_of_the_readme_serve_push_and_pull(tmp_path: Path) -> None:
    command = block("serve").rpartition("&&")[2].replace("$PWD", str(tmp_path))
    words = shlex.split(command.replace(".venv/bin/", ""))
    image = make_image(random_layer(1000, "readme"))
    with Program([*words, "--port", "0"], folder=tmp_path) as serving:
        EngineClient(serving.host).push("library/any", [image])
        first = f"v1registry pull {serving.host}/library/any -o busybox.tar"
        for line in [first, *block("push-and-pull").splitlines()]:
            typed = line.replace(".venv/bin/", "").replace("localhost:5000", serving.host)
            subprocess.run(shlex.split(typed), cwd=tmp_path, env=environment_of(tmp_path), check=True)

        assert EngineClient(serving.host).pull("library/busybox") == [image]
    assert (tmp_path / "pulled.tar").stat().st_size > len(image.layer)
    assert (tmp_path / "registry" / "images").is_dir()


def test_the_mount_example_serves_the_application_and_the_registry(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(block("mount").replace("/srv/registry", str(tmp_path)), names)  # the README's own code
    client = TestApp(names["application"])

    assert client.get("/anything").text == "Hello"
    assert client.get("/").text == "Hello"
    assert client.get("/v1/_ping").json == {}


def test_the_fixture_example_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(block("fixture"))

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_curl_transcript_is_what_the_registry_answers() -> None:
    client = TestApp(Registry(storage=MemoryStorage()))
    commands = re.findall(r"^\$ curl -s (.*)\n(.*)\n", block("curl"), re.MULTILINE)
    assert len(commands) == 5

    for command, expected in commands:
        words = shlex.split(command)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        body = words[words.index("-d") + 1].encode() if "-d" in words else b""
        (url,) = (word for word in words if word.startswith("localhost:5000"))
        # as curl sends it: a form, whatever the body
        environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"} if body else {}
        answer = client.request(
            url.removeprefix("localhost:5000"), method=method, body=body, environ=environ, expect_errors=True
        )
        assert answer.text == expected, command


# -- applications

#: What is another one each time: secrets, ids of users, times.
VARYING = re.compile(r'\b[A-Za-z0-9]{40}\b|\b[A-Za-z0-9]{30}\b|(?<=id": )\d+|\b[\d-]{10}T[\d:.]+Z')


class Replay:
    """Follows a transcript, and learns from each answer what stands for the secrets in it this time."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def now(self, text: str) -> str:
        """Return a text of the transcript with what stands for its secrets this time."""
        for told, real in self.known.items():
            text = text.replace(told, real)
        return text

    def compare(self, told: str, real: str) -> None:
        """Return if two texts are the same but for what varies."""
        assert VARYING.sub("*", told) == VARYING.sub("*", real)
        self.known.update(zip(VARYING.findall(told), VARYING.findall(real), strict=True))


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
    path = url.removeprefix("https://registry.example.org")
    return client.post(path, body, headers) if body else client.get(path, headers=headers)


def consent(client: TestApp, url: str) -> str:
    """Log in as alice and allow what is asked; return where the browser goes."""
    page = client.get(url.removeprefix("https://registry.example.org")).follow()
    page.form["username"], page.form["password"] = "alice", "s3cret-one"
    page = page.form.submit().follow()
    (form,) = {form.id or index: form for index, form in page.forms.items() if form.action == ""}.values()
    return str(form.submit("allow").location)


def test_the_transcript_of_an_application_is_what_happens(tmp_path: Path) -> None:
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

    run(block("administration").splitlines()[0])
    app = Registry(storage=FileStorage(tmp_path / "registry"), auth="users:")
    extra = {"wsgi.url_scheme": "https", "HTTP_HOST": "registry.example.org", "SERVER_PORT": "443"}
    client, replay, asked = TestApp(app, extra_environ=extra), Replay(), ""

    steps = re.findall(r"^([$#]) (.*)\n((?:[^$#].*\n)*)", block("oauth"), re.MULTILINE)
    assert [sign for sign, _, _ in steps] == ["$", "#", "#", "$", "$"]
    for sign, line, told in steps:
        if sign == "#" and not asked:
            asked = line.removeprefix("a browser goes to ")
        elif sign == "#":
            replay.compare(line.removeprefix("and comes back to "), consent(client, asked))
        elif line.startswith("curl"):
            replay.compare(told.strip(), answer_to(TestApp(app, extra_environ=extra), replay.now(line)).text)
        else:
            replay.compare(told, run(line))


def test_the_python_of_applications_does_what_it_says() -> None:
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

        exec(block("oauth-python"), names)  # the README's own code

        assert names["application"].is_trusted
        assert (names["bearer"].user.name, names["bearer"].scopes) == ("alice", {"email_read"})
        assert names["bearer"].client_id == names["grant"].application.client_id == application.client_id
        assert names["grant"].scopes == names["question"].scopes == ("email_read",)
        assert names["question"].application.name == names["grant"].application.name
        assert names["grant"].granted_at.tzinfo is not None
        assert names["location"].startswith(f"{application.redirect_uris[0]}?code=")
        assert registry.grants.verify(token) is None


def test_all_scopes_are_in_the_table() -> None:
    readme = (PROJECT / "README.md").read_text("utf-8")
    section = readme.partition("\n## Let applications in\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(SCOPES)
