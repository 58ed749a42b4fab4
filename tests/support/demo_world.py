"""A registry with typical contents: repositories, owners, an application; and one with hostile contents."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from v1registry_fakes import FakeImage, FakeRegistry

from v1registry.names import RepositoryName
from v1registry.oauth.applications import Application, Applications
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action

OWNER: Final = "mira_k"
FRIEND: Final = "tomas"
STRANGER: Final = "vera"
#: Where the application has another server, to which no test goes.
ELSEWHERE: Final = "https://harbour.example.com/back"
PASSWORD: Final = "a quiet river in may"

SHOP: Final = "mira_k/webshop"
SHOP_DESCRIPTION: Final = """\
The shop of **Example Works**: a small Flask application behind nginx.

## Run it

    docker run -d -p 8080:80 mira_k/webshop

It wants a database, whose address it takes from `DATABASE_URL`; the
[handbook](https://docs.example.org/webshop) has the rest.

* `latest` is what runs in production
* tags with a number never move
"""

BASE: Final = datetime(2015, 3, 2, 9, 30, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Member:
    """Something in a layer; text that begins with ``->`` is a symbolic link, None a directory."""

    path: str
    content: str | bytes | None = ""
    mode: int = 0o644
    owner: int = 0


def layer_of_members(members: Iterable[Member], modified: datetime) -> bytes:
    """Return a layer as an engine sends it; each folder stands before what is in it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders: set[str] = set()
        for member in members:
            parts = member.path.split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                if folder and folder not in folders:
                    folders.add(folder)
                    tar.addfile(_header(Member(folder, None, 0o755), modified))
            header = _header(member, modified)
            content = member.content
            data = content.encode() if isinstance(content, str) else content or b""
            if header.issym():
                data = b""
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return gzip.compress(archive.getvalue(), mtime=0)


def _header(member: Member, modified: datetime) -> tarfile.TarInfo:
    header = tarfile.TarInfo(member.path)
    header.mode, header.uid, header.gid = member.mode, member.owner, member.owner
    header.mtime = int(modified.timestamp())
    if member.content is None:
        header.type = tarfile.DIRTYPE
    elif isinstance(member.content, str) and member.content.startswith("->"):
        header.type, header.linkname = tarfile.SYMTYPE, member.content[2:].strip()
    return header


def noise(size_bytes: int, seed: str) -> bytes:
    """Return bytes that no compression makes smaller: a binary."""
    return random.Random(seed).randbytes(size_bytes)


@dataclass(frozen=True)
class Step:
    """A line of a Dockerfile and what it left in the layer."""

    command: str | list[str]
    members: tuple[Member, ...] = ()
    comment: str = ""


def _debian(release: str) -> Step:
    binaries = [
        ("bin/bash", 90_000),
        ("bin/ls", 40_000),
        ("bin/tar", 60_000),
        ("usr/bin/perl", 120_000),
        ("lib/libc.so.6", 150_000),
    ]
    return Step(
        "#(nop) ADD file:a9f2c3b1d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5 in /",
        (
            *(Member(path, noise(size, path + release), 0o755) for path, size in binaries),
            Member("bin/sh", "-> bash"),
            Member("etc/debian_version", f"{release}\n"),
            Member("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
            Member("etc/apt/sources.list", "deb http://httpredir.debian.org/debian jessie main\n"),
            Member("tmp", None, 0o1777),
            Member("var/log/apt", None, 0o755),
            *(
                Member(f"usr/share/zoneinfo/{zone}", noise(700, zone))
                for zone in ("Europe/Vienna", "Europe/Prague", "UTC")
            ),
        ),
        "Imported from -",
    )


_SHOP_STEPS: Final = (
    Step("#(nop) MAINTAINER Mira Kovac <mira@example.org>"),
    Step(
        "apt-get update && apt-get install -y --no-install-recommends nginx python-flask python-psycopg2 "
        "&& rm -rf /var/lib/apt/lists/*",
        (
            Member("usr/sbin/nginx", noise(210_000, "nginx"), 0o755),
            Member("etc/nginx/nginx.conf", "worker_processes 1;\n"),
            Member("usr/lib/python2.7/dist-packages/flask/app.py", "class Flask: pass\n" * 400),
            Member("usr/lib/python2.7/dist-packages/flask/__init__.py", "from .app import Flask\n"),
            Member("usr/lib/python2.7/dist-packages/psycopg2/_psycopg.so", noise(95_000, "psycopg")),
            Member("var/log/nginx", None, 0o750, 33),
        ),
    ),
    Step("#(nop) COPY file:0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f405162738495a6b7c8d9eafb in "
         "/etc/nginx/nginx.conf", (
        Member("etc/nginx/nginx.conf", "worker_processes 4;\ndaemon off;\n"),
    )),
    Step("#(nop) COPY dir:77e1c0ffee5ca1ab1edeadbeefcafef00d77e1c0ffee5ca1ab1edeadbeefcafe in /srv/shop", (
        Member("srv/shop/shop.py", "from flask import Flask\n\napplication = Flask(__name__)\n" * 30),
        Member("srv/shop/static/logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
        Member("srv/shop/static/site.css", "body { margin: 0 }\n" * 60),
        Member("srv/shop/templates/basket.html", "<h1>Your basket</h1>\n" * 20),
        Member("srv/shop/README", "See https://docs.example.org/webshop\n"),
        Member("srv/shop/current", "-> shop.py"),
    )),
    Step("#(nop) ENV DATABASE_URL=postgres://db/shop"),
    Step("useradd --system shop && chown -R shop /srv/shop && rm /etc/apt/sources.list", (
        Member("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nshop:x:998:998::/srv/shop:/bin/false\n"),
        Member("etc/apt/.wh.sources.list"),
    )),
    Step("#(nop) EXPOSE 80/tcp"),
    Step('#(nop) CMD ["nginx" "-g" "daemon off;"]'),
)  # fmt: skip


@dataclass(frozen=True)
class Demo:
    """What was put into a registry."""

    registry: FakeRegistry
    shop: FakeImage  #: the newest image of the shop
    debian: FakeImage  #: on which it stands
    installed: FakeImage  #: the layer with nginx
    copied: FakeImage  #: the layer with the shop's own files
    application: Application
    secret: str


def fill(registry: FakeRegistry, redirect_uri: str) -> Demo:
    """Fill an empty registry that has accounts (``auth="users:"``).

    :param redirect_uri: the redirect URI of the application.
    """
    for name, email in (
        (OWNER, "mira@example.org"),
        (FRIEND, "tomas@example.org"),
        (STRANGER, "vera@example.org"),
    ):
        registry.add_user(name, PASSWORD, email=email)
    debian = _build(registry, "debian:8", None, [_debian("8.0"), Step('#(nop) CMD ["/bin/bash"]')], BASE)[-1]
    registry.tag(debian, "debian:jessie")
    registry.tag(debian, "debian:latest")
    _build(
        registry, "debian:7", None, [_debian("7.8"), Step('#(nop) CMD ["/bin/bash"]')], BASE - timedelta(200)
    )
    shop: list[FakeImage] = []
    for number, version in enumerate(("1.0", "1.1", "2.0")):
        at = BASE + timedelta(days=11 * number, hours=3)
        release = Step(
            f"python /srv/shop/index.py --release {version}",
            (
                Member("srv/shop/VERSION", f"{version}\n"),
                Member("srv/shop/index.db", noise(70_000 * (number + 1), version)),
            ),
        )
        common = shop[: 3 if number == 1 else 4] if number else []
        steps = [*_SHOP_STEPS[len(common) : -2], release, *_SHOP_STEPS[-2:]]
        built = _build(registry, f"{SHOP}:{version}", common[-1] if common else debian, steps, at)
        shop = [*common, *built]
    registry.tag(shop[-1], f"{SHOP}:latest")
    registry.tag(shop[-1], f"{SHOP}:production")
    _build(registry, "mira_k/ledger:2015", debian, [Step(["/bin/ledger", "--year", "2015"])], BASE)
    _build(registry, "tomas/tools:latest", debian, [Step("apt-get install -y strace gdb")], BASE)
    for number in range(1, 31):
        registry.add_image(
            f"tomas/lesson-{number:02}:latest", files={f"lesson/{number}.txt": "one step\n" * number}
        )
    repositories = Repositories(registry.storage)
    for name, description in (
        (SHOP, SHOP_DESCRIPTION),
        ("library/debian", "Debian is a Linux distribution made of free and open-source software."),
        ("tomas/tools", "What I need on every machine"),
        ("mira_k/ledger", "The books of **Example Works**"),
    ):
        repositories.describe(RepositoryName.parse(name), description)
    ledger = RepositoryName.parse("mira_k/ledger")
    repositories.set_private(ledger, True)
    repositories.set_collaborator(ledger, FRIEND, Action.READ)
    application, secret = Applications(registry.storage).add(
        "Harbour",
        [redirect_uri, ELSEWHERE],
        description="Shows your images on a map of your machines",
    )
    return Demo(registry, shop[-1], debian, shop[1], shop[3], application, secret or "")


def _build(
    registry: FakeRegistry, name: str, parent: FakeImage | None, steps: Iterable[Step], at: datetime
) -> list[FakeImage]:
    """Push what a build leaves: an image for each step, the last of which has the name."""
    built: list[FakeImage] = []
    runs = ["/bin/bash"] if name.startswith("debian") else ["nginx", "-g", "daemon off;"]
    for number, step in enumerate(steps):
        at += timedelta(seconds=7 * number + 1)
        command = ["/bin/sh", "-c", step.command] if isinstance(step.command, str) else step.command
        document: dict[str, object] = {
            "created": at.strftime("%Y-%m-%dT%H:%M:%S.000000000Z"),
            "container_config": {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
            "config": {"Cmd": runs, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
            "docker_version": "1.5.0",
        }
        if not name.startswith("debian"):
            document["author"] = "Mira Kovac <mira@example.org>"
        if step.comment:
            document["comment"] = step.comment
        parent = registry.add_image(
            name, layer=layer_of_members(step.members, at), parent=parent, json=document
        )
        built.append(parent)
    return built


# -- hostile contents

#: Ways to run a script, or to end the markup around a text. Each would set ``window.pwned`` or open a dialog.
ATTACKS: Final = (
    "<script>window.pwned=1;alert(1)</script>",
    '"><img src=x onerror="window.pwned=1;alert(1)">',
    "'><svg onload='window.pwned=1;alert(1)'>",
    "javascript:window.pwned=1;alert(1)//",
    '</title></textarea></code></pre><iframe srcdoc="<script>parent.pwned=1</script>">',
    "{{ 7*7 }}{% raw %}${alert(1)}<!--",
    "\u202egnp.exe\u0000\u2028<b onmouseover=window.pwned=1>",
)

HOSTILE: Final = "vera/hostile"


@dataclass(frozen=True)
class HostileDemo:
    registry: FakeRegistry
    image: FakeImage
    application: Application
    secret: str


def fill_with_attacks(registry: FakeRegistry, redirect_uri: str) -> HostileDemo:
    """Fill a registry as somebody would who wants scripts to run in the browsers of others."""
    registry.add_user(STRANGER, PASSWORD, email="vera@example.org")
    everything = " ".join(ATTACKS)
    image: FakeImage | None = None
    for number, attack in enumerate(ATTACKS):
        command = attack.replace("\0", "")
        members = (
            Member(f"etc/{command.replace('/', '_')}", attack),
            Member(f"{command.replace('/', '_')}/{number}", "-> " + command),
            Member(f"etc/.wh.{command.replace('/', '_')}-gone"),
        )
        image = registry.add_image(
            f"{HOSTILE}:t{number}",
            layer=layer_of_members(members, BASE),
            parent=image,
            json={
                "created": attack,
                "author": attack,
                "comment": everything,
                "architecture": attack,
                "os": attack,
                "docker_version": attack,
                "container_config": {"Cmd": ["/bin/sh", "-c", attack, everything], "Env": [attack]},
                "config": {"Cmd": [attack], "Labels": {attack: attack}},
            },
        )
    assert image is not None
    registry.tag(image, f"{HOSTILE}:latest")
    links = "\n\n".join(
        f"{attack}\n\n[a link]({attack}) ![a picture]({attack})\n\n<{attack}>\n\n# {attack}"
        for attack in ATTACKS
    )
    hidden = (
        "[one](javascript:alert(1)) [two](data:text/html,<script>alert(1)</script>) "
        "[three]( java\tscript:alert(1))"
    )
    Repositories(registry.storage).describe(RepositoryName.parse(HOSTILE), f"{links}\n\n{hidden}")
    application, secret = Applications(registry.storage).add(
        f"Harbour {ATTACKS[0]}{ATTACKS[1]}", [redirect_uri], description=everything.replace("\0", "")
    )
    return HostileDemo(registry, image, application, secret or "")
