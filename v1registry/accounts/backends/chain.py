"""Several backends, asked one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ...rights import User
from ..base import (
    AccountExists,
    Authenticator,
    Backend,
    BackendUnavailable,
    NotSupported,
    RequestAuthenticator,
    UserDirectory,
    UserLookup,
)

AnyBackend = Authenticator | RequestAuthenticator


class Chain(Backend):
    """Asks several backends in order; the first one that knows a user decides about that user. As safe for threads as they.

    * Somebody is let in by the first backend that takes name and password, if no backend before it knows that name. A name that an
      earlier backend knows, with another password, is that backend's user: so a person who gets an account of the same
      name in a later backend does not become the other one. A backend that cannot look up names (NotSupported) knows
      none here.
    * A backend that is unavailable is passed over: who is known to another one gets in, emergency accounts for example. Only
      where nobody lets the user in and at least one backend could not tell, that is the answer (BackendUnavailable).
    * A refusal asks every backend, so that the time it takes does not tell which of them knows the name.
    * ``user(environ)`` asks, in the same order, those that need no password.

    :param backends: each with ``authenticate`` or ``user`` or both. ValueError for none, TypeError for something else.
    """

    def __init__(self, backends: Sequence[AnyBackend]) -> None:
        if not backends:
            raise ValueError("a chain is expected to have one backend at least")
        for backend in backends:
            if not isinstance(backend, (Authenticator, RequestAuthenticator)):
                raise TypeError(
                    f"a backend has authenticate() or user(), {type(backend).__name__} has neither"
                )
        self.backends = tuple(backends)
        # which is which is found out once: looking at a protocol takes longer than many a request
        self._authenticators = [backend for backend in backends if isinstance(backend, Authenticator)]
        self._of_requests = [backend for backend in backends if isinstance(backend, RequestAuthenticator)]

    @property
    def takes_passwords(self) -> bool:
        """Whether anybody can log in here by a password."""
        return bool(self._authenticators)

    def authenticate(self, username: str, password: str) -> User | None:
        """Return the user if the password is right; see the class. BackendUnavailable."""
        refusing: list[Authenticator] = []
        unavailable: BackendUnavailable | None = None
        for backend in self._authenticators:
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

    def user(self, environ: Mapping[str, object]) -> User | None:
        """Return whom the first backend that needs no password finds in a WSGI environ. BackendUnavailable."""
        for backend in self._of_requests:
            user = backend.user(environ)
            if user is not None:
                return user
        return None

    def find(self, username: str) -> User | None:
        """Return the user as the first backend that knows the name does.

        BackendUnavailable, NotSupported: nobody knows the name, and a backend could not tell, now or ever.
        """
        silent: BackendUnavailable | NotSupported | None = None
        for backend in self.backends:
            try:
                user = _find(backend, username)
            except (BackendUnavailable, NotSupported) as error:
                if silent is None or isinstance(error, BackendUnavailable):
                    silent = error
                continue
            if user is not None:
                return user
        if silent is not None:
            raise silent
        return None

    @property
    def can_find(self) -> bool:
        """Whether every backend can look up users by name. If not, ``find`` may raise NotSupported for unknown names."""
        return all(isinstance(backend, Backend) and backend.can_find for backend in self.backends)

    @property
    def has_ids(self) -> bool:
        """Whether the users of every backend have ids."""
        return all(isinstance(backend, Backend) and backend.has_ids for backend in self.backends)

    def password_mark(self, username: str) -> str:
        """Return the mark of the first backend that knows the name.

        :raises BackendUnavailable: that backend cannot tell now.
        """
        for backend in self.backends:
            if _knows(backend, username):
                return backend.password_mark(username) if isinstance(backend, Backend) else ""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{', '.join(map(repr, self.backends))}])"


class DirectoryChain(Chain):
    """A chain in which users can be made and changed: by its first :class:`~v1registry.accounts.base.UserDirectory`.

    A name that another backend knows is taken, so nobody registers as somebody who is known there. While another backend
    cannot tell, no account is made (BackendUnavailable). Users of the other backends cannot be changed (UnknownUser).

    :param backends: as for :class:`Chain`; ValueError where none of them is a directory.
    """

    def __init__(self, backends: Sequence[AnyBackend]) -> None:
        super().__init__(backends)
        directories = [backend for backend in backends if isinstance(backend, UserDirectory)]
        if not directories:
            raise ValueError("one backend at least is expected to be a directory, such as users:")
        self.directory: UserDirectory = directories[0]
        self._others = [backend for backend in backends if backend is not self.directory]

    def is_taken(self, username: str, email: str) -> bool:
        """Tell whether a backend knows the name or the directory the address. BackendUnavailable."""
        return self.directory.is_taken(username, email) or self._is_known_elsewhere(username)

    def create(
        self,
        username: str,
        password: str,
        email: str = "",
        *,
        is_active: bool = True,
        is_administrator: bool = False,
    ) -> User:
        """Make a user in the directory. AccountExists, BackendUnavailable."""
        if self._is_known_elsewhere(username):
            raise AccountExists("Username or email already exists")
        return self.directory.create(
            username, password, email, is_active=is_active, is_administrator=is_administrator
        )

    def set_password(self, username: str, password: str) -> None:
        """Replace the password of a user of the directory. UnknownUser, BackendUnavailable."""
        self.directory.set_password(username, password)

    def add_email(self, username: str, email: str) -> bool:
        """Add an unconfirmed address to a user of the directory. UnknownUser, AccountExists, EmailRefused, BackendUnavailable."""
        return self.directory.add_email(username, email)

    def confirm_email(self, username: str, email: str) -> bool:
        """Mark an address of a user of the directory as confirmed. UnknownUser, BackendUnavailable."""
        return self.directory.confirm_email(username, email)

    def set_active(self, username: str, is_active: bool) -> None:
        """Activate or disable an account of the directory. UnknownUser, BackendUnavailable."""
        self.directory.set_active(username, is_active)

    def decides(self, username: str) -> bool:
        """Tell whether the directory is asked about a name: no backend before it is known to have a user of that name."""
        before = self.backends[: self.backends.index(self.directory)]
        return not any(_knows(backend, username) for backend in before)

    def users(self) -> Iterator[User]:
        """Yield every user of the directory, by name. BackendUnavailable."""
        return self.directory.users()

    def _is_known_elsewhere(self, username: str) -> bool:
        for backend in self._others:
            with suppress(NotSupported):
                if _find(backend, username) is not None:
                    return True
        return False


def chain_of(backends: Sequence[AnyBackend]) -> Chain:
    """Return the chain of the backends, a :class:`DirectoryChain` where one of them is a directory. ValueError, TypeError."""
    has_directory = any(isinstance(backend, UserDirectory) for backend in backends)
    return DirectoryChain(backends) if has_directory else Chain(backends)


def _find(backend: AnyBackend, username: str) -> User | None:
    """Return the user as the backend knows it. BackendUnavailable, NotSupported."""
    if not isinstance(backend, UserLookup):
        raise NotSupported(f"{type(backend).__name__} cannot look up users")
    return backend.find(username)


def _knows(backend: AnyBackend, username: str) -> bool:
    """Tell whether the backend is known to have a user of this name, whose password it then refused."""
    try:
        return _find(backend, username) is not None
    except (BackendUnavailable, NotSupported):
        return False
