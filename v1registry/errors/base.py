"""The base of all failures, and the three kinds that have many subclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RegistryError(Exception):
    """Base of all failures that a client gets as an answer. This one is a 500 without details.

    :param public: the only text that the client sees; ``text`` of the class if None.
    :param context: ids, sizes and keys for the log; never secrets.
    """

    status: ClassVar[int] = 500  #: of the answer
    text: ClassVar[str] = "Internal server error"  #: the default of ``public``

    def __init__(self, public: str | None = None, **context: object):
        self.public = self.text if public is None else public  #: the text that the client sees
        self.context = context  #: for the log
        super().__init__(self.public)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer, besides those that every answer has."""
        return {}

    @property
    def document(self) -> Mapping[str, object] | None:
        """The JSON object for the OAuth and accounts APIs; None if they answer the text alone."""
        return None


class BadRequest(RegistryError):
    """The request is malformed or contradicts itself. Nothing changed."""

    status = 400
    text = "Bad request"


class NotFound(RegistryError):
    """The thing does not exist, or the caller may not know that it does."""

    status = 404
    text = "Not found"


class MissingOrHidden(NotFound):
    """The thing does not exist, or the caller may not read it.

    On a server with accounts an anonymous caller gets 401 instead, whichever of the two it is (decisions.md
    11).
    """


class Conflict(RegistryError):
    """The existing thing must not be changed like this. Nothing changed."""

    status = 409
    text = "Conflict"
