"""Credentials that ``docker login`` has stored."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from v1registry.client import Credentials, docker_credentials

HOST = "registry.example:5000"
MIRA = Credentials("mira", "s3:cret")
AUTH = {"auth": base64.b64encode(b"mira:s3:cret").decode()}

Configure = Callable[[object], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the configuration, which is also the only one with helpers."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path


@pytest.fixture
def configure(folder: Path) -> Configure:
    """A function that writes the configuration."""
    return lambda config: (folder / "config.json").write_text(json.dumps(config)) and None


def find(host: str = HOST) -> Credentials | None:
    """Return the credentials of a host, and check that nothing is wrong."""
    problems: list[str] = []
    found = docker_credentials(host, problems.append)
    assert not problems
    return found


def problem(host: str = HOST) -> str:
    """Return the problem that makes docker's configuration useless for a host."""
    problems: list[str] = []
    assert docker_credentials(host, problems.append) is None
    (text,) = problems
    return text


def write_helper(folder: Path, name: str, script: str) -> None:
    """Write a credential helper that records what it is asked for in the file ``asked``."""
    path = folder / f"docker-credential-{name}"
    path.write_text(f'#!/bin/sh\nread host\necho "$1 $host" >>{folder}/asked\n{script}\n')
    path.chmod(0o755)


def answer(username: str = "mira", secret: str = "s3:cret") -> str:
    document = json.dumps({"ServerURL": "", "Username": username, "Secret": secret})
    return f"echo '{document}'"


NOT_FOUND = "echo 'credentials not found in native keychain'; exit 1"


class TestEntries:
    @pytest.mark.parametrize(
        "key",
        [HOST, f"https://{HOST}/v1/", f"http://{HOST}/v1/", f"https://{HOST}", f"{HOST}/v2/", HOST.upper()],
    )
    @pytest.mark.parametrize(
        "entry", [AUTH, {"username": "mira", "password": "s3:cret"}, AUTH | {"email": "x"}]
    )
    def test_every_spelling_is_read(self, key: str, entry: object, configure: Configure) -> None:
        configure({"auths": {"other.example": {"auth": "eDp5"}, key: entry}})
        assert find() == MIRA

    @pytest.mark.parametrize(
        "key",
        [
            "registry.example",
            "registry.example:5001",
            "a.registry.example:5000",
            f"{HOST}/team",
            f"{HOST}.evil",
            "",
        ],
    )
    def test_entry_of_another_host_is_not_used(self, key: str, configure: Configure) -> None:
        configure({"auths": {key: AUTH}})
        assert find() is None

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"auths": {}},
            {"auths": []},
            {"auths": {HOST: {}}},
            {"auths": {HOST: None}},
            {"auths": {HOST: {"identitytoken": ""}}},
            {"auths": {HOST: {"identitytoken": 1}}},
            {"auths": {HOST: {"username": "<token>", "password": "x"}}},
            {"auths": {HOST: {"username": "mira"}}},
        ],
    )
    def test_entry_without_a_password_is_skipped(self, config: object, configure: Configure) -> None:
        configure(config)
        assert find() is None

    @pytest.mark.parametrize(
        ("entry", "found"),
        [
            ({}, Credentials("", "", "it")),
            ({"auth": base64.b64encode(b"mira:").decode()}, Credentials("mira", "", "it")),
            ({"auth": base64.b64encode(b"<token>:x").decode()}, Credentials("", "", "it")),
            (AUTH, Credentials("mira", "s3:cret", "it")),
        ],
    )
    def test_identity_token_is_read(
        self, entry: dict[str, str], found: Credentials, configure: Configure
    ) -> None:
        configure({"auths": {HOST: {**entry, "identitytoken": "it"}}})
        assert find() == found
        assert found.has_password == bool(found.password)

    def test_next_entry_of_the_host_is_used(self, configure: Configure) -> None:
        configure({"auths": {HOST: {}, f"https://{HOST}/v1/": AUTH}})
        assert find() == MIRA

    def test_zero_bytes_at_the_end_are_removed(self, configure: Configure) -> None:
        configure({"auths": {HOST: {"auth": base64.b64encode(b"mira:s3:cret\0\0").decode()}}})
        assert find() == MIRA

    @pytest.mark.parametrize("auth", ["no base64!", "bm9jb2xvbg==", "/////w=="])
    def test_invalid_entry_is_reported(self, auth: str, configure: Configure) -> None:
        configure({"auths": {HOST: {"auth": auth}}})
        assert "auth must be base64 of USER:PASSWORD" in problem()
        assert find("other.example") is None

    @pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
    def test_invalid_file_is_reported(self, text: str, folder: Path) -> None:
        (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert problem() == f"{folder}/config.json is not used: it must be a JSON object"

    def test_unreadable_file_is_reported(self, folder: Path) -> None:
        (folder / "config.json").mkdir()
        assert problem() == f"{folder}/config.json is not used: Is a directory"

    def test_missing_file_means_no_credentials(self, folder: Path) -> None:
        assert find() is None


class TestHomeFolder:
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DOCKER_CONFIG", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))

    def test_configuration_is_in_the_home_folder(self, tmp_path: Path) -> None:
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {HOST: AUTH}}))
        assert find() == MIRA

    def test_file_of_engines_up_to_1_6_is_read(self, tmp_path: Path) -> None:
        (tmp_path / ".dockercfg").write_text(json.dumps({f"https://{HOST}/v1/": AUTH | {"email": "m@x"}}))
        assert find() == MIRA

    def test_invalid_old_file_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / ".dockercfg").write_text("[]")
        assert problem() == f"{tmp_path}/.dockercfg is not used: it must be a JSON object"

    def test_old_file_is_not_read_for_another_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".dockercfg").write_text(json.dumps({HOST: AUTH}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "other"))
        assert find() is None


class TestHelpers:
    def test_helper_of_the_host_is_asked_first(self, folder: Path, configure: Configure) -> None:
        write_helper(folder, "own", answer())
        write_helper(folder, "common", answer("other"))
        configure({"credHelpers": {HOST: "own"}, "credsStore": "common", "auths": {HOST: {"auth": "eDp5"}}})
        assert find() == MIRA
        assert (folder / "asked").read_text() == f"get {HOST}\n"

    def test_common_helper_is_asked_for_a_host_without_an_entry(
        self, folder: Path, configure: Configure
    ) -> None:
        write_helper(folder, "common", answer())
        configure({"credHelpers": {"other.example": "missing"}, "credsStore": "common"})
        assert find() == MIRA

    def test_helper_is_asked_under_the_addresses_of_old_engines(
        self, folder: Path, configure: Configure
    ) -> None:
        write_helper(
            folder, "common", f'[ "$host" = "https://{HOST}/v1/" ] || {{ {NOT_FOUND}; }}\n{answer()}'
        )
        configure({"credsStore": "common"})
        assert find() == MIRA

    def test_entry_is_used_if_no_helper_knows_the_host(self, folder: Path, configure: Configure) -> None:
        write_helper(folder, "common", NOT_FOUND)
        configure({"credsStore": "common", "auths": {HOST: AUTH}})
        assert find() == MIRA

    @pytest.mark.parametrize(("secret", "found"), [("it", Credentials("", "", "it")), ("", None)])
    def test_secret_of_the_token_user_is_an_identity_token(
        self, folder: Path, configure: Configure, secret: str, found: Credentials | None
    ) -> None:
        write_helper(folder, "common", answer("<token>", secret))
        configure({"credsStore": "common"})
        assert find() == found

    @pytest.mark.parametrize(
        ("script", "text"),
        [
            ("echo 'the key\x1b[2J is locked'; exit 1", r"it failed with the key\x1b[2J is locked"),
            ("exit 3", "it failed with 3"),
            ("echo nonsense", "Expecting value"),
        ],
    )
    def test_failing_helper_is_reported(
        self, script: str, text: str, folder: Path, configure: Configure
    ) -> None:
        write_helper(folder, "common", script)
        configure({"credsStore": "common"})
        assert text in problem()

    @pytest.mark.parametrize("document", ["[]", '"x"', "null"])
    def test_helper_with_an_answer_of_another_form_is_reported(
        self, document: str, folder: Path, configure: Configure
    ) -> None:
        write_helper(folder, "common", f"echo '{document}'")
        configure({"credsStore": "common"})
        assert "its answer must be a JSON object" in problem()

    def test_missing_helper_is_reported(self, folder: Path, configure: Configure) -> None:
        configure({"credsStore": "nowhere"})
        assert "docker-credential-nowhere is not used" in problem()

    @pytest.mark.parametrize("name", ["../../evil", "a/b", "-x", 1, ["x"]])
    def test_name_that_is_no_file_name_is_reported(self, name: object, configure: Configure) -> None:
        configure({"credsStore": name})
        assert "invalid credential helper" in problem()

    def test_helper_is_not_started_in_the_working_folder(
        self, folder: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_helper(folder, "here", answer())
        configure({"credsStore": "here"})
        monkeypatch.setenv("PATH", "/bin:/usr/bin")
        monkeypatch.chdir(folder)
        assert os.path.exists("docker-credential-here")
        assert "docker-credential-here is not used" in problem()
