"""What wants to know of changes of repositories: data that is derived from them, such as a search index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from ..names import RepositoryName

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Observed")

#: A method that changes the repository in its first argument.
Changing: TypeAlias = Callable[Concatenate[S, RepositoryName, P], R]


class RepositoryObserver(Protocol):
    """Looks after data that is derived from repositories."""

    def changing(self, name: RepositoryName, *, only_appears: bool) -> AbstractContextManager[None]:
        """Return a context in which a repository is changed.

        It is entered before the change and left after it, also if the change fails. Neither step raises or
        waits long: a change never fails because of what is derived.

        :param only_appears: the change at most makes the repository exist. Access, description, stars and
            collaborators of an existing one stay.
        """


class Observed:
    """Has observers, who learn of each change of a repository."""

    def __init__(self) -> None:
        self._observers: list[RepositoryObserver] = []

    def observe(self, observer: RepositoryObserver) -> None:
        """Add an observer. It is called once for each process, before the first request."""
        self._observers.append(observer)

    def changing(self, name: RepositoryName, *, only_appears: bool = False) -> AbstractContextManager[object]:
        """Tell the observers of a change that is made in the context.

        The methods of repositories do this. What writes the keys of a repository itself has to do it too, if
        the repository appears or vanishes by that.
        """
        if len(self._observers) == 1:
            return self._observers[0].changing(name, only_appears=only_appears)
        return self._all_changing(name, only_appears) if self._observers else nullcontext()

    @contextmanager
    def _all_changing(self, name: RepositoryName, only_appears: bool) -> Iterator[None]:
        with ExitStack() as contexts:
            for observer in self._observers:
                contexts.enter_context(observer.changing(name, only_appears=only_appears))
            yield


def changes_repository(*, only_appears: bool = False) -> Callable[[Changing[S, P, R]], Changing[S, P, R]]:
    """Return a decorator for methods that change the repository in their first argument.

    :param only_appears: see ``RepositoryObserver.changing``.
    """

    def decorated(method: Changing[S, P, R]) -> Changing[S, P, R]:
        @wraps(method)
        def observed(self: S, name: RepositoryName, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with self.changing(name, only_appears=only_appears):
                return method(self, name, *args, **kwargs)

        return observed

    return decorated
