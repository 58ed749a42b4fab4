"""Users that a function of the application knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...clock import SYSTEM_CLOCK, Clock
from ...log import get_logger
from ...rights import User
from ..base import Backend, BackendUnavailable, NotSupported
from ..passwords import PasswordMemory

log = get_logger(__name__)

#: What a callback may return.
Answer = bool | User | Mapping[str, Any] | None


class Callback(Backend):
    """Asks a function whether a password is right. As safe for threads as the function.

    :param fn: ``fn(username, password)`` returns

        * True; or False or None to refuse the login,
        * a :class:`~v1registry.rights.User`, or
        * a mapping with any of ``name``, ``id`` (text), ``groups`` (texts), ``is_active`` and
          ``is_administrator`` (booleans).

        Any other value refuses the login. It is not called with an empty password. Whatever it raises becomes
        BackendUnavailable, with the exception as the cause.
    :param find: ``find(username)`` returns the same without a password. Without it the backend cannot look up
        users (NotSupported).
    :param has_ids: whether what ``find`` returns has the user's ``id``. OAuth needs that.
    :param ttl_s: how long a right password is remembered, in seconds; 0 for not at all. A changed password
        and a disabled user count that much later.
    :raises TypeError: one of the functions cannot be called.
    :raises ValueError: there are ids and no function ``find``.

    >>> backend = Callback(lambda username, password: (username, password) == ("mira", "correct horse"))
    >>> backend.authenticate("mira", "correct horse")
    User(name='mira', groups=frozenset(), is_active=True, is_administrator=False)
    """

    def __init__(
        self,
        fn: Callable[[str, str], Answer],
        *,
        find: Callable[[str], Answer] | None = None,
        has_ids: bool = False,
        ttl_s: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not callable(fn) or not (find is None or callable(find)):
            raise TypeError(f"must be a function of user name and password, not {type(fn).__name__}")
        self._fn = fn
        if has_ids and find is None:
            raise ValueError("has_ids needs find, a function that returns the user of a name")
        self._find = find
        self._has_ids = has_ids
        self._memory: PasswordMemory[User] = PasswordMemory(ttl_s, clock=clock)

    @property
    def can_find(self) -> bool:
        """Whether there is a function ``find``."""
        return self._find is not None

    @property
    def has_ids(self) -> bool:
        """Whether the users that ``find`` returns have ids."""
        return self._has_ids

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user of the function's answer; see the base class."""
        if not password:
            return None
        return self._memory.get(
            username, password, "", lambda: _asked(username, lambda: self._fn(username, password))
        )

    def find(self, username: str) -> User | None:
        """Return the user that the function ``find`` returns.

        :raises NotSupported: there is no such function.
        :raises BackendUnavailable: the function failed.
        """
        find = self._find
        if find is None:
            raise NotSupported("The callback has no function find, so it cannot look up users by name")
        return _asked(username, lambda: find(username))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self._fn, '__qualname__', type(self._fn).__name__)})"


def _asked(username: str, ask: Callable[[], Answer]) -> User | None:
    """Return the user of an answer.

    :raises BackendUnavailable: the function raised an exception, or returned an invalid value.
    """
    try:
        return _user(username, ask())
    except BackendUnavailable:
        raise
    except Exception as error:
        # its text may contain anything, the password too
        log.error("the callback failed: %s", type(error).__name__)
        raise BackendUnavailable("Users cannot be checked now, try again later") from error


def _user(username: str, answer: Answer) -> User | None:
    if answer is None or answer is False:
        return None
    if answer is True:
        return User(username)
    if isinstance(answer, User):
        return answer
    if not isinstance(answer, Mapping):
        raise TypeError(
            f"a callback must return True, False, None, a User or a mapping, not {type(answer).__name__}"
        )
    fields = {
        "name": username,
        "groups": (),
        "is_active": True,
        "is_administrator": False,
        "id": "",
        **answer,
    }
    groups = [] if isinstance(fields["groups"], str) else list(fields["groups"])
    if (
        len(fields) != 5
        or isinstance(fields["groups"], str)
        or not all(isinstance(text, str) for text in [fields["name"], fields["id"], *groups])
        or not all(isinstance(fields[name], bool) for name in ("is_active", "is_administrator"))
    ):
        raise TypeError(
            "a callback's mapping must contain name and id (text), groups (several texts), is_active and "
            "is_administrator (True or False), and nothing else"
        )
    return User(
        fields["name"], frozenset(groups), fields["is_active"], fields["is_administrator"], fields["id"]
    )
