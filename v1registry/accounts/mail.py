"""Mails with links that confirm an account or an address: what sends them, and a sender over SMTP."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

from ..names import is_email

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage
    from smtplib import SMTP

_PORTS: Final = {"smtp": 25, "smtps": 465}
_OPTIONS: Final = ("from", "starttls", "ca_file", "timeout_s")
_EXPECTED_URL: Final = (
    "smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS or smtps://... is expected, percent-encoded; "
    f"the options are {', '.join(_OPTIONS)}"
)


class MailError(Exception):
    """The mail was not taken by who should send it. The text stands in the log: it holds no password, address or link."""


@dataclass(frozen=True)
class Recipient:
    """Somebody who gets a mail."""

    name: str  #: of the account
    email: str


@runtime_checkable
class Mailer(Protocol):
    """What brings a link to somebody. Safe for threads.

    It is called while the client waits for its answer, so it has to give up within seconds, or to queue the mail. Whoever has the
    link can confirm the address with it: it belongs into no log. MailError, and any other exception, is logged by its
    kind; the account stays as it is, and its user can ask for another link.
    """

    def send_activation(self, user: Recipient, link: str) -> None:
        """Send the link that activates a new account. MailError."""

    def send_confirmation(self, user: Recipient, link: str) -> None:
        """Send the link that confirms an address which was added to an account. MailError."""


class SmtpMailer:
    """Sends mails over SMTP, one connection each. Nothing is opened before the first one. Safe for threads.

    :param host: the server that takes the mails.
    :param sender: the address in ``From``, which also gets what cannot be delivered. ASCII.
    :param port: 25 when left out, 465 with ``is_tls``.
    :param username: logs in as; nobody when empty.
    :param password: its password. ASCII.
    :param is_tls: whether the connection is TLS from the beginning (``smtps:``).
    :param starttls: whether TLS is started and required; when None, where there is a password. Certificate and host
        name are always verified.
    :param ca_file: a PEM file with the authorities that are trusted; those of the system when empty.
    :param timeout_s: how long each step may take, in seconds.

    ValueError for parameters that make no sense.
    """

    def __init__(
        self,
        host: str,
        sender: str,
        *,
        port: int | None = None,
        username: str = "",
        password: str = "",
        is_tls: bool = False,
        starttls: bool | None = None,
        ca_file: str = "",
        timeout_s: float = 10.0,
    ) -> None:
        if not is_email(sender):
            raise ValueError(f"an address such as registry@example.org is expected as sender, not {sender!r}")
        if is_tls and starttls:
            raise ValueError("smtps is TLS from the beginning; starttls is for smtp")
        if bool(username) != bool(password):
            raise ValueError("a user name and a password are expected together")
        if not f"{username}{password}".isascii():
            raise ValueError("a user name and a password of ASCII are expected: smtplib sends no others")
        if not host or not 0 < timeout_s <= 600:
            raise ValueError("a host and a timeout of more than 0 s and at most 600 s are expected")
        self._host = host
        self._port = port or _PORTS["smtps" if is_tls else "smtp"]
        self._sender = sender
        self._username = username
        self._password = password
        self._is_tls = is_tls
        self._starttls = bool(username) and not is_tls if starttls is None else starttls
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    @classmethod
    def from_url(cls, url: str, sender: str = "") -> SmtpMailer:
        """Return the mailer for ``smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS&starttls=1``, or ``smtps://``. ValueError.

        All parts but the host may be missing; ``starttls`` (``1`` or ``0``), ``ca_file`` and ``timeout_s`` are those of the class.

        :param sender: the address in ``From`` where the URL has no ``from``.

        No error shows anything of the URL, which may hold a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            timeout_s = float(options.get("timeout_s", "10"))
        except ValueError:
            # its text would show a part of the URL
            raise ValueError(_EXPECTED_URL) from None
        is_expected = (
            parts.scheme in _PORTS
            and parts.hostname
            and parts.path in ("", "/")
            and not parts.fragment
            and options.keys() <= set(_OPTIONS)
            and options.get("starttls", "0") in ("0", "1")
        )
        if not is_expected:
            raise ValueError(_EXPECTED_URL)
        sender = options.get("from", sender)
        if not sender:
            raise ValueError("a sender is expected: mail_from, or from= in the URL")
        return cls(
            parts.hostname or "",
            sender,
            port=port,
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            is_tls=parts.scheme == "smtps",
            starttls=options["starttls"] == "1" if "starttls" in options else None,
            ca_file=options.get("ca_file", ""),
            timeout_s=timeout_s,
        )

    def send_activation(self, user: Recipient, link: str) -> None:
        """Send the link that activates a new account. MailError."""
        host = urlsplit(link).netloc
        self._send(
            user,
            f"Activate your account at {host}",
            f"Somebody, most likely you, made the account {user.name} at {host} with this address.\n"
            "To activate it, open this link and press the button there:\n",
            link,
        )

    def send_confirmation(self, user: Recipient, link: str) -> None:
        """Send the link that confirms an address which was added to an account. MailError."""
        host = urlsplit(link).netloc
        self._send(
            user,
            f"Confirm your address at {host}",
            f"This address was added to the account {user.name} at {host}.\n"
            "If that is yours, open this link and press the button there:\n",
            link,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._host!r}, port={self._port})"

    # -- inside

    def _send(self, user: Recipient, subject: str, text: str, link: str) -> None:
        from smtplib import SMTPException

        try:
            message = self._message(user.email, subject, text, link)
        except (ValueError, LookupError) as error:
            raise MailError(f"no mail can be written to the address: {type(error).__name__}") from None
        try:
            connection = self._connection()
            try:
                if self._username:
                    connection.login(self._username, self._password)
                connection.sendmail(self._sender, [user.email], message.as_bytes())
                # the mail was taken, whatever comes after
                with suppress(SMTPException, OSError):
                    connection.quit()
            finally:
                connection.close()
        except (SMTPException, OSError, ValueError) as error:
            # servers repeat addresses in their answers, so of those there is only the number
            code = getattr(error, "smtp_code", None)
            reason = f"{type(error).__name__} {code}" if code else type(error).__name__
            raise MailError(f"{self._host}:{self._port}: {reason}") from None

    def _connection(self) -> SMTP:
        """Return a connection, with TLS where that is wanted. SMTPException, OSError."""
        from smtplib import SMTP, SMTP_SSL

        name = _own_name()
        if self._is_tls:
            return SMTP_SSL(
                self._host,
                self._port,
                local_hostname=name,
                timeout=self._timeout_s,
                context=self._tls_context(),
            )
        connection = SMTP(self._host, self._port, local_hostname=name, timeout=self._timeout_s)
        if self._starttls:
            try:
                connection.starttls(context=self._tls_context())
            except BaseException:
                connection.close()
                raise
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        import ssl

        return ssl.create_default_context(cafile=self._ca_file or None)

    def _message(self, email: str, subject: str, text: str, link: str) -> EmailMessage:
        """Return a mail in plain text. ValueError for an address or a name that would be more than that."""
        from email.headerregistry import Address
        from email.message import EmailMessage
        from email.policy import SMTP as SMTP_POLICY
        from email.utils import make_msgid

        if not is_email(email):
            raise ValueError("an address is expected")
        message = EmailMessage(SMTP_POLICY)
        message["From"] = Address(addr_spec=self._sender)
        message["To"] = Address(addr_spec=email)
        message["Subject"] = subject
        message["Date"] = datetime.now(timezone.utc)
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        # so that nobody's holiday notice answers it (RFC 3834)
        message["Auto-Submitted"] = "auto-generated"
        body = (
            f"{text}\n{link}\n\nIt works once, and not for long. If you know nothing of this, do nothing: "
            "the address is then not confirmed.\n"
        )
        # not wrapped, so that the link stays whole also for those who read the mail as it was sent
        message.set_content(body, cte="7bit" if body.isascii() else None)
        return message


def _own_name() -> str:
    """Return how this machine calls itself to a mail server; asking the DNS, as smtplib would, can take long."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"
