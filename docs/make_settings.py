"""Write docs/settings.md from the table of settings: ``python docs/make_settings.py``.

A test checks that the file is current.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from v1registry.settings import ENVIRONMENT_PREFIX, Settings, descriptions

TARGET = Path(__file__).with_name("settings.md")

#: Title of a part -> its settings.
PARTS = {
    "Storage": ["storage"],
    "Users and rights": [
        "auth",
        "policy",
        "registration",
        "reserved_names",
        "secret",
        "token_lifetime_s",
        "write_token_lifetime_s",
        "standalone",
    ],
    "Mail": ["mail", "mail_from", "link_lifetime_s", "link_path"],
    "OAuth": ["oauth_http"],
    "Where clients reach the registry": ["public_url", "endpoints", "trusted_proxies", "message", "v2"],
    "Registry and index on different hosts": ["images", "index", "index_cache_s"],
    "Search": ["search_limit", "search_names"],
    "Pages": ["pages", "templates", "session_lifetime_s", "max_shown_bytes"],
    "Limits": ["max_document_bytes", "max_refused_bytes", "max_unfinished_bytes", "max_expanded_bytes"],
    "Layers served by another server": ["layer_redirect", "x_accel_redirect"],
}

STORAGE = (
    "",
    "where the data is: file:///DIR, memory:, MODULE:ATTRIBUTE, or a scheme that another package adds by the "
    "entry point v1registry.storage; required",
)

INTRODUCTION = """\
# Settings

<!-- Made by docs/make_settings.py from the table in v1registry/settings.py. -->

The same keys are keywords of `Registry(…)`, keys of `Registry.from_settings`, variables in the environment
(`Registry.from_environment`), keys in the section `[v1registry]` of an ini file (`Registry.from_ini`,
`--config`), and keys of PasteDeploy. `v1registry check-config --config FILE` checks a file and says what its
settings mean.
"""


def kind_of(name: str, default: object) -> str:
    """Return the type of a setting in words."""
    kinds = {field.name: field.type for field in dataclasses.fields(Settings)}
    if kinds.get(name) == "object":
        return "text, or an object from Python"
    if isinstance(default, tuple):
        return "words, with blanks or commas between"
    if isinstance(default, int):
        return "seconds" if name.endswith("_s") else "bytes" if name.endswith("_bytes") else "number"
    return "text"


def row(name: str, default: object, description: str) -> str:
    shown = " ".join(default) if isinstance(default, tuple) else str(default)
    cells = [
        f"`{name}`",
        kind_of(name, default),
        f"`{shown}`" if shown else "",
        description.replace("|", "\\|"),
        f"`{ENVIRONMENT_PREFIX}{name.upper()}`",
    ]
    return f"| {' | '.join(cells)} |"


def settings_page() -> str:
    """Return the text of docs/settings.md.

    :raises ValueError: a setting is in no part or in two, or a part has an unknown one.
    """
    table = {"storage": STORAGE, **descriptions()}
    listed = [name for names in PARTS.values() for name in names]
    if sorted(listed) != sorted(table):
        raise ValueError(f"PARTS must name each setting once: {sorted({*listed} ^ {*table}) or listed}")
    lines = [INTRODUCTION]
    for title, names in PARTS.items():
        lines += [f"## {title}", "", "| setting | type | default | meaning | variable |"]
        lines += ["| --- | --- | --- | --- | --- |", *(row(name, *table[name]) for name in names), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(settings_page(), "utf-8")
