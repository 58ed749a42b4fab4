"""Check a password against an LDAP directory, whose groups are namespaces.

From the project's folder; the password is asked for:

    python examples/auth/ldap_directory.py ldap://127.0.0.1 ou=people,dc=example,dc=test mira

The text of a setting for the same, with TLS and somebody who searches:

    ldap://ldap.example.test/ou=people,dc=example,dc=test?uid?sub?(objectClass=person)?start_tls=yes,
    bind_dn=cn=reader%2Cdc=example%2Cdc=test,bind_password_file=/etc/registry/ldap,administrators=admins
"""

import getpass
import sys

from v1registry.auth.base import BackendUnavailable
from v1registry.auth.ldap import Ldap

url, base_dn, username = sys.argv[1:]
with Ldap(url, base_dn, administrators="admins", timeout_s=3) as backend:
    try:
        print(backend.authenticate(username, getpass.getpass()) or "refused")
    except BackendUnavailable as error:
        sys.exit(str(error))
