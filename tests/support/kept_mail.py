"""A mailer that keeps what it gets."""

from __future__ import annotations

from v1registry.accounts.mail import Recipient

PUBLIC_URL = "https://registry.example.org"


class KeptMail:
    """A mailer that keeps the links: ``(kind, name, address, link)``. It raises ``error`` if that is set."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, str]] = []
        self.error: Exception | None = None

    def send_activation(self, user: Recipient, link: str) -> None:
        self._keep("activation", user, link)

    def send_confirmation(self, user: Recipient, link: str) -> None:
        self._keep("confirmation", user, link)

    def _keep(self, kind: str, user: Recipient, link: str) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((kind, user.name, user.email, link))

    @property
    def kinds_and_addresses(self) -> list[tuple[str, str]]:
        return [(kind, email) for kind, _, email, _ in self.sent]

    @property
    def path(self) -> str:
        """The path of the last link."""
        link = self.sent[-1][3]
        assert link.startswith(PUBLIC_URL), link
        return link.removeprefix(PUBLIC_URL)
