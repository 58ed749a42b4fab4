"""Marks of accounts: what tells a user from somebody else who has the same name later, where no id does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..accounts.base import Account, NamedAccount
from ..accounts.profiles import state_of
from ..signing import Signers

_PURPOSE = "v1registry oauth account"


class AccountMarks:
    """Makes and checks marks of accounts whose backend keeps names and passwords alone.

    Such an account is the same one as long as its password is: another line in a file of passwords may be another person's. A mark is
    keyed, because an old kind of hash could be guessed from a plain hash of it. Accounts with an id of their own need none.

    :param keys: gives the secrets, the newest last; it makes marks, all check them. Asked at the first use.
    """

    def __init__(self, keys: Callable[[], Sequence[str]]):
        self._signers = Signers(keys)

    def of(self, account: Account) -> str:
        """Return the mark of an account, empty where nothing is known by which it could be told from a later one."""
        if not isinstance(account, NamedAccount) or not account.password_mark:
            return ""
        return self._signers.of(_PURPOSE).get_signature(state_of(account)).decode("ascii")

    def is_of(self, mark: str, account: Account) -> bool:
        """Tell whether :meth:`of` gave this mark for the account, with whatever key."""
        if not isinstance(account, NamedAccount) or not account.password_mark:
            return not mark
        return bool(mark) and self._signers.of(_PURPOSE).verify_signature(state_of(account), mark)
