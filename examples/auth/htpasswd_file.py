"""Users of an htpasswd file, such as Apache's. Changes of the file count at once.

From the project's folder:

    htpasswd -B -c /etc/registry/users mira

    HTPASSWD=/etc/registry/users V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth \
        gunicorn --threads 64 --bind 127.0.0.1:5000 htpasswd_file

The text of a setting for the same, without groups: htpasswd:///etc/registry/users?administrators=mira
"""

import os

from v1registry import Registry
from v1registry.accounts import Htpasswd

users = Htpasswd(os.environ["HTPASSWD"], administrators=["mira"], groups={"tools": ["mira", "zoe"]})
application = Registry(storage=os.environ["V1REGISTRY_STORAGE"], auth=users)
