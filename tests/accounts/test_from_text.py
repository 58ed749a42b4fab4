"""Backends from the setting ``auth``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import environment_of

from v1registry.accounts.backends.chain import BackendChain
from v1registry.accounts.backends.environ import Environ
from v1registry.accounts.backends.from_text import open_auth
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.accounts.backends.ldap import Ldap
from v1registry.accounts.base import Backend, NotSupported
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.memory import MemoryStorage

#: "correct horse"
SHA = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_users_keeps_accounts_in_the_storage(storage: MemoryStorage) -> None:
    backend = open_auth("users:", storage)
    assert backend.can_create
    backend.create("mira", "correct horse")
    assert UserStore(storage).authenticate("mira", "correct horse") == User("mira")


def test_htpasswd_url_names_a_file(storage: MemoryStorage, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"mira:{SHA}\n")
    backend = open_auth(f"htpasswd://{tmp_path}/users", storage)
    assert isinstance(backend, Htpasswd)
    assert backend.authenticate("mira", "correct horse") == User("mira")


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_ldap_url_names_a_directory(storage: MemoryStorage, scheme: str) -> None:
    backend = open_auth(f"{scheme}://127.0.0.1:7/dc=example,dc=test?uid?sub?(objectClass=person)", storage)
    assert isinstance(backend, Ldap)
    assert repr(backend) == f"Ldap('{scheme}://127.0.0.1:7', 'dc=example,dc=test')"


def test_environ_names_a_key_of_the_wsgi_environ(storage: MemoryStorage) -> None:
    backend = open_auth("environ:REMOTE_USER", storage)
    assert backend.user_of_request({"REMOTE_USER": "mira"}) == User("mira")
    assert backend.authenticate("mira", "correct horse") is None
    assert not backend.takes_passwords


def test_commas_between_backends_make_a_chain(storage: MemoryStorage, tmp_path: Path) -> None:
    (tmp_path / "a,b").write_text(f"mira:{SHA}\n")
    text = (
        f"environ:REMOTE_USER, htpasswd://{tmp_path}/a,b?administrators=mira,zoe ,users:,"
        "ldap://127.0.0.1:7/dc=example,dc=test?uid???bind_dn=cn=a%2Cdc=test,bind_password=x%2Cldap:y"
    )
    backend = open_auth(text, storage)
    assert isinstance(backend, BackendChain)
    assert [type(each).__name__ for each in backend.backends] == ["Environ", "Htpasswd", "UserStore", "Ldap"]
    assert isinstance(backend.creating, UserStore)
    assert backend.user_of_request({"REMOTE_USER": "root"}) == User("root")
    assert backend.authenticate("mira", "correct horse") == User("mira")


def test_chain_without_users_creates_no_accounts(storage: MemoryStorage) -> None:
    backend = open_auth("environ:REMOTE_USER,htpasswd:///nowhere", storage)
    assert isinstance(backend, BackendChain)
    assert not backend.can_create


def test_backend_object_is_returned_as_it_is(storage: MemoryStorage) -> None:
    backend = Environ()
    assert open_auth(backend, storage) is backend


class Plain:
    """An object with the method of a backend that is not a Backend."""

    def authenticate(self, username: str, password: str) -> None:
        return None


@pytest.mark.parametrize(
    ("auth", "shown"),
    [(Plain(), "not Plain"), (Plain, "not the class Plain"), (7, "not int"), (None, "not NoneType")],
)
def test_object_that_is_no_backend_is_refused(storage: MemoryStorage, auth: object, shown: str) -> None:
    with pytest.raises(ValueError, match=r"derives from v1registry\.accounts\.Backend") as caught:
        open_auth(auth, storage)
    assert str(caught.value).endswith(shown)


def test_backend_that_cannot_log_users_in_is_refused(storage: MemoryStorage) -> None:
    class Misspelt(Backend):
        def authentificate(self, username: str, password: str) -> User | None:
            return User(username)

    with pytest.raises(ValueError, match=r"Misspelt must override authenticate\(\) or user_of_request\(\)"):
        open_auth(Misspelt(), storage)


# -- backends of other packages

MODULE = """
from v1registry.accounts import Backend

class Staff(Backend):
    made_with = ()

    def __init__(self, *arguments):
        self.made_with = arguments

    def authenticate(self, username, password):
        return None

staff = Staff("at import")

def make():
    return Staff("by make")

def from_setting(text, storage):
    return Staff(text, storage)

def fail():
    raise LookupError("no staff here")

nothing = make_nothing = lambda *arguments: 7
"""


@pytest.fixture
def staff_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a distribution with a backend; return the name of its module."""
    name = f"staff_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    folder = tmp_path / f"{name}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        f"[v1registry.auth]\nstaff = {name}:from_setting\nsevens = {name}:nothing\n"
        f"lost = {name}:is_not_there\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize(
    ("attribute", "made_with"), [("staff", "at import"), ("make", "by make"), ("Staff", ())]
)
def test_module_and_attribute_name_a_backend_or_its_factory(
    storage: MemoryStorage, staff_package: str, attribute: str, made_with: object
) -> None:
    backend = open_auth(f"{staff_package}:{attribute}", storage)
    assert backend.made_with == ((made_with,) if made_with else ())  # type: ignore[attr-defined]


def test_entry_point_adds_a_scheme(storage: MemoryStorage, staff_package: str) -> None:
    backend = open_auth("staff://host/x", storage)
    assert backend.made_with == ("staff://host/x", storage)  # type: ignore[attr-defined]
    chain = open_auth("staff://host/x,users:", storage)
    assert chain.can_create
    with pytest.raises(NotSupported):
        chain.find("mira")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must name a backend, such as users:"),
        ("users", "must name a backend, such as users:"),
        ("users:,", "users: must stand alone"),
        ("users:alice", "users: must stand alone"),
        ("users://", "users: must stand alone"),
        (
            "nothing://x",
            "known are environ:, htpasswd:, ldap:, ldaps:, lost:, sevens:, staff:, users: and module",
        ),
        ("htpasswd:users", "htpasswd:///absolute/path"),
        ("environ:", "environ:REMOTE_USER, perhaps with"),
        ("environ:HTTP_X_USER", "header that every client can send"),
        ("ldap:x", "ldap://host:port/dc=example,dc=test"),
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("{staff}:missing", "has no missing"),
        ("{staff}:Staff.missing", "has no Staff.missing"),
        ("{staff}:make_nothing", "derives from v1registry.accounts.Backend .*, not int"),
        ("sevens:", "derives from v1registry.accounts.Backend .*, not int"),
        ("lost:", "is_not_there"),
        ("users:,htpasswd:users", "htpasswd:///absolute/path"),
    ],
)
def test_invalid_text_is_refused(
    storage: MemoryStorage, staff_package: str, text: str, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        open_auth(text.format(staff=staff_package), storage)


@pytest.mark.parametrize(
    "text",
    [
        "ldap://h/dc=a?uid???bind_dn=cn=a%2Cdc=b,bind_password=secret-one,secret-two",
        "ldap://h/dc=a?uid?bad-scope??bind_dn=cn=a%2Cdc=b,bind_password=secret-one",
        "ldap://mira:secret-one@h/dc=a",
        "ldap://h:secret-one/dc=a",
        "ldap://h/dc=a????????bind_password=secret-one",
        "ldpa://h/dc=a?uid???bind_password=secret-one",
        "users:,ldap://h/dc=a?uid???bind_password=secret-one",
        "secret-one",
    ],
)
def test_errors_show_no_password(storage: MemoryStorage, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        open_auth(text, storage)
    assert "secret" not in str(caught.value)
    assert str(caught.value)


def test_exception_of_a_factory_passes_through(storage: MemoryStorage, staff_package: str) -> None:
    with pytest.raises(LookupError, match="no staff here"):
        open_auth(f"{staff_package}:fail", storage)


@pytest.mark.parametrize(
    ("module", "text", "extra"),
    [("ldap3", "ldap://h/dc=a", "ldap"), ("bcrypt", "htpasswd:///users", "htpasswd")],
)
def test_error_for_a_missing_library_names_the_extra(
    tmp_path: Path, module: str, text: str, extra: str
) -> None:
    program = (
        f"import sys\nsys.modules[{module!r}] = None\n"
        "from v1registry.accounts.backends.from_text import open_auth\n"
        f"try:\n    open_auth({text!r}, None)\nexcept ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:'cgi':DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        env=environment_of(tmp_path),
        check=True,
    )
    assert f"pip install 'v1registry[{extra}]'" in done.stdout, done.stderr


def test_libraries_are_imported_at_first_use(tmp_path: Path) -> None:
    program = (
        "import sys, v1registry.accounts.backends.from_text\n"
        "libraries = ('argon2', 'bcrypt', 'passlib', 'ldap3', 'importlib.metadata')\n"
        "print([name for name in libraries if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment_of(tmp_path),
        check=True,
    )
    assert done.stdout.strip() == "[]"
