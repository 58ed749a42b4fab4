"""Several backends as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ...rights import User
from ..base import Account, AccountExists, Backend, BackendUnavailable, NotSupported, UnknownUser


class BackendChain(Backend):
    """Asks several backends in order. The first one that knows a user name decides about that user.

    * The first backend that accepts name and password logs the user in, unless an earlier backend knows that
      name: the name is that backend's user, with a different password. So an account of the same name in a
      later backend does not become the same user. A backend that cannot look up names counts as not knowing
      the name.
    * An unavailable backend is skipped, so that emergency accounts of another backend can log in. If no
      backend logs the user in and one was unavailable, BackendUnavailable is raised.
    * A refusal asks every backend, so its duration does not tell which backend knows the name.
    * Accounts are created and changed in the first backend with the flag ``can_create``. Names that another
      backend knows are taken. While another backend is unavailable no account is created.

    Safe for threads if its backends are.

    :param backends: in the order in which they are asked, at least one.
    :raises ValueError: there are no backends.
    :raises TypeError: one of them is not a Backend.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        if not backends:
            raise ValueError("a chain must have at least one backend")
        for backend in backends:
            if not isinstance(backend, Backend):
                raise TypeError(
                    f"a chain must consist of v1registry.accounts.Backend, not {type(backend).__name__}"
                )
        self.backends = tuple(backends)
        #: the backend in which accounts are created and changed, if any
        self.creating = next((backend for backend in backends if backend.can_create), None)

    # -- what it can do

    @property
    def takes_passwords(self) -> bool:
        """Whether one of the backends does."""
        return any(backend.takes_passwords for backend in self.backends)

    @property
    def reads_environ(self) -> bool:
        """Whether one of the backends does."""
        return any(backend.reads_environ for backend in self.backends)

    @property
    def can_find(self) -> bool:
        """Whether every backend can. If not, :meth:`find` may raise NotSupported for unknown names."""
        return all(backend.can_find for backend in self.backends)

    @property
    def has_ids(self) -> bool:
        """Whether the users of one of the backends have ids. A user without one cannot use OAuth."""
        return any(backend.has_ids for backend in self.backends)

    @property
    def can_create(self) -> bool:
        """Whether one of the backends can."""
        return self.creating is not None

    @property
    def can_confirm(self) -> bool:
        """Whether the backend can in which accounts are created."""
        return self.creating is not None and self.creating.can_confirm

    def problems(self, *, asks_servers: bool = True) -> list[str]:
        """Return those of all backends; see the base class."""
        return [text for backend in self.backends for text in backend.problems(asks_servers=asks_servers)]

    @property
    def has_profiles(self) -> bool:
        """Whether the backend has in which accounts are created."""
        return self.creating is not None and self.creating.has_profiles

    # -- who is asking

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the class.

        :raises BackendUnavailable: no backend logs the user in, and one of them cannot answer now.
        """
        refusing: list[Backend] = []
        unavailable: BackendUnavailable | None = None
        for backend in self.backends:
            try:
                user = backend.authenticate(username, password)
            except BackendUnavailable as error:
                unavailable = unavailable or error
                continue
            if user is not None and not any(_knows(earlier, username) for earlier in refusing):
                return user
            refusing.append(backend)
        if unavailable is not None:
            raise unavailable
        return None

    def user_of_request(self, environ: Mapping[str, object]) -> User | None:
        """Return the user whom the first backend finds in a WSGI environ.

        :raises BackendUnavailable: a backend that is asked before cannot answer now.
        """
        for backend in self.backends:
            user = backend.user_of_request(environ)
            if user is not None:
                return user
        return None

    # -- what is known of users

    def find(self, username: str) -> User | None:
        """Return the user of the first backend that knows the name.

        :raises BackendUnavailable: no backend knows the name, and one of them cannot answer now.
        :raises NotSupported: no backend knows the name, and one of them cannot look up names.
        """
        silent: BackendUnavailable | NotSupported | None = None
        for backend in self.backends:
            try:
                user = backend.find(username)
            except (BackendUnavailable, NotSupported) as error:
                if silent is None or isinstance(error, BackendUnavailable):
                    silent = error
                continue
            if user is not None:
                return user
        if silent is not None:
            raise silent
        return None

    def password_mark(self, username: str) -> str:
        """Return the mark of the first backend that knows the name.

        :raises BackendUnavailable: that backend cannot answer now.
        """
        backend = next((backend for backend in self.backends if _knows(backend, username)), None)
        return "" if backend is None else backend.password_mark(username)

    def account(self, username: str) -> Account:
        """Return what the first backend that knows the name knows of the user.

        :raises UnknownUser: there is no such user.
        :raises NotSupported: no backend knows the name, and one of them cannot look up names.
        :raises BackendUnavailable: no backend knows the name, and one of them cannot answer now.
        """
        for backend in self.backends:
            with suppress(UnknownUser, NotSupported, BackendUnavailable):
                return backend.account(username)
        return super().account(username)

    # -- accounts, in the backend in which they are created

    def is_taken(self, username: str, email: str) -> bool:
        """Return whether a backend knows the name, or the creating one the address.

        :raises NotSupported: no backend creates accounts.
        :raises BackendUnavailable: a backend cannot answer now.
        """
        creating = self._creating()
        return creating.is_taken(username, email) or self._is_known_elsewhere(creating, username)

    def create(
        self,
        username: str,
        password: str,
        email: str = "",
        *,
        is_active: bool = True,
        is_administrator: bool = False,
    ) -> User:
        """Create a user.

        :raises AccountExists: a backend knows the name, or the creating one the address.
        :raises NotSupported: no backend creates accounts.
        :raises BackendUnavailable: a backend cannot answer now.
        """
        creating = self._creating()
        if self._is_known_elsewhere(creating, username):
            raise AccountExists("Username or email already exists")
        return creating.create(
            username, password, email, is_active=is_active, is_administrator=is_administrator
        )

    def set_password(self, username: str, password: str) -> None:
        """Replace the password; see the base class."""
        self._changing(username).set_password(username, password)

    def set_active(self, username: str, is_active: bool) -> None:
        """Activate or disable an account; see the base class."""
        self._changing(username).set_active(username, is_active)

    def add_email(self, username: str, email: str) -> bool:
        """Add an unconfirmed address; see the base class."""
        return self._changing(username).add_email(username, email)

    def confirm_email(self, username: str, email: str) -> bool:
        """Mark an address as confirmed; see the base class."""
        return self._changing(username).confirm_email(username, email)

    def users(self) -> Iterator[User]:
        """Yield every user of the backend in which accounts are created, sorted by name.

        :raises NotSupported: no backend creates accounts.
        :raises BackendUnavailable: that backend cannot answer now.
        """
        return self._creating().users()

    def unconfirmed(self, username: str) -> Mapping[str, str]:
        """Return the addresses that a link may confirm, none for a user of an earlier backend."""
        creating = self._creating()
        return creating.unconfirmed(username) if self._may_change(creating, username) else {}

    def confirm(self, username: str, email: str, state: str) -> bool:
        """Mark an address as confirmed and its account as active; False for a user of an earlier backend."""
        creating = self._creating()
        return self._may_change(creating, username) and creating.confirm(username, email, state)

    def set_profile(self, username: str, fields: Mapping[str, str]) -> None:
        """Replace fields of the profile; see the base class."""
        self._changing(username).set_profile(username, fields)

    def set_primary_email(self, username: str, email: str) -> bool:
        """Make an address the primary one; see the base class."""
        return self._changing(username).set_primary_email(username, email)

    def remove_email(self, username: str, email: str) -> bool:
        """Remove an address; see the base class."""
        return self._changing(username).remove_email(username, email)

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{', '.join(map(repr, self.backends))}])"

    # -- inside

    def _creating(self) -> Backend:
        """Return the backend in which accounts are created.

        :raises NotSupported: no backend creates accounts.
        """
        if self.creating is None:
            raise NotSupported("None of the backends creates accounts")
        return self.creating

    def _changing(self, username: str) -> Backend:
        """Return the backend in which a user may be changed.

        :raises NotSupported: no backend creates accounts, or the name is a user of an earlier backend.
        """
        creating = self._creating()
        if not self._may_change(creating, username):
            raise NotSupported("This user belongs to a backend that is asked before")
        return creating

    def _may_change(self, creating: Backend, username: str) -> bool:
        """Return whether no backend before the creating one is known to have a user of this name."""
        earlier = self.backends[: self.backends.index(creating)]
        return not any(_knows(backend, username) for backend in earlier)

    def _is_known_elsewhere(self, creating: Backend, username: str) -> bool:
        for backend in self.backends:
            if backend is not creating:
                with suppress(NotSupported):
                    if backend.find(username) is not None:
                        return True
        return False


def _knows(backend: Backend, username: str) -> bool:
    """Return whether the backend is known to have a user of this name."""
    try:
        return backend.find(username) is not None
    except (BackendUnavailable, NotSupported):
        return False
