"""What the questions to an LDAP server take and give."""

from __future__ import annotations

import time
from dataclasses import dataclass


class LdapFailure(Exception):
    """The server did not do what it was asked to do.

    :param public: a text for clients.
    :param reason: what happened, for the log; without passwords.
    """

    def __init__(self, public: str, reason: str):
        super().__init__(f"{public}: {reason}")
        self.public = public
        self.reason = reason


class Deadline:
    """The time by which all steps of one question must be done.

    :param timeout_s: how long that is from now, in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Return the remaining time, in seconds.

        :raises LdapFailure: there is none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise LdapFailure(
                "The LDAP server does not answer, try again later", f"no answer within {self._timeout_s:g} s"
            )
        return left


@dataclass(frozen=True)
class Entry:
    """An entry that a search found. Names of attributes are in lower case."""

    dn: str
    attributes: dict[str, list[str]]  #: without the values that are not UTF-8
    raw: dict[str, list[bytes]]  #: all values
