"""What can go wrong for a client, one exception a kind. Every text says what a person can do about it."""

from __future__ import annotations


class ClientError(Exception):
    """Base of everything that the client raises on purpose."""


class BadReference(ClientError):
    """The text is no ``HOST[:PORT]/NAMESPACE/NAME:TAG``; nothing was sent."""


class BadArchive(ClientError):
    """The save archive cannot be read, is hostile, or does not hold what was asked for; nothing more was sent."""


class RegistryUnreachable(ClientError):
    """Nobody answers at the registry's address, or its certificate is not trusted."""


class NotAuthorized(ClientError):
    """The registry wants (other) credentials, or these may not do it."""


class NotFoundInRegistry(ClientError):
    """The registry has no such repository, tag or image, or does not show it to this user."""


class ProtocolError(ClientError):
    """The registry's answer is none that the Registry API v1 knows."""


class TransferFailed(ClientError):
    """A layer could not be sent or fetched whole. What is complete stays, and a repetition goes on from there."""
