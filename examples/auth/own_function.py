"""Users of an application's own database: a function is all that it takes.

From the project's folder:

    python examples/auth/own_function.py
"""

import sqlite3

from v1registry.auth.callback import Callback
from v1registry.auth.passwords import Passwords

passwords = Passwords()
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE TABLE staff (name TEXT PRIMARY KEY, hash TEXT, team TEXT, has_left INTEGER)")
database.execute(
    "INSERT INTO staff VALUES (?, ?, ?, ?)", ("mira", passwords.hash("correct horse"), "tools", 0)
)
database.execute("INSERT INTO staff VALUES (?, ?, ?, ?)", ("zoe", passwords.hash("battery staple"), "web", 1))


def check(username, password):
    row = database.execute("SELECT hash, team, has_left FROM staff WHERE name = ?", [username]).fetchone()
    if row is None:
        passwords.waste(password)  # so that an unknown name takes as long as a wrong password
        return None
    stored, team, has_left = row
    return passwords.verify(stored, password) and {"groups": [team], "is_active": not has_left}


backend = Callback(check)
for username, password in [
    ("mira", "correct horse"),
    ("mira", "wrong"),
    ("zoe", "battery staple"),
    ("nobody", ""),
]:
    print(username, backend.authenticate(username, password) or "refused")
