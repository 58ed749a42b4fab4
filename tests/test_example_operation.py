"""The files of examples/ for operators: sample settings, systemd unit, Dockerfile, log rotation."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support.programs import EXAMPLES, PROJECT, Program, environment_of, eventually

from v1registry.cli.main import main
from v1registry.settings import descriptions, from_ini, judge


def replaced(text: str, tmp_path: Path) -> str:
    """Return a text with folders of the test in the place of those of the system."""
    for place in ("/srv/registry", "/etc/v1registry", "/var/log/v1registry"):
        (tmp_path / place[1:]).mkdir(parents=True, exist_ok=True)
        text = text.replace(f"{place}/", f"{tmp_path}{place}/").replace(
            f"//{place}\n", f"//{tmp_path}{place}\n"
        )
    return text


# -- the sample settings


def sample(tmp_path: Path) -> Path:
    path = tmp_path / "v1registry.ini"
    path.write_text(replaced((EXAMPLES / "v1registry.ini").read_text("utf-8"), tmp_path), "utf-8")
    return path


def test_the_sample_settings_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sample(tmp_path)

    assert main(["check-config", "--config", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "verdict: the settings are valid" in printed
    assert "warning: " not in printed


def test_every_commented_setting_of_the_sample_is_valid(tmp_path: Path) -> None:
    text = sample(tmp_path).read_text("utf-8")
    lines = [line[1:] for line in text.splitlines() if re.match(r";\w+ = ", line)]
    given = from_ini(tmp_path / "v1registry.ini")

    assert len(lines) > 8
    for line in lines:
        key, _, value = line.partition(" = ")
        assert key in descriptions()
        _, problems = judge({**given, "tls_cert": "", "tls_key": "", key: value})
        assert [problem for problem in problems if "tls_" not in problem] == [], line


# -- the systemd unit


def test_the_unit_starts_what_the_sample_needs(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(EXAMPLES / "v1registry.service", "utf-8")
    service = unit["Service"]

    assert {"Unit", "Service", "Install"} == set(unit.sections())
    for key, command in (("ExecStartPre", "check-config"), ("ExecStart", "serve")):
        words = shlex.split(service[key].lstrip("-"))
        assert words[1:] == [command, "--config", "/etc/v1registry.ini"]
    writable = service["ReadWritePaths"].split()
    ini = (EXAMPLES / "v1registry.ini").read_text("utf-8")
    assert "storage = file:///srv/registry\n" in ini
    assert "access_log_file = /var/log/v1registry/" in ini
    assert writable == ["/srv/registry", "/var/log/v1registry"]


def test_the_rotation_is_for_the_log_of_the_sample() -> None:
    rotation = (EXAMPLES / "logrotate.conf").read_text("utf-8")
    (path,) = re.findall(r"^;access_log_file = (.*)$", (EXAMPLES / "v1registry.ini").read_text("utf-8"), re.M)

    assert f"\n{path} {{\n" in rotation
    # the file is opened again once it is renamed: a copy would lose lines
    assert "copytruncate" not in rotation


# -- the Dockerfile


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, in order."""
    text = (EXAMPLES / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


def values_of(name: str) -> list[str]:
    return [value for instruction, value in instructions() if instruction == name]


def test_the_dockerfile_copies_what_an_installation_needs() -> None:
    copied = [name for value in values_of("COPY") for name in value.split()[:-1]]
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(PROJECT / "setup.cfg", "utf-8")
    folders = dict(line.split(" = ") for line in setup["options"]["package_dir"].split("\n") if line)
    packages = {name.partition(".")[0] for name in setup["options"]["packages"].split()}
    needed = {folders.get(name, name) for name in packages}
    needed |= {
        setup["metadata"]["license_files"],
        setup["metadata"]["long_description"].removeprefix("file: "),
    }

    assert sorted(copied) == sorted({*needed, "setup.cfg", "pyproject.toml"})
    assert all((PROJECT / name).exists() for name in copied)


def test_the_dockerfile_installs_extras_that_exist() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(PROJECT / "setup.cfg", "utf-8")
    (names,) = re.findall(r'"\.\[([a-z,]+)\]"', " ".join(values_of("RUN")))

    assert set(names.split(",")) <= set(settings["options.extras_require"])
    assert values_of("USER") == ["registry"]


def test_the_image_serves_and_reports_its_health(tmp_path: Path) -> None:
    environment = dict(
        word.replace("file:///srv/registry", f"file://{tmp_path}/data").split("=", 1)
        for value in values_of("ENV")
        for word in value.split()
    )
    assert environment["V1REGISTRY_HOST"] == "0.0.0.0"
    environment |= {"V1REGISTRY_HOST": "127.0.0.1", "V1REGISTRY_PORT": "0"}
    (entry,), (command,) = values_of("ENTRYPOINT"), values_of("CMD")
    (health,) = values_of("HEALTHCHECK")
    check = json.loads(health.partition("CMD ")[2])

    with Program(
        [*json.loads(entry), *json.loads(command)], folder=tmp_path, environment=environment
    ) as server:
        check = [word.replace(":5000/", f":{server.port}/") for word in check]
        subprocess.run(check, check=True, env=environment_of(tmp_path))
        # the line is written after the answer is sent
        eventually(lambda: '"GET /_status HTTP/1.1" 200' in server.log, "the health check is logged")
    assert subprocess.run(check, env=environment_of(tmp_path), stderr=subprocess.DEVNULL).returncode != 0
