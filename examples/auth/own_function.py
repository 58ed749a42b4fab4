"""Users of an application's own database, by a function.

From the project's folder:

    V1REGISTRY_STORAGE=file:///srv/registry PYTHONPATH=examples/auth \
        gunicorn --threads 64 --bind 127.0.0.1:5000 own_function
"""

import os
import sqlite3

from v1registry import Registry
from v1registry.accounts import Callback, Passwords

passwords = Passwords()
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE TABLE staff (name TEXT PRIMARY KEY, hash TEXT, team TEXT, has_left INTEGER)")
for name, password, team, has_left in [
    ("mira", "correct horse", "tools", 0),
    ("zoe", "battery staple", "web", 1),
]:
    database.execute(
        "INSERT INTO staff VALUES (?, ?, ?, ?)", (name, passwords.hash(password), team, has_left)
    )


def check(username, password):
    """Return the user; None or False refuses the login."""
    row = database.execute("SELECT hash FROM staff WHERE name = ?", [username]).fetchone()
    if row is None:
        passwords.waste(password)  # an unknown name takes as long as a wrong password
        return None
    return passwords.verify(row[0], password) and find(username)


def find(username):
    """Return the user without a password, so that the tokens of deleted users end."""
    row = database.execute("SELECT team, has_left FROM staff WHERE name = ?", [username]).fetchone()
    return row and {"groups": [row[0]], "is_active": not row[1]}


application = Registry(storage=os.environ["V1REGISTRY_STORAGE"], auth=Callback(check, find=find))
