"""Make and change accounts that are kept beside the images, in the registry's own storage.

From the project's folder; the password is asked for:

    python examples/auth/accounts.py file:///srv/data add mira mira@example.org
    python examples/auth/accounts.py file:///srv/data password mira
    python examples/auth/accounts.py file:///srv/data administrator mira
    python examples/auth/accounts.py file:///srv/data list
"""

import getpass
import sys

from v1registry.auth.users import UserStore
from v1registry.settings import open_storage

place, command, *arguments = sys.argv[1:]
store = UserStore(open_storage(place))

if command == "add":
    username, email = arguments
    store.create(username, getpass.getpass(), email)
elif command == "password":
    store.set_password(arguments[0], getpass.getpass())
elif command == "administrator":
    store.set_administrator(arguments[0], True)

for user in store.users():
    print(user.name, *sorted(user.groups), "(administrator)" if user.is_administrator else "")
