"""Accounts in a folder that several real processes share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.worker_processes import started_workers

from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.filesystem import FileStorage

#: Does what each line of its standard input says, over the folder that it was given, and answers with a line.
WORKER = """
import sys
from v1registry.accounts.base import AccountExists, EmailRefused
from v1registry.accounts.users import UserStore
from v1registry.storage.filesystem import FileStorage

store = UserStore(FileStorage(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    method, *arguments = line.split()
    try:
        answer = getattr(store, method)(*arguments)
    except (AccountExists, EmailRefused) as error:
        answer = type(error).__name__
    print(answer, flush=True)
"""


workers = partial(started_workers, WORKER)


@pytest.fixture
def store(tmp_path: Path) -> UserStore:
    return UserStore(FileStorage(tmp_path / "data"))


@pytest.mark.real
def test_one_of_20_processes_creates_a_name(tmp_path: Path, store: UserStore) -> None:
    with workers(20, tmp_path) as processes:
        for number, process in enumerate(processes):
            process.send("create", "mira", f"password-{number}", f"{number}@example.org")
        answers = [process.receive() for process in processes]
    made = [number for number, answer in enumerate(answers) if answer != "AccountExists"]
    assert len(made) == 1, answers
    assert list(store.users()) == [User("mira")]
    right = [number for number in range(20) if store.authenticate("mira", f"password-{number}")]
    assert right == made
    assert [email.email for email in store.emails("mira")] == [f"{made[0]}@example.org"]
    # what the others wanted is free
    store.create("other", "correct horse", f"{(made[0] + 1) % 20}@example.org")


@pytest.mark.real
def test_one_of_8_processes_gets_an_address(tmp_path: Path, store: UserStore) -> None:
    with workers(8, tmp_path) as processes:
        for number, process in enumerate(processes):
            process.send("create", f"user_{number}", "correct-horse", "one@example.org")
        answers = [process.receive() for process in processes]
    made = [number for number, answer in enumerate(answers) if answer != "AccountExists"]
    assert len(made) == 1, answers
    assert [user.name for user in store.users()] == [f"user_{made[0]}"]
    assert store.confirm_email(f"user_{made[0]}", "one@example.org")


@pytest.mark.real
def test_changed_password_is_refused_by_other_processes_at_once(tmp_path: Path, store: UserStore) -> None:
    store.create("mira", "correct-horse")
    with workers(1, tmp_path) as (other,):
        assert other.ask("authenticate", "mira", "correct-horse") == str(User("mira"))
        assert other.ask("authenticate", "mira", "correct-horse") == str(User("mira")), "it remembers"
        store.set_password("mira", "battery-staple")
        assert other.ask("authenticate", "mira", "correct-horse") == "None"
        assert other.ask("authenticate", "mira", "battery-staple") == str(User("mira"))
        assert other.ask("set_password", "mira", "third-one") == "None"
        assert store.authenticate("mira", "battery-staple") is None
        assert store.authenticate("mira", "third-one") == User("mira")


@pytest.mark.real
def test_deleted_or_disabled_user_is_so_in_other_processes(tmp_path: Path, store: UserStore) -> None:
    store.create("mira", "correct-horse")
    with workers(1, tmp_path) as (other,):
        assert other.ask("find", "mira") == str(User("mira"))
        store.set_active("mira", False)
        assert other.ask("authenticate", "mira", "correct-horse") == str(User("mira", is_active=False))
        store.delete("mira")
        assert other.ask("find", "mira") == "None"
        assert other.ask("authenticate", "mira", "correct-horse") == "None"


@pytest.mark.real
def test_OAU_023_one_address_is_primary_whatever_8_processes_do(tmp_path: Path, store: UserStore) -> None:
    emails = [f"{number}@example.org" for number in range(8)]
    store.create("mira", "correct-horse", emails[0])
    for email in emails[1:]:
        store.add_email("mira", email)
        store.confirm_email("mira", email)
    answers = set()
    with workers(8, tmp_path) as processes:
        for turn in range(10):
            for number, process in enumerate(processes):
                method = "remove_email" if number == turn % 8 else "set_primary_email"
                process.send(method, "mira", emails[(number + turn) % 8])
            answers |= {process.receive() for process in processes}
            listed = store.emails("mira")
            assert [email.primary for email in listed].count(True) == 1
            for email in set(emails) - {email.email for email in listed}:
                store.add_email("mira", email)
                store.confirm_email("mira", email)
    assert answers <= {"True", "False", "EmailRefused"}
    assert "True" in answers


@pytest.mark.real
def test_address_that_8_processes_add_and_remove_has_one_owner(tmp_path: Path, store: UserStore) -> None:
    for number in range(8):
        store.create(f"user_{number}", "correct-horse", f"{number}@example.org")
    with workers(8, tmp_path) as processes:
        for turn in range(20):
            method = "remove_email" if turn % 2 else "add_email"
            for number, process in enumerate(processes):
                process.send(method, f"user_{number}", "one@example.org")
            answers = [process.receive() for process in processes]
            assert answers.count("True") == 1, answers
            owners = [number for number in range(8) if len(store.emails(f"user_{number}")) == 2]
            assert len(owners) == (0 if turn % 2 else 1)
            assert store.is_taken("third", "one@example.org") == (not turn % 2)
