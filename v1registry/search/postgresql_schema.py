"""The tables of the PostgreSQL index, and how they are brought up to date."""

from __future__ import annotations

from typing import Final

from .database import Connection, NoDatabase

#: The schema of the tables. Nothing else is in it.
SCHEMA_NAME: Final = "v1registry_search"

#: One text of statements for each version: what it takes from the version before. A new version is added at
#: the end. ``{trigrams}`` is the schema of pg_trgm.
#:
#: The tables are those of the SQLite index (``sqlite_schema.py``). Names sort by their characters, whatever
#: the database's own order is. Numbers of ``state`` are random where they count changes, see there.
MIGRATIONS: Final = (
    """
CREATE TABLE repositories (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    folded text COLLATE "C",
    namespace text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL,
    is_official integer NOT NULL,
    is_private integer NOT NULL,
    stars bigint NOT NULL,
    has_description integer NOT NULL,
    version text COLLATE "C" NOT NULL
);
CREATE INDEX by_rank ON repositories (is_private, is_official DESC, stars DESC, name);
CREATE INDEX public_names ON repositories (name) WHERE is_private = 0;
CREATE INDEX private_names ON repositories (name) WHERE is_private = 1;
CREATE INDEX in_namespace ON repositories (namespace, is_private);
CREATE INDEX by_folded ON repositories (folded) WHERE folded IS NOT NULL;
CREATE INDEX words ON repositories USING gin (text {trigrams}.gin_trgm_ops) WITH (fastupdate = off);
CREATE TABLE collaborators (
    username text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    repository bigint NOT NULL,
    PRIMARY KEY (username, account, repository)
);
CREATE INDEX collaborators_of ON collaborators (repository);
CREATE TABLE others (
    name text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL
);
CREATE INDEX others_in ON others (namespace);
CREATE TABLE namespaces (
    folder text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL
);
CREATE TABLE dirty (
    token text PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    repository text COLLATE "C" NOT NULL,
    since_s double precision NOT NULL
);
CREATE TABLE state (key text PRIMARY KEY, value double precision NOT NULL);
INSERT INTO state VALUES ('is_complete', 0), ('repositories', 0), ('public', 0),
    ('changes', floor(random() * 1e15)), ('looked_at_s', 0), ('walked_at_s', 0), ('walker', 0),
    ('walker_seen_s', 0);
""",
)

#: The version of the tables that this program reads and writes.
SCHEMA_VERSION: Final = len(MIGRATIONS)

#: The tables, and how many rows ``state`` has.
_TABLES: Final = ("repositories", "collaborators", "others", "namespaces", "dirty", "state")
_NUMBERS: Final = 8


class OlderSchema(NoDatabase):
    """The tables have to be brought up to date. Their rows stay, so changes of them count."""

    def __init__(self, version: int):
        super().__init__(f"the tables have version {version}, and are brought to {SCHEMA_VERSION}")


class NewerSchema(NoDatabase):
    """A newer program made the tables. They are left as they are."""

    def __init__(self, version: int):
        super().__init__(
            f"the tables in the schema {SCHEMA_NAME} have version {version}, and this program knows versions "
            f"up to {SCHEMA_VERSION}: a newer v1registry made them; upgrade this one too"
        )


def are_sound(connection: Connection) -> bool:
    """Tell whether all tables are there, and their numbers too. The version was compared before."""
    tables = " AND ".join(f"to_regclass('{SCHEMA_NAME}.{table}') IS NOT NULL" for table in _TABLES)
    if not connection.execute(f"SELECT {tables}").fetchone()[0]:
        return False
    return bool(connection.execute("SELECT count(*) FROM state").fetchone()[0] == _NUMBERS)


def migrate(connection: Connection, *, replaces: bool) -> None:
    """Bring the tables up to date. The caller's transaction excludes other processes that do it.

    :param replaces: remove what there is first.
    :raises NewerSchema: a newer program made them.
    :raises NoDatabase: the database does not suit.
    """
    encoding = connection.execute("SHOW server_encoding").fetchone()[0]
    if encoding != "UTF8":
        raise NoDatabase(f"the database must have the encoding UTF8, not {encoding}")
    # for both, IF NOT EXISTS would ask for a right that is not needed
    if not connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'").fetchone():
        connection.execute("CREATE EXTENSION pg_trgm WITH SCHEMA public")
    if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", (SCHEMA_NAME,)).fetchone():
        connection.execute(f"CREATE SCHEMA {SCHEMA_NAME}")
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)")
    # all transactions have locked it, so none goes on while the tables change
    connection.execute("LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE")
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    version = row[0] or 0
    if version > SCHEMA_VERSION:
        raise NewerSchema(version)
    if replaces or not version or (version == SCHEMA_VERSION and not are_sound(connection)):
        connection.execute(f"DROP TABLE IF EXISTS {', '.join(_TABLES)} CASCADE")
        version = 0
    (trigrams,) = connection.execute(
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace"
        " WHERE extname = 'pg_trgm'"
    ).fetchone()
    for statements in MIGRATIONS[version:]:
        connection.execute(statements.format(trigrams=trigrams))
    connection.execute("DELETE FROM schema_version")
    connection.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
