"""A real slapd for tests: on a free port of 127.0.0.1, with a directory of its own that is filled anew."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from support.programs import Program, eventually, free_port

# before ldap3 itself, whose import warns
from v1registry.accounts.backends.ldap import Ldap, LdapOptions

BASE = "dc=example,dc=test"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
ADMIN = f"cn=admin,{BASE}"
READER = f"cn=reader,{BASE}"

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/slapd.pid
# as some servers do: a bind with a name and no password succeeds, as nobody
allow bind_anon_cred bind_anon_dn
{global_lines}
database mdb
maxsize 16777216
suffix "{base}"
rootdn "{admin}"
rootpw admin-password
directory {folder}/database
dbnosync
index objectClass,uid eq
overlay memberof
access to attrs=userPassword by anonymous auth by self write by * none
access to attrs=description by users search
access to dn.subtree="ou=open,{base}" by * read
access to * by users read by * {nobody}
"""

_ATTEMPTS = 10


class Slapd:
    """A running slapd; a context manager.

    :param folder: where its data and configuration are.
    """

    def __init__(self, folder: Path) -> None:
        found = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/openldap")
        if found is None:
            pytest.skip("needs slapd: apt-get install --no-install-recommends slapd")
        self._path = found
        self._folder = folder
        self._scheme = "ldap"
        (folder / "database").mkdir(parents=True)
        self._configure([])
        self.port = 0
        self._program = self._started()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def _configure(self, global_lines: Sequence[str], may_everybody_read: bool = False) -> None:
        text = _CONFIGURATION.format(
            folder=self._folder,
            base=BASE,
            admin=ADMIN,
            global_lines="\n".join(global_lines),
            nobody="read" if may_everybody_read else "none",
        )
        (self._folder / "slapd.conf").write_text(text)

    def _started(self) -> Program:
        """Start slapd, on the port that it had, if it had one: it does not take port 0."""
        for attempt in range(_ATTEMPTS):
            port = self.port or free_port()
            command = [self._path, "-d", "0", "-f", "slapd.conf", "-h", f"{self._scheme}://127.0.0.1:{port}/"]
            try:
                program = Program(command, folder=self._folder)
            except AssertionError:  # somebody else was faster on that port
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            self.port = port
            return program
        raise AssertionError("unreachable")

    def stop(self) -> None:
        self._program.end()

    def start(self) -> None:
        """Start it again on the same port, with the same data."""
        self._program = self._started()

    def restart(
        self, global_lines: Sequence[str], *, scheme: str = "ldap", may_everybody_read: bool = False
    ) -> None:
        """Stop it and start it again on the same port.

        :param global_lines: what else its configuration says.
        :param scheme: ``ldap`` or ``ldaps``.
        """
        self.stop()
        self._configure(global_lines, may_everybody_read)
        self._scheme = scheme
        self.start()

    def hang(self) -> None:
        """Let it answer nothing any more, while its connections stay."""
        for process in self._program.processes():
            os.kill(process, signal.SIGSTOP)
        eventually(self._is_stopped, "every thread of slapd has stopped")  # the signal alone says nothing yet

    def _is_stopped(self) -> bool:
        # the state follows the name in parentheses. Source: proc(5)
        states = set()
        for process in self._program.processes():
            for stat in Path(f"/proc/{process}/task").glob("*/stat"):
                with suppress(FileNotFoundError):  # a thread that just ended
                    states.add(stat.read_text().rpartition(")")[2].split()[0])
        return states == {"T"}

    def go_on(self) -> None:
        for process in self._program.processes():
            os.kill(process, signal.SIGCONT)

    def connections(self) -> int:
        """Return how many connections to it are open. Source: proc(5), net/tcp."""
        wanted = f":{self.port:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(1 for columns in lines if columns[2].endswith(wanted) and columns[3] == "01")

    def add(self, dn: str, classes: str | Sequence[str], **attributes: str | bytes | Sequence[str]) -> None:
        """Add an entry."""
        self._do("add", dn, [classes] if isinstance(classes, str) else list(classes), attributes)

    def delete(self, dn: str) -> None:
        self._do("delete", dn)

    def set(self, dn: str, attribute: str, *values: str) -> None:
        """Replace the values of an attribute."""
        import ldap3

        self._do("modify", dn, {attribute: [(ldap3.MODIFY_REPLACE, list(values))]})

    def fill(self) -> None:
        """Add the tree and a person who may read it."""
        self.add(BASE, ["dcObject", "organization"], o="example", dc="example")
        for unit in (PEOPLE, GROUPS, f"ou=open,{BASE}", f"ou=more,{PEOPLE}"):
            self.add(unit, "organizationalUnit", ou=unit.partition("=")[2].partition(",")[0])
        self.add(
            READER,
            ["organizationalRole", "simpleSecurityObject"],
            cn="reader",
            userPassword="reader-password",
        )

    def add_person(self, uid: str, password: str, *, below: str = PEOPLE, dn: str = "") -> str:
        """Add a person; return the DN."""
        from ldap3.utils.dn import escape_rdn

        dn = dn or f"uid={escape_rdn(uid)},{below}"
        secret: Mapping[str, Any] = {"userPassword": password.encode()} if password else {}
        self.add(dn, "inetOrgPerson", uid=uid, cn=uid, sn=uid, **secret)
        return dn

    def add_group(self, cn: str, *members: str, below: str = GROUPS, dn: str = "") -> str:
        dn = dn or f"cn={cn},{below}"
        self.add(dn, "groupOfNames", cn=cn, member=members)
        return dn

    def _do(self, operation: str, *arguments: object) -> None:
        import ldap3

        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        connection = ldap3.Connection(
            server, ADMIN, "admin-password", raise_exceptions=True, check_names=False
        )
        try:
            connection.bind()
            getattr(connection, operation)(*arguments)
        finally:
            connection.unbind()

    def __enter__(self) -> Slapd:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.go_on()
        self.stop()


@contextmanager
def ldap(server: Slapd, **options: Any) -> Iterator[Ldap]:
    """Return a backend over the server, with somebody who may search."""
    login = {"bind_dn": READER, "bind_password": "reader-password"}
    base = options.pop("base_dn", BASE)
    with Ldap(LdapOptions(server.url, base, **login | options)) as backend:
        yield backend
