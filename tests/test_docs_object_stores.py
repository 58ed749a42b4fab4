"""What docs/operating.md says of object stores: the settings, and the rule of the bucket."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest
from support.buckets import ask_s3
from support.documents import block, ini_file
from support.object_stores import ObjectStore

from v1registry import Registry
from v1registry.assembly import assemble
from v1registry.search.postgresql import PostgresSearch
from v1registry.settings import from_ini
from v1registry.storage.objects import ObjectStorage


def test_documented_settings_name_an_object_store(tmp_path: Path) -> None:
    path = ini_file("object-store", tmp_path)
    storage = Registry.from_ini(path).storage
    assert isinstance(storage, ObjectStorage)
    assert "s3 bucket registry at https://ceph.example.org, below production/" in storage.description


def test_documented_settings_of_instances_are_valid(tmp_path: Path) -> None:
    services = assemble(from_ini(ini_file("instances", tmp_path)))
    assert isinstance(services.storage, ObjectStorage)
    assert isinstance(services.search, PostgresSearch)
    assert services.settings.host == "10.0.0.11"


def test_command_of_instances_has_the_credentials_and_the_settings(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "v1registry.env").write_text("PGPASSWORD='a+/$1'\n")
    program = tmp_path / "v1registry"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$PGPASSWORD" "$@"\n')
    program.chmod(0o755)
    script = block("registryctl").replace(" /etc/", f" {tmp_path}/etc/")
    script = script.replace("/opt/v1registry/bin/v1registry", str(program))
    script = script.replace('" = registry ]', f'" = {getpass.getuser()} ]')

    done = subprocess.run(
        ["sh", "-e", "-s", "user", "add", "a b"], input=script, capture_output=True, text=True, check=True
    )

    settings = f"{tmp_path}/etc/v1registry.ini"
    assert done.stdout.splitlines() == ["a+/$1", "user", "add", "a b", "--config", settings]


@pytest.mark.real
def test_store_accepts_the_rule_for_parts_of_uploads(ceph: ObjectStore) -> None:
    resource = f"{ceph.new_bucket()}?lifecycle"
    ask_s3("PUT", ceph.endpoint, ceph.environment, resource, block("lifecycle").encode())
    kept = ask_s3("GET", ceph.endpoint, ceph.environment, resource).decode()
    assert "<DaysAfterInitiation>2</DaysAfterInitiation>" in kept
