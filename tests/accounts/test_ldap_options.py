"""The options of an LDAP directory that need no server: invalid ones, and unprotected passwords."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.slapd import BASE

from v1registry.accounts.backends.ldap import Ldap, LdapOptions

WRONG_URLS = [
    "ldap:",
    "ldap://",
    "ldap:///dc=a",
    "http://h/dc=a",
    "ldapi://%2Frun%2Fldapi/dc=a",
    "ldap://h:x/dc=a",
    "ldap://h:99999/dc=a",
    "ldap://[::1/dc=a",
    "ldap://mira@h/dc=a",
    "ldap://h/dc=a?uid?sub?(x=y)?start_tls=yes?more",
    "ldap://h/dc=a????nonsense=1",
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="ldap://host:port/dc=example,dc=test"):
        Ldap.from_url(url)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", "a DN such as"),
        ("nonsense", "a DN such as"),
        ("dc=a?u*d", "name of an LDAP attribute"),
        ("dc=a?uid,cn", "name of an LDAP attribute"),
        ("dc=a?uid?tree", "base, one or sub"),
        ("dc=a?uid?sub?objectClass=person", "an LDAP filter such as"),
        ("dc=a?uid?sub?(a=b)(c=d)", "an LDAP filter such as"),
        ("dc=a?uid?sub?((a=b)", "an LDAP filter such as"),
        ("dc=a?uid?sub?(a=b))", "an LDAP filter such as"),
        ("dc=a????group_filter=cn=a", "an LDAP filter such as"),
        ("dc=a????group_base_dn=nonsense", "a DN such as"),
        ("dc=a????group_attribute=a b", "name of an LDAP attribute"),
        ("dc=a????group_name_attribute=", "name of an LDAP attribute"),
        ("dc=a????start_tls=maybe", "must be yes or no"),
        ("dc=a????timeout_s=soon", "must be a number"),
        ("dc=a????timeout_s=0", "timeout_s must be more than 0"),
        ("dc=a????timeout_s=nan", "timeout_s must be more than 0"),
        ("dc=a????pool_size=-1", "must be a whole number"),
        ("dc=a????remember_s=-1", "a time of 0 s or more"),
        ("dc=a????bind_dn=cn=a", "bind_dn needs bind_password"),
        ("dc=a????bind_password=a", "bind_dn needs bind_password"),
        ("dc=a????bind_dn=cn=a,bind_password=a,bind_password_file=/a", "exclude each other"),
    ],
)
def test_invalid_options_are_refused(rest: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Ldap.from_url(f"ldap://127.0.0.1/{rest}")


def test_start_tls_on_ldaps_is_refused() -> None:
    with pytest.raises(ValueError, match="TLS from the beginning"):
        Ldap(LdapOptions("ldaps://127.0.0.1", BASE, start_tls=True))


@pytest.mark.parametrize(
    ("make", "is_told"),
    [
        (lambda: Ldap(LdapOptions("ldap://ldap.example", BASE)), True),
        (lambda: Ldap(LdapOptions("ldap://192.0.2.1", BASE)), True),
        (lambda: Ldap(LdapOptions("ldap://127.0.0.1", BASE)), False),
        (lambda: Ldap(LdapOptions("ldap://[::1]", BASE)), False),
        (lambda: Ldap(LdapOptions("ldap://localhost", BASE)), False),
        (lambda: Ldap(LdapOptions("ldap://ldap.example", BASE, start_tls=True)), False),
        (lambda: Ldap(LdapOptions("ldaps://ldap.example", BASE)), False),
    ],
)
def test_unprotected_passwords_are_logged(
    make: Callable[[], Ldap], is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    make().close()
    assert ("unprotected" in caplog.text) == is_told
