"""``v1registry check-config``: the settings, where they come from, and whether what they name works."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from .. import settings as settings_
from ..access.accounts import AccountsAccess
from ..assembly import WITHOUT_OAUTH, Services, assemble
from ..search.base import TriedIndex
from ..settings import Settings, SettingsError
from . import trials
from .exits import DONE, UNREACHABLE, USAGE, complain
from .options import Commands, add_config_option, settings_of
from .serving_files import problems_of_certificate


def add_commands(commands: Commands) -> None:
    """Add ``check-config``."""
    command = commands.add(
        "check-config",
        check_config,
        "print all settings, and try what they name",
        epilog=_settings_help(),
    )
    add_config_option(command)


def _settings_help() -> str:
    """Return every setting with its default and its description."""
    lines = [
        "It tries the storage, users, templates, certificate and mirrored registry, and ends with a verdict.",
        "Exit code: 0 if all works, 2 if settings are invalid, 3 if something that they name fails.\n",
        "settings:",
        "  storage",
        "      where the data is: file:///DIR, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX,",
        "      memory:, or MODULE:ATTRIBUTE",
    ]
    for key, (default, description) in settings_.descriptions().items():
        shown = settings_.shown(default)
        lines.append(f"  {key} (default: {shown})" if shown else f"  {key}")
        lines += textwrap.wrap(description, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def check_config(options: argparse.Namespace) -> int:
    """Print the settings, those that are given first, then what was tried, and a verdict.

    Passwords and keys are not printed. Nothing is opened if a setting is invalid.
    """
    try:
        return _check(options)
    except SettingsError as error:
        for problem in error.problems:
            complain(problem)
        print(f"verdict: invalid, {len(error.problems)} problem(s); a server would not start")
        return USAGE


def _check(options: argparse.Namespace) -> int:
    """Print and try the settings.

    :raises SettingsError: a setting is invalid. Nothing was opened.
    """
    from_environment = settings_.from_environment()
    mapping = settings_of(options)
    # makes all parts, because some mistakes show only there; opens nothing
    services = assemble(mapping)
    storage = (settings_.without_passwords(mapping["storage"]), type(services.storage).__name__)
    given = [key for key in settings_.descriptions() if key in mapping]

    def print_setting(key: str) -> None:
        value = getattr(services.settings, key)
        shown = settings_.shown(value)
        if key == "secret" and value:
            shown = f"{len(value)} key(s), not shown"
        elif key == "mirror_password" and value:
            shown = "not shown"
        source = "default"
        if key in mapping:
            is_variable = key in from_environment
            variable = f"{settings_.ENVIRONMENT_PREFIX}{key.upper()}"
            source = variable if is_variable else str(options.config)
        print(f"{key} = {shown}  ({source})")
        print(f"    {settings_.descriptions()[key][1]}")

    where = "V1REGISTRY_STORAGE" if "storage" in from_environment else str(options.config)
    print("settings that are given:")
    print(f"storage = {storage[0]}  ({where})")
    print(f"    where the data is; opened as {storage[1]}")
    for key in given:
        print_setting(key)
    print("\ndefaults of the others:")
    for key in settings_.descriptions():
        if key not in mapping:
            print_setting(key)
    print("\nwhat they mean:")
    for what, reason in _switched_off(services):
        print(f"off: {what}, because {reason}")
    return _try_out(services)


def _try_out(services: Services) -> int:
    """Try what the settings name, print what was found and the verdict, and return the exit code."""
    count = trials.count_repositories(services)
    if count is not None:
        print(f"storage: {count}")
    for line in trials.object_store_in_words(services.storage):
        print(f"storage: {line}")
    for warning in (*trials.weak_settings(services), *trials.exposed_repositories(services, count)):
        print(f"warning: {warning}")
    problems = [*trials.storage_problems(services), *services.pages.problems()]
    if isinstance(services.access, AccountsAccess):
        problems += services.access.backend.problems()
    if isinstance(services.search, TriedIndex):
        problems += services.search.problems()
    problems += problems_of_certificate(services.settings)
    if services.mirror is not None:
        problems += services.mirror.problems()
    for problem in problems:
        print(f"problem: {problem}")
    if problems:
        print(f"verdict: {len(problems)} problem(s); a server would start, but not everything would work")
        return UNREACHABLE
    print("verdict: the settings are valid, and all that they name works")
    return DONE


def _switched_off_below_v2(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the part of the distribution API that is off, and the reason."""
    if settings.v2 == "pull" and settings.has_distribution:
        yield "pushes and deletions below /v2/", "the setting v2 is pull"
    elif not settings.has_distribution:
        reason = "the images or accounts are elsewhere"
        if settings.v2 not in ("on", "pull"):
            reason = f"the setting v2 is {settings.v2}"
        yield "pushes and pulls below /v2/ by today's engines", reason


def _switched_off(services: Services) -> Iterator[tuple[str, str]]:
    """Yield each part that is off, and the reason."""
    settings, accounts = services.settings, services.accounts
    if settings.index:
        yield "the index, search, users, OAuth and pages", "the setting index names an external index"
    else:
        if accounts is None:
            yield "accounts, private repositories and OAuth", "the setting auth is open:"
        elif services.oauth is None:
            yield "OAuth", WITHOUT_OAUTH
        if settings.images == "elsewhere":
            yield "uploads and downloads of images", "the setting images is elsewhere"
        if settings.pages == "off":
            yield "the pages for browsing", "the setting pages is off"
        if settings.policy and accounts is None:
            yield "the policy", "the setting auth is open:"
    if settings.read_only:
        yield "pushes, changes and deletions", "the setting read_only is yes"
    yield from _switched_off_below_v2(settings)
    if accounts is None:
        return
    if not settings.mail:
        yield "confirmation of addresses by mail", "the setting mail is empty"
    if settings.registration == "closed":
        yield "registration by users", "the setting registration is closed"
    elif not accounts.can_register:
        reason = "the users of the setting auth are created elsewhere"
        if accounts.backend.can_create:
            reason = "a backend of the setting auth cannot look up names; registration = open opens it"
        yield "registration by users", reason
