"""Users of an LDAP directory, whose groups are namespaces.

From the project's folder:

    LDAP_URL=ldap://127.0.0.1 LDAP_BASE=ou=people,dc=example,dc=test \
        V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth \
        gunicorn --threads 64 --bind 127.0.0.1:5000 ldap_directory

The text of a setting for the same, with TLS and an entry that searches:

    ldap://ldap.example.test/ou=people,dc=example,dc=test?uid?sub?(objectClass=person)?start_tls=yes,
    bind_dn=cn=reader%2Cdc=example%2Cdc=test,bind_password_file=/etc/registry/ldap,administrators=admins
"""

import os

from v1registry import Registry
from v1registry.accounts import Ldap, LdapOptions

users = Ldap(
    LdapOptions(os.environ["LDAP_URL"], os.environ["LDAP_BASE"], administrators="admins", timeout_s=3)
)
application = Registry(storage=os.environ["V1REGISTRY_STORAGE"], auth=users)
