"""Accounts in the storage of the registry, beside the images. Users register by ``docker login``.

``auth="users:"`` means the same, and ``v1registry user add`` creates accounts too. Here code creates the
first one, an administrator. From the project's folder:

    ROOT_PASSWORD="correct horse" V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth \
        gunicorn --threads 64 --bind 127.0.0.1:5000 accounts
"""

import os
from contextlib import suppress

from v1registry import Registry
from v1registry.accounts import AccountExists, UserStore
from v1registry.openers import open_storage

storage = open_storage(os.environ["V1REGISTRY_STORAGE"])
users = UserStore(storage)
with suppress(AccountExists):  # from an earlier start, or in another process; its password stays what it is
    users.create("root", os.environ["ROOT_PASSWORD"], is_administrator=True)

application = Registry(storage=storage, auth=users)
