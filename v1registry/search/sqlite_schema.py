"""The tables of the SQLite index."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Final

#: Databases of different versions are different files.
SCHEMA_VERSION: Final = 1

#: ``text`` and the order of an index by name: ``search/words.py`` and hub.md 7. ``version`` is that of the
#: repository's folder when its facts were read, empty if it has to be read again. ``others`` are folders
#: without a repository. ``dirty`` has a row for each change that is under way. ``changes`` begins at random,
#: because processes remember what they counted by it, whichever database they asked.
SCHEMA: Final = """
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    folded TEXT,
    namespace TEXT NOT NULL,
    text TEXT NOT NULL,
    is_official INTEGER NOT NULL,
    is_private INTEGER NOT NULL,
    stars INTEGER NOT NULL,
    has_description INTEGER NOT NULL,
    version TEXT NOT NULL
);
CREATE INDEX by_rank ON repositories (is_private, is_official DESC, stars DESC, name);
CREATE INDEX public_names ON repositories (name) WHERE is_private = 0;
CREATE INDEX in_namespace ON repositories (namespace, is_private);
CREATE INDEX by_folded ON repositories (folded) WHERE folded IS NOT NULL;
CREATE TABLE collaborators (
    username TEXT NOT NULL,
    account TEXT NOT NULL,
    repository INTEGER NOT NULL,
    PRIMARY KEY (username, account, repository)
) WITHOUT ROWID;
CREATE INDEX collaborators_of ON collaborators (repository);
CREATE TABLE others (name TEXT PRIMARY KEY, namespace TEXT NOT NULL, version TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX others_in ON others (namespace);
CREATE TABLE namespaces (folder TEXT PRIMARY KEY, namespace TEXT NOT NULL, version TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE dirty (
    token TEXT PRIMARY KEY, namespace TEXT NOT NULL, repository TEXT NOT NULL, since_s REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO state VALUES ('is_complete', 0), ('repositories', 0), ('public', 0), ('changes', random() >> 16),
    ('looked_at_s', 0), ('walked_at_s', 0), ('walker', 0), ('walker_seen_s', 0);
"""

#: The index of all parts of three characters. Texts are in lower case already.
WORDS: Final = """
CREATE VIRTUAL TABLE words USING fts5(
    text, content = 'repositories', content_rowid = 'id', tokenize = 'trigram case_sensitive 1'
);
"""


@cache
def has_trigrams() -> bool:
    """Tell whether this SQLite can look for parts of words by an index."""
    import sqlite3

    with suppress(sqlite3.Error):
        connection = sqlite3.connect(":memory:")
        try:
            connection.execute(WORDS)
        finally:
            connection.close()
        return True
    return False
