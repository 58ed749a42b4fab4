"""An LDAP server that is down, hangs, was restarted, answers nonsense or is misconfigured; and the pool."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from unittest import mock

import pytest
from support.slapd import BASE, PEOPLE, READER, Slapd, ldap

from v1registry.accounts.backends.ldap import Ldap, LdapOptions
from v1registry.accounts.backends.ldap_server import LdapServer
from v1registry.accounts.backends.ldap_values import Deadline, Entry
from v1registry.accounts.base import BackendUnavailable
from v1registry.rights import User

pytestmark = pytest.mark.real

#: How much longer than its timeout a question may take here, in seconds: machines that test are busy.
SLACK_S = 10.0


# -- a server that is away


def test_stopped_server_is_unavailable_until_it_is_back(server: Slapd) -> None:
    with ldap(server) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")
        server.stop()
        for question in (
            lambda: backend.authenticate("mira", "correct horse"),
            lambda: backend.authenticate("mira", "wrong"),
            lambda: backend.find("mira"),
        ):
            with pytest.raises(
                BackendUnavailable, match=r"^The LDAP server cannot be reached, try again later$"
            ):
                question()
        server.start()
        assert backend.authenticate("mira", "correct horse") == User("mira")
        assert backend.authenticate("mira", "wrong") is None


def test_restart_between_two_questions_is_unnoticed(server: Slapd) -> None:
    with ldap(server) as backend:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: backend.find("mira"), range(32)))
        server.stop()
        server.start()
        assert backend.find("mira") == User("mira")
        assert backend.authenticate("mira", "correct horse") == User("mira")


@pytest.mark.parametrize("pool_size", [0, 4])
def test_hanging_server_is_unavailable_within_the_timeout(server: Slapd, pool_size: int) -> None:
    with ldap(server, timeout_s=1, pool_size=pool_size) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")
        server.hang()
        for question in (
            lambda: backend.authenticate("mira", "correct horse"),
            lambda: backend.find("mira"),
        ):
            begin = monotonic()
            with pytest.raises(
                BackendUnavailable, match=r"^The LDAP server does not answer, try again later$"
            ):
                question()
            assert 0.9 < monotonic() - begin < 1 + SLACK_S
        server.go_on()
        assert backend.authenticate("mira", "correct horse") == User("mira")


def test_server_that_hangs_before_the_bind_is_unavailable(server: Slapd) -> None:
    genuine = LdapServer.accepts

    def hang(*arguments: Any) -> bool:
        server.hang()
        return genuine(*arguments)

    with ldap(server, timeout_s=1) as backend:
        with (
            mock.patch.object(LdapServer, "accepts", autospec=True, side_effect=hang),
            pytest.raises(BackendUnavailable, match="does not answer"),
        ):
            backend.authenticate("mira", "correct horse")
        server.go_on()
        assert backend.authenticate("mira", "correct horse") == User("mira")


def test_stopped_server_is_unavailable_to_all_threads(server: Slapd) -> None:
    def ask(number: int) -> str:
        try:
            return str(backend.authenticate("mira", "correct horse" if number % 2 else f"wrong {number}"))
        except BackendUnavailable as error:
            return str(error)

    with ldap(server) as backend, ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(32))) == {str(User("mira")), "None"}
        server.stop()
        assert set(threads.map(ask, range(32))) == {"The LDAP server cannot be reached, try again later"}
        server.start()
        assert set(threads.map(ask, range(32))) == {str(User("mira")), "None"}


def test_host_without_an_address_is_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Ldap(LdapOptions("ldap://ldap.invalid", BASE)) as backend,
        pytest.raises(BackendUnavailable, match="cannot be reached"),
    ):
        backend.find("mira")
    assert "passwords are sent to the LDAP server ldap.invalid unprotected" in caplog.text


def test_second_address_is_tried_after_the_first(server: Slapd) -> None:
    genuine = socket.getaddrinfo

    def two_addresses(host: str, port: int, **options: Any) -> list[Any]:
        # as for "localhost": ::1 is an address on which no server listens
        return [*genuine("127.0.0.2", port, **options), *genuine("127.0.0.1", port, **options)]

    with mock.patch("socket.getaddrinfo", two_addresses), ldap(server) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")


# -- a server that answers something else


class Operation(bytes):
    """An answer to a request, put into a message with the id of the request."""

    def answering(self, request: bytes) -> bytes:
        message_id = request[2 : 4 + request[3]]
        return b"\x30" + bytes([len(message_id) + len(self)]) + message_id + self


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Listen, and answer each message of every connection with the next of ``answers``; then close. The
    URL.
    """

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                for answer in answers:
                    request = connection.recv(4096)
                    if not request:
                        break
                    connection.sendall(answer.answering(request) if isinstance(answer, Operation) else answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"ldap://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


#: The answer to a bind: success. Source: RFC 4511, 4.2.2.
_BOUND = Operation.fromhex("61070a010004000400")

ODD_ANSWERS = {
    "nothing": [],
    "HTTP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "zeros": [b"\x00" * 64],
    "ones": [b"\xff" * 64],
    "endless": [b"\x30\x84\x7f\xff\xff\xff" + b"\x02\x01\x01"],
    "no operation": [b"\x30\x03\x02\x01\x63"],
    "another id": [bytes.fromhex("300c020163") + _BOUND],
    "an unknown operation": [Operation.fromhex("7f010101")],
    "an unknown code": [Operation.fromhex("61070a016304000400")],
    "a bind and no more": [_BOUND],
    "an entry that is none": [_BOUND, Operation.fromhex("640100")],
    "an entry that is cut": [_BOUND, Operation.fromhex("6403040dff")],
    "a bind as answer to a search": [_BOUND, _BOUND],
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_non_ldap_server_is_reported_as_unreachable(name: str) -> None:
    with answering(*ODD_ANSWERS[name]) as url, Ldap(LdapOptions(url, BASE, timeout_s=1)) as backend:
        for question in (
            lambda: backend.authenticate("mira", "correct horse"),
            lambda: backend.find("mira"),
        ):
            with pytest.raises(BackendUnavailable, match="The LDAP server"):
                question()


def test_server_that_ends_during_a_bind_is_unavailable() -> None:
    entry = Entry(f"uid=mira,{PEOPLE}", {"uid": ["mira"]}, {"uid": [b"mira"]})
    with mock.patch.object(LdapServer, "search", return_value=[entry]):
        with answering(_BOUND) as url, Ldap(LdapOptions(url, BASE, timeout_s=1)) as backend:
            assert backend.authenticate("mira", "correct horse") == User("mira")
        with (
            answering() as url,
            Ldap(LdapOptions(url, BASE, timeout_s=1)) as backend,
            pytest.raises(BackendUnavailable),
        ):
            backend.authenticate("mira", "correct horse")


@pytest.mark.parametrize(
    "step",
    [
        "strategy.sync.SyncStrategy._start_listen",
        "core.connection.Connection.bind",
        "core.connection.Connection.search",
    ],
    ids=["opened", "bound", "searched"],
)
def test_interrupted_thread_leaves_no_connection(server: Slapd, step: str) -> None:
    with ldap(server) as backend:
        with (
            mock.patch(f"ldap3.{step}", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            backend.find("mira")
        assert server.connections() == 0
        assert backend.find("mira") == User("mira")


def test_idle_connection_is_not_used_again(server: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = LdapServer._bound
    with ldap(server) as backend:
        with mock.patch.object(LdapServer, "_bound", autospec=True, side_effect=genuine) as bound:
            for _ in range(3):
                assert backend.find("mira") == User("mira")
            assert bound.call_count == 1
            monkeypatch.setattr("v1registry.accounts.backends.ldap_server._IDLE_S", 0.0)
            assert backend.find("mira") == User("mira")
            assert bound.call_count == 2
        assert server.connections() == 1


# -- what the operator has to know


@pytest.mark.parametrize(
    ("options", "public", "logged"),
    [
        ({"bind_password": "wrong-secret"}, "refuses the registry's own login", "invalidCredentials"),
        ({"bind_dn": f"cn=lost,{BASE}"}, "refuses the registry's own login", "invalidCredentials"),
        ({"base_dn": f"ou=lost,{BASE}"}, "cannot look up users now", "noSuchObject"),
        ({"base_dn": "dc=other"}, "cannot look up users now", "noSuchObject"),
        ({"group_filter": "(cn=a)", "group_base_dn": "dc=other"}, "cannot look up users now", "noSuchObject"),
        ({"user_attribute": "description"}, "cannot look up users now", "may not be read"),
        (
            {"bind_password": "", "bind_password_file": "/lost/secret"},
            "refuses the registry's own",
            "/lost/secret",
        ),
    ],
)
def test_wrong_settings_are_logged(
    server: Slapd, options: dict[str, Any], public: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.set(f"uid=mira,{PEOPLE}", "description", "mira")  # it may be searched, not read
    with ldap(server, **options) as backend, pytest.raises(BackendUnavailable, match=public) as caught:
        backend.find("mira")
    assert logged in caplog.text
    assert logged not in str(caught.value)
    assert "secret" not in caplog.text.replace("/lost/secret", "")


def test_server_that_requires_tls_is_reported(server: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    server.add_person("anyone", "correct horse", below=f"ou=open,{BASE}")
    server.restart(["security simple_bind=56"])
    with Ldap(LdapOptions(server.url, f"ou=open,{BASE}")) as backend:
        assert backend.find("anyone") == User("anyone")
        with pytest.raises(BackendUnavailable, match="cannot check passwords now"):
            backend.authenticate("anyone", "correct horse")
    assert "confidentialityRequired" in caplog.text


def test_password_file_is_read_for_each_new_connection(server: Slapd, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    with ldap(server, bind_password="", bind_password_file=secret) as backend:
        with pytest.raises(BackendUnavailable):
            backend.find("mira")
        secret.write_text("reader-password\n")
        assert backend.find("mira") == User("mira")


# -- connections


def test_pool_keeps_connections_up_to_its_size(server: Slapd) -> None:
    with ldap(server, pool_size=2) as backend:
        assert server.connections() == 0, "nothing is opened before the first question"
        with ThreadPoolExecutor(8) as threads:
            answers = set(threads.map(lambda _: backend.authenticate("mira", "correct horse"), range(64)))
        assert answers == {User("mira")}
        assert 1 <= server.connections() <= 2
    assert server.connections() == 0
    assert backend.find("mira") == User("mira"), "a closed backend opens new ones"
    backend.close()
    assert server.connections() == 0


def test_pool_of_size_zero_keeps_no_connection(server: Slapd) -> None:
    with ldap(server, pool_size=0) as backend:
        assert backend.find("mira") == User("mira")
        assert server.connections() == 0


def test_deleted_backend_closes_its_connections(server: Slapd) -> None:
    backend = Ldap(LdapOptions(server.url, BASE, bind_dn=READER, bind_password="reader-password"))
    assert backend.find("mira") == User("mira")
    assert server.connections() == 1
    del backend
    assert server.connections() == 0


def test_bind_without_name_or_password_is_refused() -> None:
    server = LdapServer("127.0.0.1", 7, tls="", ca_file="", bind_dn="", bind_password=lambda: "", pool_size=0)
    for dn, password in ((f"uid=mira,{PEOPLE}", ""), ("", "correct horse")):
        with pytest.raises(ValueError, match="proves nothing"):
            server.accepts(dn, password, Deadline(1))
