"""``v1registry routes``: the rows that a configuration serves, by API."""

from __future__ import annotations

import argparse

from ..app import Registry
from .exits import DONE
from .options import Commands, add_config_option, settings_of


def add_commands(commands: Commands) -> None:
    """Add ``routes``."""
    command = commands.add(
        "routes", print_routes, "print what a configuration serves: method, path, needs, API, name"
    )
    add_config_option(command)


def print_routes(options: argparse.Namespace) -> int:
    """Print a line for each row: method, path, the right that it needs, its API and its name.

    ``-`` stands for a row whose handler checks the caller itself, or lets everyone in.

    :raises SettingsError: a setting is invalid. Nothing was opened.
    """
    registry = Registry.from_settings(settings_of(options))
    rows = [
        (route.method, route.path, "-" if route.needs is None else route.needs.value, api.name, route.name)
        for api in registry.apis
        for route in api.routes
    ]
    width = max(len(path) for _, path, *_ in rows)
    for method, path, needs, api_name, name in rows:
        print(f"{method:6}  {path:{width}}  {needs:6}  {api_name:12}  {name}")
    return DONE
