"""Users of an LDAP directory, over a real slapd."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from unittest import mock
from uuid import UUID

import pytest
from support.slapd import ADMIN, BASE, GROUPS, PEOPLE, READER, Slapd, ldap
from v1registry_fakes.contracts import LookupContract

from v1registry.accounts.backends.ldap import Ldap, LdapOptions
from v1registry.accounts.backends.ldap_server import LdapServer
from v1registry.accounts.base import BackendUnavailable
from v1registry.rights import User

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A server that tests only read."""
    with Slapd(tmp_path_factory.mktemp("slapd")) as server:
        server.fill()
        mira = server.add_person("mira", "correct horse")
        bob = server.add_person("bob(x)*", "b:o b é")
        server.add_person("without", "")
        server.add_person("twin", "one password")
        server.add_person("twin", "one password", below=f"ou=more,{PEOPLE}")
        server.add_person("deep", "correct horse", below=f"ou=more,{PEOPLE}")
        server.add_person("anyone", "correct horse", below=f"ou=open,{BASE}")
        # two values: the name is the one that was asked for
        server.add(
            f"cn=Zoe,{PEOPLE}",
            "inetOrgPerson",
            uid=["zoe", "zoe_k"],
            cn="Zoe",
            sn="Z",
            userPassword=b"correct horse",
        )
        server.add_group("Pushers", mira, bob)
        server.add_group("admins", mira)
        server.add(f"ou=elsewhere,{BASE}", "organizationalUnit", ou="elsewhere")
        many = server.add_person("many", "correct horse")
        server.add(f"cn=multi+ou=parts,{GROUPS}", "groupOfNames", cn="multi", ou="parts", member=many)
        server.add_group("library", mira, below=f"ou=elsewhere,{BASE}")
        server.add_group("a, b+c", bob, dn=rf"cn=a\2C b\2Bc,{GROUPS}")
        server.add(
            f"cn=posix,{GROUPS}", "posixGroup", cn="posix", gidNumber="7", memberUid=["bob(x)*", "mira"]
        )
        yield server


class TestLdap(LookupContract):
    @pytest.fixture
    def backend(self, shared: Slapd) -> Iterator[Ldap]:
        with ldap(shared) as backend:
            yield backend


class TestLdapThatRemembers(LookupContract):
    @pytest.fixture
    def backend(self, shared: Slapd) -> Iterator[Ldap]:
        with ldap(shared, remember_s=30, group_filter="(member={dn})", pool_size=0) as backend:
            yield backend


class TestLdapWithoutIds(LookupContract):
    @pytest.fixture
    def backend(self, shared: Slapd) -> Iterator[Ldap]:
        with ldap(shared, id_attribute="") as backend:
            yield backend


# -- ids


def test_id_is_that_of_the_entry_and_of_no_other(shared: Slapd) -> None:
    with ldap(shared) as backend:
        ids = [user.id for name in ("mira", "deep") if (user := backend.find(name)) is not None]
    assert len(set(ids)) == 2
    assert all(UUID(text).version for text in ids)


def test_id_attribute_can_be_a_different_one(shared: Slapd) -> None:
    with ldap(shared, id_attribute="sn") as backend:
        user = backend.find("mira")
    assert user is not None
    assert user.id == "mira"


def test_entry_without_the_id_attribute_has_no_id_and_is_logged_once(
    shared: Slapd, caplog: pytest.LogCaptureFixture
) -> None:
    with ldap(shared, id_attribute="mail") as backend:
        users = [backend.find("mira"), backend.authenticate("mira", "correct horse")]
    assert [user.id for user in users if user is not None] == ["", ""]
    assert caplog.text.count("has no attribute mail") == 1


# -- users


def test_filter_characters_in_names_are_escaped(shared: Slapd) -> None:
    with ldap(shared, group_attribute="") as backend:
        assert backend.authenticate("bob(x)*", "b:o b é") == User("bob(x)*")
        assert backend.find("bob(x)*") == User("bob(x)*")
        for username in ("*", "bob*", "bob(x)", "mira)(uid=*", "bob(x)\\2a", "m*", "(uid=mira)", "\\6dira"):
            assert backend.authenticate(username, "b:o b é") is None
            assert backend.authenticate(username, "correct horse") is None
            assert backend.find(username) is None


@pytest.mark.parametrize("typed", ["MIRA", "Mira", " mira ", "mIRa"])
def test_name_is_that_of_the_entry(shared: Slapd, typed: str) -> None:
    with ldap(shared, group_attribute="") as backend:
        assert backend.authenticate(typed, "correct horse") == User("mira")
        assert backend.find(typed) == User("mira")


def test_requested_name_of_several_names_counts(shared: Slapd) -> None:
    with ldap(shared) as backend:
        assert backend.authenticate("zoe_k", "correct horse") == User("zoe_k")
        assert backend.authenticate("ZOE_K", "correct horse") == User("zoe_k")
        assert backend.authenticate("zoe", "correct horse") == User("zoe")


def test_name_of_two_entries_is_refused(shared: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    with ldap(shared) as backend:
        assert backend.authenticate("twin", "one password") is None
        assert backend.find("twin") is None
    assert "several entries" in caplog.text
    with ldap(shared, base_dn=PEOPLE, scope="one") as backend:
        assert backend.authenticate("twin", "one password") == User("twin")


def test_scope_limits_the_search(shared: Slapd) -> None:
    for scope, is_found in (("sub", True), ("one", False), ("base", False)):
        with ldap(shared, base_dn=PEOPLE, scope=scope) as backend:
            assert (backend.authenticate("deep", "correct horse") is not None) == is_found
    with ldap(shared, base_dn=f"uid=mira,{PEOPLE}", scope="base", group_attribute="") as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")


def test_filter_limits_the_users(shared: Slapd) -> None:
    with ldap(shared, user_filter="(&(objectClass=person)(!(sn=mira)))") as backend:
        assert backend.authenticate("mira", "correct horse") is None
        assert backend.authenticate("deep", "correct horse") == User("deep")


def test_user_attribute_can_be_a_different_one(shared: Slapd) -> None:
    with ldap(shared, user_attribute="CN") as backend:
        assert backend.authenticate("zoe", "correct horse") == User("Zoe")


def test_entry_without_a_password_cannot_log_in(shared: Slapd) -> None:
    with ldap(shared) as backend:
        assert backend.find("without") == User("without")
        for password in ("", "x", "without"):
            assert backend.authenticate("without", password) is None


def test_search_can_be_anonymous(shared: Slapd) -> None:
    with Ldap(LdapOptions(shared.url, f"ou=open,{BASE}")) as backend:
        assert backend.authenticate("anyone", "correct horse") == User("anyone")
        assert backend.authenticate("anyone", "wrong") is None


# -- passwords


def test_empty_password_is_refused_although_the_server_accepts_it(shared: Slapd) -> None:
    assert _bind_without_password(shared, f"uid=mira,{PEOPLE}") == 0, "the server says it is a success"
    with ldap(shared) as backend:
        with mock.patch.object(LdapServer, "accepts") as accepts:
            assert backend.authenticate("mira", "") is None
            assert backend.authenticate("nobody", "") is None
        accepts.assert_not_called()


def _bind_without_password(server: Slapd, dn: str) -> int:
    """Return the result code of a simple bind with an empty password. Source: RFC 4511, 4.2."""
    name = dn.encode()
    body = b"\x02\x01\x03\x04" + bytes([len(name)]) + name + b"\x80\x00"
    message = b"\x02\x01\x01\x60" + bytes([len(body)]) + body
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(b"\x30" + bytes([len(message)]) + message)
        # message id 1, then a bind response that begins with its result code
        answer = connection.recv(1000)
    assert answer[2:6] == b"\x02\x01\x01\x61"
    return answer[9]


def test_passwords_are_compared_as_typed(server: Slapd) -> None:
    server.add_person("soft", "pass\xadword ½")
    with ldap(server) as backend:
        assert backend.authenticate("soft", "pass\xadword ½") == User("soft")
        # what the preparation of RFC 4013 makes of it
        assert backend.authenticate("soft", "password 1⁄2") is None


def test_wrong_password_and_unknown_name_ask_the_same(shared: Slapd) -> None:
    genuine_search, genuine_accepts = LdapServer.search, LdapServer.accepts
    with ldap(shared) as backend:
        for username in ("mira", "nobody", "without", "twin", "*", ""):
            with (
                mock.patch.object(LdapServer, "search", autospec=True, side_effect=genuine_search) as search,
                mock.patch.object(
                    LdapServer, "accepts", autospec=True, side_effect=genuine_accepts
                ) as accepts,
            ):
                assert backend.authenticate(username, "wrong") is None
            assert (search.call_count, accepts.call_count) == (1, 1), username


def test_password_of_another_user_does_not_log_in_an_unknown_name(shared: Slapd) -> None:
    with ldap(shared) as backend:
        for username in ("nobody", "twin"):
            assert backend.authenticate(username, "correct horse") is None


def test_changed_password_and_deleted_user_count_at_once(server: Slapd) -> None:
    with ldap(server) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")
        server.set(f"uid=mira,{PEOPLE}", "userPassword", "battery staple")
        assert backend.authenticate("mira", "correct horse") is None
        assert backend.authenticate("mira", "battery staple") == User("mira")
        server.delete(f"uid=mira,{PEOPLE}")
        assert backend.authenticate("mira", "battery staple") is None
        assert backend.find("mira") is None


def test_right_password_is_remembered_if_configured(server: Slapd) -> None:
    with ldap(server, remember_s=30) as backend:
        assert backend.authenticate("mira", "correct horse") == User("mira")
        server.stop()
        assert {backend.authenticate("mira", "correct horse") for _ in range(62)} == {User("mira")}
        with pytest.raises(BackendUnavailable):
            backend.authenticate("mira", "wrong")


# -- groups


def test_groups_are_read_from_member_of_in_lower_case(shared: Slapd) -> None:
    with ldap(shared, administrators="Admins") as backend:
        mira = User("mira", frozenset({"pushers", "admins", "library"}), is_administrator=True)
        assert backend.authenticate("mira", "correct horse") == backend.find("mira") == mira
        assert backend.find("bob(x)*") == User("bob(x)*", frozenset({"pushers", "a, b+c"}))
        assert backend.find("deep") == User("deep")


def test_group_dn_with_several_parts_gives_the_named_one(shared: Slapd) -> None:
    for attribute, name in (("cn", "multi"), ("ou", "parts")):
        with ldap(shared, group_name_attribute=attribute) as backend:
            assert backend.find("many") == User("many", frozenset({name}))


def test_groups_outside_of_their_base_do_not_count(shared: Slapd) -> None:
    with ldap(shared, group_base_dn=GROUPS.upper()) as backend:
        assert backend.find("mira") == User("mira", frozenset({"pushers", "admins"}))


def test_group_name_attribute_can_be_a_different_one(shared: Slapd) -> None:
    with ldap(shared, group_name_attribute="ou") as backend:
        assert backend.find("mira") == User("mira")
    with ldap(shared, group_name_attribute="CN") as backend:
        assert backend.find("deep") == User("deep")
        assert backend.find("mira") == User("mira", frozenset({"pushers", "admins", "library"}))


@pytest.mark.parametrize(
    ("group_filter", "username", "groups"),
    [
        ("(&(objectClass=groupOfNames)(member={dn}))", "mira", {"pushers", "admins"}),
        ("(&(objectClass=groupOfNames)(member={dn}))", "bob(x)*", {"pushers", "a, b+c"}),
        ("(&(objectClass=posixGroup)(memberUid={username}))", "bob(x)*", {"posix"}),
        ("(&(objectClass=posixGroup)(memberUid={username}))", "MIRA", {"posix"}),
        ("(|(member={dn})(memberUid={username}))", "mira", {"pushers", "admins", "posix"}),
        ("(|(member={dn})(memberUid={username}))", "deep", set()),
    ],
)
def test_groups_can_be_searched(shared: Slapd, group_filter: str, username: str, groups: set[str]) -> None:
    with ldap(shared, group_filter=group_filter, group_base_dn=GROUPS) as backend:
        user = backend.find(username)
        assert user is not None
        assert user.groups == groups


def test_group_search_begins_at_the_base_by_default(shared: Slapd) -> None:
    with ldap(shared, group_filter="(member={dn})", administrators="library") as backend:
        user = backend.find("mira")
        assert user == User("mira", frozenset({"pushers", "admins", "library"}), is_administrator=True)


# -- parameters


def test_url_contains_every_option(shared: Slapd) -> None:
    url = (
        f"{shared.url}/{PEOPLE}?uid?one?(objectClass=person)?bind_dn={READER.replace(',', '%2C')},"
        f"bind_password=reader-password,group_base_dn={GROUPS.replace(',', '%2C')},administrators=admins,"
        "timeout_s=2.5,pool_size=1,remember_s=0,start_tls=no,group_attribute=memberOf,group_name_attribute=cn"
    )
    with Ldap.from_url(url) as backend:
        mira = User("mira", frozenset({"pushers", "admins"}), is_administrator=True)
        assert backend.authenticate("mira", "correct horse") == mira
        assert backend.find("deep") is None, "it is not directly below the base"
        assert "reader-password" not in repr(backend)
    with Ldap.from_url(url, scope="sub", administrators="pushers") as backend:
        assert backend.find("deep") == User("deep"), "keywords go before the URL"


def test_url_needs_host_and_base_only(shared: Slapd) -> None:
    with Ldap.from_url(f"{shared.url}/ou=open,{BASE}") as backend:
        assert backend.find("anyone") == User("anyone")


def test_base_with_odd_characters_is_percent_encoded(server: Slapd) -> None:
    server.add(rf"ou=a\,b?c,{BASE}", "organizationalUnit", ou="a,b?c")
    server.add_person("odd", "correct horse", below=rf"ou=a\,b?c,{BASE}")
    login = {"bind_dn": ADMIN, "bind_password": "admin-password"}
    with Ldap.from_url(rf"{server.url}/ou=a%5C,b%3Fc,{BASE}??sub", **login) as backend:
        assert backend.authenticate("odd", "correct horse") == User("odd")
