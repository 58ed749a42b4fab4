"""The exceptions of the client. Every text says what the user can do."""

from __future__ import annotations

from typing import Final

_LONGEST_TEXT: Final = 2000


def printable(text: str) -> str:
    r"""Return ``text`` with unprintable characters escaped as in Python source.

    >>> printable("tag \x1b[2J")
    'tag \\x1b[2J'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class ClientError(Exception):
    """Base of all exceptions that the client raises on purpose.

    Registries and archives contribute to the text. So unprintable characters in it are escaped, because a
    terminal would execute them, and a long text is cut.
    """

    def __init__(self, text: str):
        shown = printable(text)
        super().__init__(shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]} …")


class BadReference(ClientError):
    """The text is not ``HOST[:PORT]/NAMESPACE/NAME:TAG``, or not for this API; nothing was sent."""


class BadArchive(ClientError):
    """The save archive is unreadable, hostile, or does not have the image; nothing more was sent."""


class BadCertificate(ClientError):
    """A file with a certificate or a key is unreadable; nothing was sent."""


class BadOutput(ClientError):
    """The output of a pull cannot hold an archive; nothing was sent."""


class RegistryUnreachable(ClientError):
    """The registry does not answer, or its certificate is not trusted."""


class NotAuthorized(ClientError):
    """The registry requires other credentials, or these do not have the right."""


class NotFoundInRegistry(ClientError):
    """The registry does not have the repository, tag or image, or hides it from this user."""


class ApiNotOffered(ClientError):
    """The registry does not offer the API that is asked for."""


class ProtocolError(ClientError):
    """The registry's answer is not valid in its API."""


class TransferFailed(ClientError):
    """A layer could not be transferred whole. Complete layers stay, and a repetition continues from there."""


class DifferentContent(ClientError):
    """The registry has other content under the id of an image than the archive, or than the id says."""
