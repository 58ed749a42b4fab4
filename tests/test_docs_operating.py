"""The code in docs/operating.md does what the text says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.documents import block, ini_file, section
from support.programs import EXAMPLES, Program, environment_of
from webtest import TestApp

from v1registry import FileStorage, Registry
from v1registry.accounts.backends.ldap_options import LdapOptions
from v1registry.accounts.users import UserStore
from v1registry.rights import Action, User


@pytest.fixture
def sh(tmp_path: Path) -> Callable[[str], str]:
    """Run a script in a folder of the test, which takes the places of /srv, /etc and /backup."""

    def run(script: str) -> str:
        for place in ("/srv", "/etc", "/backup"):
            (tmp_path / place[1:]).mkdir(exist_ok=True)
            script = re.sub(rf"(?<![\w.]){place}/", f"{tmp_path}{place}/", script)
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=tmp_path,
            env=environment_of(tmp_path),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    return run


def test_the_ini_file_of_a_server_is_served(tmp_path: Path) -> None:
    path = ini_file("serve-ini", tmp_path)
    path.write_text(path.read_text("utf-8").replace("port = 5000", "port = 0"), "utf-8")
    commands = block("serve-with-ini").replace("/etc/v1registry.ini", str(path))
    check, serve = commands.splitlines()

    subprocess.run(shlex.split(check), env=environment_of(tmp_path), check=True)
    with Program(shlex.split(serve), folder=tmp_path) as serving:
        assert serving.port


@pytest.mark.parametrize("name", ["ldap-url", "mail"])
def test_an_ini_file_is_accepted(name: str, tmp_path: Path) -> None:
    registry = Registry.from_ini(ini_file(name, tmp_path))

    assert registry.has_accounts


def test_the_file_for_other_servers_is_the_one_of_the_examples() -> None:
    assert (EXAMPLES / "wsgi.py").read_text("utf-8").endswith(block("wsgi-file"))


def test_the_commands_of_users_and_repositories_work(sh: Callable[[str], str], tmp_path: Path) -> None:
    sh(block("users"))
    storage = FileStorage(tmp_path / "srv" / "registry")
    client = TestApp(Registry(storage=storage, auth="users:"))
    client.authorization = ("Basic", ("alice", "s3cret-new"))
    client.put("/v1/repositories/alice/app/", b"[]")

    listed = sh(block("repositories"))

    assert "alice/app" in listed
    assert UserStore(storage).authenticate("root1", "s3cret-two")
    assert client.get("/v1/search?q=app").json["results"][0]["description"] == "# The app of alice"
    client.authorization = None
    assert client.get("/v1/search?q=app").json["results"] == []
    sh(block("user-changes"))
    assert [user.name for user in UserStore(storage).users()] == ["root1"]


def test_the_commands_of_deletion_and_damaged_data_work(sh: Callable[[str], str], tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "srv" / "registry")
    image_id = "0123456789abcdef" * 4
    storage.write(f"images/{image_id}/json", f'{{"id": "{image_id}"}}'.encode())
    for tag in ("1.0", "2.0"):
        storage.write(f"repositories/alice/app/tag_{tag}", image_id.encode())

    said = sh(block("images"))

    assert f"tags: alice/app:2.0\nrepository alice/app deleted, with 1 tag(s): 2.0\nimage {image_id}" in said
    assert said.endswith("0 images, 0 blobs, 0 repositories, 0 damaged values\n")


def test_a_backup_can_be_restored(sh: Callable[[str], str], tmp_path: Path) -> None:
    sh(block("users"))
    client = TestApp(Registry(f"file://{tmp_path}/srv/registry", auth="users:"))
    client.authorization = ("Basic", ("alice", "s3cret-new"))
    client.put("/v1/repositories/alice/app/", b"[]")
    kept = sorted(name for name in os.listdir(tmp_path / "srv" / "registry") if name != "uploads")
    (tmp_path / "etc").mkdir(exist_ok=True)
    ini = f"[v1registry]\nstorage = file://{tmp_path}/srv/registry\nauth = users:\n"
    (tmp_path / "etc" / "v1registry.ini").write_text(ini)

    sh(block("backup"))
    assert sorted(os.listdir(tmp_path / "backup")) == kept
    shutil.rmtree(tmp_path / "srv" / "registry")
    listed = sh(block("restore"))

    assert "alice/app" in listed
    assert UserStore(FileStorage(tmp_path / "srv" / "registry")).authenticate("alice", "s3cret-new")


def test_the_policy_beside_the_ini_file_is_asked(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(block("policy"), "utf-8")
    (tmp_path / "registry.ini").write_text(
        "[v1registry]\nstorage = memory:\nauth = environ:REMOTE_USER\npolicy = rules:may\n"
    )
    code = "from v1registry import Registry; import sys; print(Registry.from_ini(sys.argv[1]).has_accounts)"

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "registry.ini")],
        env=environment_of(tmp_path), check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout == "True\n"
    rules: dict[str, Any] = {}
    exec(block("policy"), rules)
    mira = User("mira", frozenset({"tools"}))
    asked = [(None, "read", "a"), (mira, "read", "a"), (mira, "write", "a"), (mira, "write", "tools")]
    answers = [rules["may"](user, Action(action), name, "app") for user, action, name in asked]
    assert answers == [False, True, False, True]


def test_all_options_of_ldap_are_described() -> None:
    text = section("docs/operating.md", "Users")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", text.partition("| option |")[2], re.MULTILINE)
    described = [name.strip("`") for row in rows for name in row.split(", ")]

    in_the_url = {"url", "base_dn", "user_attribute", "scope", "user_filter"}
    assert sorted(described) == sorted({option.name for option in fields(LdapOptions)} - in_the_url)
