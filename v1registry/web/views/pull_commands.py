"""The commands that pull a tag, as the pages show them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ... import errors
from ...names import RepositoryName, check_tag, is_loopback, is_v2_name


@dataclass(frozen=True)
class PullCommands:
    """What users paste into a shell."""

    archive: str  #: pulls the tag into an archive, with the client of this package
    load: str  #: loads the archive into an engine of any age
    engine: str  #: pulls with an engine that speaks an API of this registry
    is_for_all_engines: bool = False  #: whether ``engine`` is for engines of any age, not only for old ones
    login: str | None = None  #: logs in first; None if that is not necessary


def pull_commands(
    host: str,
    name: RepositoryName,
    tag: str | None,
    *,
    is_secure: bool,
    username: str | None = None,
    has_v2: bool = False,
) -> PullCommands | None:
    """Return the commands that pull a tag; None if engines reject a name, which old data may have.

    Users paste the commands into a shell, so they contain only names of the grammars.

    :param host: ``host[:port]`` of this registry.
    :param tag: None to leave it out.
    :param is_secure: whether the registry is reached over https.
    :param username: the user who logs in to pull; None to pull without credentials.
    :param has_v2: whether the registry serves the distribution API.

    >>> pull_commands("hub.example", RepositoryName("team", "app"), "1.0", is_secure=True).archive
    'v1registry pull hub.example/team/app:1.0 -o app.tar'
    """
    try:
        reference = f"{host}/{name.checked()}" if tag is None else f"{host}/{name.checked()}:{check_tag(tag)}"
    except (errors.InvalidRepositoryName, errors.InvalidTagName):
        return None
    archive = f"{name.repository.rpartition('/')[2]}.tar"
    words = ["v1registry", "pull", reference, "-o", archive]
    if username is not None:
        words += ["--username", username]
    if not is_secure and not is_loopback(host):
        words.append("--insecure")
    is_for_all_engines = has_v2 and is_v2_name(str(name))
    login = None
    if is_for_all_engines and username is not None:
        login = shlex.join(["docker", "login", "--username", username, host])
    return PullCommands(
        shlex.join(words),
        f"docker load -i {archive}",
        shlex.join(["docker", "pull", reference]),
        is_for_all_engines,
        login,
    )
