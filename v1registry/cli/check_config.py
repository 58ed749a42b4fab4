"""``v1registry check-config``: what the settings are, where they come from, and what they switch off."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from .. import settings as settings_
from ..assembly import WITHOUT_OAUTH, Services, assemble
from .exits import DONE
from .options import Commands, add_config_option, settings_of


def add_commands(commands: Commands) -> None:
    """Add ``check-config``."""
    command = commands.add(
        "check-config",
        check_config,
        "print all settings, or what is wrong with them",
        epilog=_settings_help(),
    )
    add_config_option(command)


def _settings_help() -> str:
    """Return every setting with its default and its description."""
    lines = [
        "settings:",
        "  storage",
        "      where the data is: file:///DIR, memory:, or MODULE:ATTRIBUTE",
    ]
    for key, (default, description) in settings_.descriptions().items():
        shown = " ".join(default) if isinstance(default, tuple) else str(default)
        lines.append(f"  {key} (default: {shown})" if shown else f"  {key}")
        lines += textwrap.wrap(description, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def check_config(options: argparse.Namespace) -> int:
    """Print every setting with its value, source and description. Passwords and keys are not printed.

    :raises SettingsError: a setting is invalid. Nothing was opened.
    """
    from_environment = settings_.from_environment()
    mapping = settings_of(options)
    # makes all parts, because some mistakes show only there; opens nothing
    services = assemble(mapping)

    def source(key: str) -> str:
        if key in from_environment:
            return f"{settings_.ENVIRONMENT_PREFIX}{key.upper()}"
        return str(options.config) if key in mapping else "default"

    print(f"storage = {settings_.without_passwords(mapping['storage'])}  ({source('storage')})")
    print(f"    where the data is; opened as {type(services.storage).__name__}")
    for key, (_, description) in settings_.descriptions().items():
        value = getattr(services.settings, key)
        shown = settings_.without_passwords(" ".join(value) if isinstance(value, tuple) else str(value))
        if key == "secret" and value:
            shown = f"{len(value)} key(s), not shown"
        print(f"{key} = {shown}  ({source(key)})")
        print(f"    {description}")
    for what, reason in _switched_off(services):
        print(f"off: {what}, because {reason}")
    return DONE


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
    if settings.v2 != "ping":
        yield "GET /v2/", f"the setting v2 is {settings.v2}"
    if accounts is None:
        return
    if not settings.mail:
        yield "confirmation of addresses by mail", "the setting mail is empty"
    if settings.registration == "closed":
        yield "registration by users", "the setting registration is closed"
    elif not accounts.can_register:
        yield "registration by users", "the users of the setting auth are created elsewhere"
