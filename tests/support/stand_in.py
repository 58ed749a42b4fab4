"""The accounts and rights of the stand-in index of the recordings ``index-…``.

They are described in ``tests/data/transcripts/README.md``: alice and robert are active, idle is not, and
``robert/secret`` is private. A user may write to the user's own namespace and to ``library``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.cheap_passwords import CheapPasswords
from v1registry import Registry, Storage
from v1registry.access.policy import NamespacePolicy
from v1registry.accounts.users import UserStore
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action, User

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SECRET = RepositoryName("robert", "secret")


def registry_with_accounts(storage: Storage, v2: str = "on") -> WSGIApplication:
    """Return a registry with these accounts over an empty ``storage``.

    A custom policy grants ``library``. Administrators may write there too, but would see ``robert/secret``.

    :param v2: the setting of that name.
    """
    users = UserStore(storage, passwords=CheapPasswords())
    users.create("alice", "wonder", "alice@example.com")
    users.create("robert", "builder", "robert@example.com")
    users.create("idle", "idle123", "idle@example.com", is_active=False)
    repositories = Repositories(storage)
    repositories.announce(SECRET, b"[]", [])
    repositories.set_private(SECRET, True)
    rules = NamespacePolicy(repositories)

    def allows(user: User | None, action: Action, namespace: str, repository: str) -> bool:
        if user is not None and namespace == "library":
            return True
        return rules.allows(user, action, namespace, repository)

    return Registry(storage, auth=users, policy=allows, v2=v2)
