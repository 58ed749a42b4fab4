"""Users of htpasswd files: the contract for each kind of hash; files as programs and people write them."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from v1registry_fakes.contracts import LookupContract

from v1registry.accounts.backends import htpasswd
from v1registry.accounts.backends.htpasswd import Htpasswd
from v1registry.accounts.base import BackendUnavailable
from v1registry.rights import User

#: Hashes of "correct horse", made by Apache's htpasswd 2.4 (-B -C 5, -m, -s).
BCRYPT = "$2y$05$atawbr6cgmq2kWB6zmyZ/e6vhDLEnH7HQkB0yoJfG.4wA/1isi/GK"
APR1 = "$apr1$RsaosasZ$z8WUXvwD1NOdSfwC7xgBE0"
SHA = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="

#: password, hash: made by ``openssl passwd -apr1 -salt SALT -stdin`` of OpenSSL 3.0.
OPENSSL_APR1 = [
    ("correct horse", "$apr1$abcdefgh$sIQmFnT1CuEXAsyjuXjUX/"),
    ("pässwörd 🐳", "$apr1$x$SBeJsegZdlJvyvUOKJIsq/"),
    ("0", "$apr1$12345678$s0/z3njkj0t6U82g8GuNF/"),
    ("a" * 100, "$apr1$./ABzz09$65hnFLhRZfUvr8c331/hg."),
    ("b" * 16, "$apr1$saltsalt$IIwYtefGUoSSExrK/OA140"),
]

#: Hashes of unsupported kinds, made by Apache's htpasswd (-d, -2, -5, -p) and slappasswd.
OTHER_KINDS = {
    "crypt": ("oV/84knSvOTZc", "correct", "crypt or plain text"),
    "sha256-crypt": ("$5$PyUDKuQFlVlZaD6W$ozNkTo7Mgwn8wC265zMrUMtsLcPW.5uk6Ef3qyG15E7", "x", "$5$"),
    "sha512-crypt": (
        "$6$VbddmtixDm4LKT5R$1ua1w6wIn8eQB3fZQuae4fV0KtIgpMslONRjCiMVh5ocPbELIt8vskjfAY5qslDEdDjC3R6UbhMMBPy.AUi.G.",
        "x",
        "$6$",
    ),
    "plain text": ("correct horse", "correct horse", "crypt or plain text"),
    "salted SHA-1": ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "x", "{SSHA}"),
    "cut bcrypt": (BCRYPT[:-1], "correct horse", "crypt or plain text"),
    "nothing": ("", "", "crypt or plain text"),
}


class HtpasswdContract(LookupContract):
    stored = ""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Htpasswd:
        path = tmp_path / "users"
        path.write_text(f"other:{BCRYPT}x\nmira:{self.stored}\nthird:{SHA}\n")
        return Htpasswd(path)


class TestBcrypt(HtpasswdContract):
    stored = BCRYPT


class TestApr1(HtpasswdContract):
    stored = APR1


class TestSha1(HtpasswdContract):
    stored = SHA


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


def backend_of(path: Path, *lines: str) -> Htpasswd:
    path.write_text("".join(f"{line}\n" for line in lines))
    return Htpasswd(path)


class Counter:
    """Counts the hashes that are computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        genuine = htpasswd._Hashes.verify

        def verify(hashes: htpasswd._Hashes, stored: str, password: str) -> bool:
            self.count += 1
            return genuine(hashes, stored, password)

        monkeypatch.setattr(htpasswd._Hashes, "verify", verify)


# -- hashes


@pytest.mark.parametrize(("password", "stored"), OPENSSL_APR1)
def test_apr1_hashes_of_openssl_are_verified(path: Path, password: str, stored: str) -> None:
    backend = backend_of(path, f"mira:{stored}")
    assert backend.authenticate("mira", password) == User("mira")
    assert backend.authenticate("mira", password + "x") is None


@pytest.mark.parametrize("variant", ["$2y$", "$2a$", "$2b$"])
def test_bcrypt_hashes_of_all_writers_are_verified(path: Path, variant: str) -> None:
    backend = backend_of(path, f"mira:{BCRYPT.replace('$2y$', variant)}")
    assert backend.authenticate("mira", "correct horse") == User("mira")


def test_password_longer_than_bcrypt_reads_is_refused(path: Path) -> None:
    import bcrypt

    longest = "é" * 36
    stored = bcrypt.hashpw(longest.encode(), bcrypt.gensalt(4)).decode()
    backend = backend_of(path, f"mira:{stored}")
    assert backend.authenticate("mira", longest) == User("mira")
    assert backend.authenticate("mira", longest + "x") is None


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_unsupported_hashes_are_refused_and_logged_once(
    path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored, password, kind = OTHER_KINDS[name]
    backend = backend_of(path, f"other:{SHA}", f"mira:{stored}")
    for _ in range(3):
        assert backend.authenticate("mira", password) is None
        assert backend.authenticate("mira", stored) is None
        assert backend.authenticate("other", "correct horse") == User("other")
    assert backend.find("mira") == User("mira"), "the user exists all the same"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"line 2: hashes of this kind ({kind}) are not supported" in caplog.text
    assert "htpasswd -B" in caplog.text
    assert not stored or stored not in caplog.text


@pytest.mark.real
@pytest.mark.parametrize("option", ["-B", "-m", "-s"])
def test_file_of_apaches_program_is_read(path: Path, option: str) -> None:
    program = shutil.which("htpasswd")
    if program is None:
        pytest.skip("needs htpasswd: apt-get install apache2-utils")
    for username, password in (("mira", "correct horse"), ("zoë", "pässwörd")):
        created = [] if path.exists() else ["-c"]
        subprocess.run([program, *created, "-b", option, path, username, password], check=True)
    backend = Htpasswd(path)
    assert backend.authenticate("mira", "correct horse") == User("mira")
    assert backend.authenticate("zoë", "pässwörd") == User("zoë")
    subprocess.run([program, "-D", path, "mira"], check=True)
    assert backend.authenticate("mira", "correct horse") is None


# -- lines


def test_comments_empty_lines_blanks_and_further_fields_are_skipped(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(
        b"\xef\xbb\xbf# comment:" + SHA.encode() + b"\r\n\r\n  \n"
        b" mira:" + SHA.encode() + b":Mira Kovac:admin \r\n"
        b"zo\xc3\xab:" + SHA.encode()
    )
    backend = Htpasswd(path)
    assert backend.authenticate("mira", "correct horse") == User("mira")
    assert backend.authenticate("zoë", "correct horse") == User("zoë")
    assert backend.find("# comment") is None
    assert not caplog.records


def test_first_line_of_a_name_counts(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = OPENSSL_APR1[2]
    backend = backend_of(path, f"mira:{SHA}", f"mira:{other[1]}", "zoe:refused-kind", f"zoe:{SHA}")
    assert backend.authenticate("mira", "correct horse") == User("mira")
    assert backend.authenticate("mira", other[0]) is None
    assert backend.authenticate("zoe", "correct horse") is None, "not even if it cannot be verified"
    assert "line 2: ignored, because an earlier line has the same name" in caplog.text
    assert "line 4: ignored, because an earlier line has the same name" in caplog.text


def test_invalid_lines_are_skipped_and_logged_by_number(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"a-secret-on-a-line\n\xff\xfe-secret:x\nmira:" + SHA.encode() + b"\nx:secret-too\n")
    backend = Htpasswd(path)
    assert backend.authenticate("mira", "correct horse") == User("mira")
    assert backend.authenticate("a-secret-on-a-line", "") is None
    assert "line 1: must be name:hash" in caplog.text
    assert "line 2: the name is not UTF-8" in caplog.text
    assert "secret" not in caplog.text


def test_empty_file_has_no_users(path: Path) -> None:
    backend = backend_of(path)
    assert backend.authenticate("mira", "correct horse") is None
    assert backend.find("mira") is None


# -- changes of the file


def test_added_changed_and_removed_lines_count_at_the_next_request(path: Path) -> None:
    backend = backend_of(path, f"mira:{SHA}")
    assert backend.authenticate("mira", "correct horse") == User("mira")
    with path.open("a") as file:
        file.write(f"zoe:{APR1}\n")
    assert backend.authenticate("zoe", "correct horse") == User("zoe")
    path.write_text(f"mira:{OPENSSL_APR1[2][1]}\n")
    assert backend.authenticate("mira", "correct horse") is None
    assert backend.authenticate("mira", "0") == User("mira")
    assert backend.authenticate("zoe", "correct horse") is None


def test_change_with_same_size_and_time_counts(path: Path) -> None:
    first, second = OPENSSL_APR1[0], OPENSSL_APR1[4]
    backend = backend_of(path, f"mira:{first[1]}")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert backend.authenticate("mira", first[0]) == User("mira")
    with path.open("r+") as file:  # the same file, as cp and rsync --inplace leave it
        file.write(f"mira:{second[1]}")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert backend.authenticate("mira", first[0]) is None
    assert backend.authenticate("mira", second[0]) == User("mira")


def test_replaced_file_counts(path: Path, tmp_path: Path) -> None:
    backend = backend_of(path, f"mira:{SHA}")
    assert backend.authenticate("mira", "correct horse") == User("mira")
    (tmp_path / "new").write_text(f"zoe:{SHA}\n")
    os.replace(tmp_path / "new", path)
    assert backend.authenticate("mira", "correct horse") is None
    assert backend.authenticate("zoe", "correct horse") == User("zoe")


def test_old_file_is_not_read_again(path: Path) -> None:
    path.write_text(f"mira:{SHA}\n")
    now_ns = path.stat().st_ctime_ns + 2_000_000_001
    backend = Htpasswd(path, now_ns=lambda: now_ns)
    with mock.patch("v1registry.accounts.backends.htpasswd.open", create=True, wraps=open) as opened:
        for _ in range(10):
            assert backend.authenticate("mira", "correct horse") == User("mira")
        assert opened.call_count == 1
        path.write_text(f"zoe:{SHA}\n")
        assert backend.authenticate("mira", "correct horse") is None
        assert opened.call_count == 2


def test_file_that_has_just_changed_is_read_again(
    path: Path,
) -> None:
    path.write_text(f"mira:{SHA}\n")
    now_ns = path.stat().st_ctime_ns + 2_000_000_000
    backend = Htpasswd(path, now_ns=lambda: now_ns)
    with mock.patch("v1registry.accounts.backends.htpasswd.open", create=True, wraps=open) as opened:
        for _ in range(3):
            assert backend.authenticate("mira", "correct horse") == User("mira")
        assert opened.call_count == 3


def test_logins_are_unavailable_while_the_file_is_missing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = backend_of(path, f"mira:{SHA}")
    assert backend.authenticate("mira", "correct horse") == User("mira")
    path.unlink()
    for question in (
        lambda: backend.authenticate("mira", "correct horse"),
        lambda: backend.authenticate("nobody", "correct horse"),
        lambda: backend.find("mira"),
    ):
        with pytest.raises(BackendUnavailable, match="list of users cannot be read") as caught:
            question()
        assert str(path) not in str(caught.value)
        assert str(path) in caplog.text
    path.mkdir()
    with pytest.raises(BackendUnavailable):
        backend.find("mira")
    path.rmdir()
    path.write_text(f"mira:{SHA}\n")
    assert backend.authenticate("mira", "correct horse") == User("mira")


def test_nothing_is_opened_before_the_first_request(path: Path) -> None:
    backend = Htpasswd(path)
    path.write_text(f"mira:{SHA}\n")
    assert backend.authenticate("mira", "correct horse") == User("mira")


# -- the cost of a password


def test_pull_of_30_layers_costs_one_hash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_of(path, f"mira:{BCRYPT}")
    counter = Counter(monkeypatch)
    assert {backend.authenticate("mira", "correct horse") for _ in range(63)} == {User("mira")}
    assert counter.count == 1


def test_wrong_password_and_unknown_name_cost_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_of(path, f"mira:{BCRYPT}", "zoe:refused-kind")
    counter = Counter(monkeypatch)
    for username in ("mira", "zoe", "nobody", "", "\udcff"):
        counter.count = 0
        assert [backend.authenticate(username, "wrong") for _ in range(3)] == [None] * 3
        assert counter.count == 3, username


def test_password_of_another_user_does_not_log_in_an_unknown_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(path, f"mira:{SHA}", "zoe:refused-kind")
    counter = Counter(monkeypatch)
    for username in ("nobody", "zoe"):
        assert [backend.authenticate(username, "correct horse") for _ in range(3)] == [None] * 3
    assert counter.count == 6, (
        "it is not remembered either: the time would tell that the password is somebody's"
    )


def test_unknown_name_costs_the_hash_of_one_user_each_time(path: Path) -> None:
    backend = backend_of(
        path, *(f"user_{number}:{stored}" for number, stored in enumerate([BCRYPT, APR1, SHA]))
    )
    with mock.patch.object(htpasswd._Hashes, "verify", return_value=False) as verify:
        for name in [f"nobody_{number}" for number in range(50)]:
            backend.authenticate(name, "wrong")
            backend.authenticate(name, "another")
    checked = [call.args[0] for call in verify.call_args_list]
    assert checked[::2] == checked[1::2]
    assert set(checked) == {BCRYPT, APR1, SHA}


# -- parameters


def test_administrators_and_groups_are_arguments(path: Path) -> None:
    path.write_text(f"mira:{SHA}\nzoe:{SHA}\n")
    backend = Htpasswd(path, administrators=["mira"], groups={"red": ["mira", "zoe"], "blue": ["mira"]})
    assert backend.authenticate("mira", "correct horse") == User(
        "mira", frozenset({"red", "blue"}), is_administrator=True
    )
    assert backend.find("zoe") == User("zoe", frozenset({"red"}))


def test_url_names_path_and_administrators(tmp_path: Path) -> None:
    path = tmp_path / "list of users"
    path.write_text(f"mira:{SHA}\nzoe:{SHA}\n")
    backend = Htpasswd.from_url(f"htpasswd://{str(path).replace(' ', '%20')}?administrators=mira+root")
    assert backend.find("mira") == User("mira", is_administrator=True)
    assert backend.find("zoe") == User("zoe")


@pytest.mark.parametrize(
    "url",
    [
        "htpasswd:",
        "htpasswd:users",
        "htpasswd://users",
        "htpasswd://host/users",
        "file:///users",
        "htpasswd:///users#x",
        "htpasswd:///users?groups=x",
        "htpasswd:///users?administrators=a&administrator=b",
    ],
)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"htpasswd:///absolute/path, perhaps with"):
        Htpasswd.from_url(url)


def test_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path of an htpasswd file, not empty"):
        Htpasswd("")


@pytest.mark.parametrize("module", ["bcrypt", "passlib.hash"])
def test_error_for_a_missing_library_names_the_extra(
    module: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'v1registry\[htpasswd\]'"):
        Htpasswd(path)
