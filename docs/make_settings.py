"""Write docs/settings.md from the table of settings: ``python docs/make_settings.py``.

A test checks that the file is current.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from v1registry.settings import ENVIRONMENT_PREFIX, PARTS, Settings, descriptions, shown

TARGET = Path(__file__).with_name("settings.md")

STORAGE = (
    "",
    "where the data is: file:///DIR, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX (see "
    "operating.md), memory:, MODULE:ATTRIBUTE, or a scheme that another package adds by the "
    "entry point v1registry.storage; required",
)

INTRODUCTION = """\
# Settings

<!-- Made by docs/make_settings.py from the rows in v1registry/setting_rows/. -->

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
    if isinstance(default, bool):
        return "yes or no"
    if isinstance(default, tuple):
        return "words, with blanks or commas between"
    if isinstance(default, int):
        return "seconds" if name.endswith("_s") else "bytes" if name.endswith("_bytes") else "number"
    return "text"


def row(name: str, default: object, description: str) -> str:
    """Return the line of a setting in a table."""
    text = shown(default)
    cells = [
        f"`{name}`",
        kind_of(name, default),
        f"`{text}`" if text else "",
        description.replace("|", "\\|"),
        f"`{ENVIRONMENT_PREFIX}{name.upper()}`",
    ]
    return f"| {' | '.join(cells)} |"


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    table = {"storage": STORAGE, **descriptions()}
    parts = {title: [row.name for row in dataclasses.fields(part)] for title, part in PARTS.items()}
    lines = [INTRODUCTION]
    for title, names in {"Storage": ["storage"], **parts}.items():
        lines += [f"## {title}", "", "| setting | type | default | meaning | variable |"]
        lines += ["| --- | --- | --- | --- | --- |", *(row(name, *table[name]) for name in names), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(settings_page(), "utf-8")
