"""Check a password against an htpasswd file. Changes of the file count at once.

From the project's folder; the password is asked for:

    htpasswd -B -c /etc/registry/users mira
    python examples/auth/htpasswd_file.py /etc/registry/users mira

The text of a setting for the same: htpasswd:///etc/registry/users?administrators=mira
"""

import getpass
import sys

from v1registry.auth.htpasswd import Htpasswd

path, username = sys.argv[1:]
backend = Htpasswd(path, administrators=["mira"], groups={"tools": ["mira", "zoe"]})
print(backend.authenticate(username, getpass.getpass()) or "refused")
