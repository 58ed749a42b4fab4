"""Users that the surrounding application or server has logged in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ...log import get_logger
from ...rights import User
from ...settings import without_userinfo
from ..base import Backend, BackendUnavailable

log = get_logger(__name__)

_TRUE = frozenset({"1", "true", "yes", "on"})


class Environ(Backend):
    """Takes the user from a key of the WSGI environ. It has no state, so it is safe for threads.

    **Setting the key makes a client any user.** ``REMOTE_USER`` is set by a server that has logged the user
    in, and clients cannot set it. Keys that begin with ``HTTP_`` are headers of the request, which clients
    can send. They are refused, unless ``allow_headers`` says that a proxy sets them *and removes those of
    clients*, and that the registry can be reached only through the proxy. An application in front of the
    registry may use any key, preferably its own, such as ``"my_app.user"``.

    :param key: its value is the user's name. If it is missing or empty, there is no user.
    :param groups: another key, whose value is text with commas or blanks between the groups, or several
        texts; or a function of the environ that returns them. Each group is a namespace that the user may
        write.
    :param administrator: whether the user is an administrator: another key (True, or one of the texts 1,
        true, yes, on), or a function of the environ that returns True or False.
    :param allow_headers: whether keys that begin with ``HTTP_`` are accepted.
    :raises ValueError: a key is empty, or is a header that is not allowed.

    >>> backend = Environ(groups="app.groups")
    >>> backend.user_of_request({"REMOTE_USER": "mira", "app.groups": "red, blue"}).groups == {"red", "blue"}
    True
    """

    def __init__(
        self,
        key: str = "REMOTE_USER",
        *,
        groups: str | Callable[[Mapping[str, Any]], Iterable[str]] | None = None,
        administrator: str | Callable[[Mapping[str, Any]], bool] | None = None,
        allow_headers: bool = False,
    ) -> None:
        for used in (key, groups, administrator):
            if used == "":
                raise ValueError("must be the name of a key of the WSGI environ, not empty")
            if isinstance(used, str) and used.upper().startswith("HTTP_") and not allow_headers:
                raise ValueError(
                    f"{used} is a header that every client can send; use a key such as REMOTE_USER, or "
                    "allow_headers if a proxy sets this header and removes those of clients"
                )
        self._key = key
        self._groups = groups
        self._administrator = administrator

    @classmethod
    def from_url(cls, url: str) -> Environ:
        """Return the backend for ``environ:KEY``.

        ``?groups=KEY``, ``&administrator=KEY`` and ``&allow_headers=yes`` may follow.

        :raises ValueError: the text has another form, or names a header that is not allowed.
        """
        expected = "must be environ:REMOTE_USER, perhaps with ?groups=KEY&administrator=KEY&allow_headers=yes"
        scheme, _, rest = url.partition(":")
        key, _, query = rest.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        allow_headers = options.pop("allow_headers", "no")
        if scheme != "environ" or not key or allow_headers not in ("yes", "no"):
            raise ValueError(f"{expected}, not {without_userinfo(url)!r}")
        groups, administrator = options.pop("groups", None), options.pop("administrator", None)
        if options:
            raise ValueError(f"{expected}; unknown: {without_userinfo(', '.join(options))}")
        return cls(key, groups=groups, administrator=administrator, allow_headers=allow_headers == "yes")

    def user_of_request(self, environ: Mapping[str, object]) -> User | None:
        """Return the user whom the environ names; None if there is none.

        :raises BackendUnavailable: a key has a value of the wrong type, or a function fails.
        """
        name = environ.get(self._key)
        if name is None or name == "":
            return None
        try:
            if not isinstance(name, str):
                raise TypeError(f"{self._key} must be text, not {type(name).__name__}")
            return User(name, self._groups_of(environ), is_administrator=self._is_administrator(environ))
        except Exception as error:
            log.error("the user of the request cannot be determined", exc_info=error)
            raise BackendUnavailable(
                "The user of the request cannot be determined now, try again later"
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key!r})"

    def _groups_of(self, environ: Mapping[str, Any]) -> frozenset[str]:
        if self._groups is None:
            return frozenset()
        groups = self._groups(environ) if callable(self._groups) else environ.get(self._groups)
        if groups is None:
            return frozenset()
        found = groups.replace(",", " ").split() if isinstance(groups, str) else list(groups)
        if not all(isinstance(group, str) for group in found):
            raise TypeError("groups must be text")
        return frozenset(found)

    def _is_administrator(self, environ: Mapping[str, Any]) -> bool:
        if self._administrator is None:
            return False
        if callable(self._administrator):
            return self._administrator(environ) is True
        value = environ.get(self._administrator)
        return value is True or (isinstance(value, str) and value.strip().lower() in _TRUE)
