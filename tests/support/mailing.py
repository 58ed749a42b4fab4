"""A registry that mails links, and the box into which they fall."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from v1registry_fakes import FakeRegistry
from v1registry_fakes.server import LiveServer

from v1registry.accounts.mail import Recipient


class Mailbox:
    """A :class:`~v1registry.accounts.mail.Mailer` that keeps the links instead of mailing them."""

    def __init__(self) -> None:
        self.links: list[str] = []

    def send_activation(self, user: Recipient, link: str) -> None:
        self.links.append(link)

    def send_confirmation(self, user: Recipient, link: str) -> None:
        self.links.append(link)


@contextmanager
def mailing_registry() -> Iterator[tuple[FakeRegistry, Mailbox]]:
    """Serve an empty registry in which an account begins with a mailed link."""
    mailbox = Mailbox()
    with (
        LiveServer() as server,
        FakeRegistry(
            server=server,
            auth="users:",
            mail=mailbox,
            mail_from="registry@example.org",
            public_url=server.url,
        ) as registry,
    ):
        yield registry, mailbox
