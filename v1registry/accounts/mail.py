"""Mails with links that confirm an account or an address: the interface of mailers, and one over SMTP."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..names import is_email

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage
    from smtplib import SMTP

_PORTS: Final = {"smtp": 25, "smtps": 465}
_OPTIONS: Final = ("from", "starttls", "ca_file", "timeout_s")
_EXPECTED_URL: Final = (
    "must be smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS or smtps://..., percent-encoded; "
    f"the options are {', '.join(_OPTIONS)}"
)


class MailError(Exception):
    """The mailer did not accept the mail. The text is logged, so it contains no password, address or link."""


@dataclass(frozen=True)
class Recipient:
    """The recipient of a mail."""

    name: str  #: of the account
    email: str


@runtime_checkable
class Mailer(Protocol):
    """Brings a link to a user. Safe for threads.

    It is called while the client waits for its answer, so it must give up within seconds, or queue the mail.
    The link is enough to confirm the address, so it must not be logged. MailError is logged with its text,
    any other exception by its class. The account stays as it is, and its user can ask for another link.
    """

    def send_activation(self, user: Recipient, link: str) -> None:
        """Send the link that activates a new account.

        :raises MailError: the mail was not accepted.
        """

    def send_confirmation(self, user: Recipient, link: str) -> None:
        """Send the link that confirms an added address.

        :raises MailError: the mail was not accepted.
        """


class SmtpMailer:
    """Sends mails over SMTP, with one connection for each. Nothing is opened before the first mail. Safe for
    threads.

    :param host: the mail server.
    :param sender: the address in ``From``, which also gets bounces. ASCII.
    :param port: the default is 25, or 465 with ``is_tls``.
    :param username: for the login; empty for none.
    :param password: for the login. ASCII.
    :param is_tls: whether the connection uses TLS from the beginning (``smtps:``).
    :param starttls: whether TLS is started and required. If None, it is if there is a password. Certificate
        and host name are always verified.
    :param ca_file: a PEM file with the trusted authorities; empty for those of the system.
    :param timeout_s: how long each step may take, in seconds.
    :param clock: gives the date of a mail.
    :raises ValueError: a parameter is invalid, or two of them exclude each other.
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
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not is_email(sender):
            raise ValueError(f"the sender must be an address such as registry@example.org, not {sender!r}")
        if is_tls and starttls:
            raise ValueError("smtps uses TLS from the beginning; starttls is for smtp")
        if bool(username) != bool(password):
            raise ValueError("a user name needs a password, and a password a user name")
        if not f"{username}{password}".isascii():
            raise ValueError("user name and password must be ASCII, because smtplib sends nothing else")
        if not host or not 0 < timeout_s <= 600:
            raise ValueError("there must be a host, and a timeout of more than 0 s and at most 600 s")
        self._host = host
        self._port = port or _PORTS["smtps" if is_tls else "smtp"]
        self._sender = sender
        self._username = username
        self._password = password
        self._is_tls = is_tls
        self._starttls = bool(username) and not is_tls if starttls is None else starttls
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self._clock = clock

    @classmethod
    def from_url(cls, url: str, sender: str = "", *, clock: Clock = SYSTEM_CLOCK) -> SmtpMailer:
        """Return the mailer for ``smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS&starttls=1``, or ``smtps://``.

        All parts except the host are optional. ``starttls`` (``1`` or ``0``), ``ca_file`` and ``timeout_s``
        are those of the class.

        :param sender: the address in ``From`` if the URL has no ``from``.
        :raises ValueError: the URL is invalid. The message does not show it, because it may contain a
            password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            timeout_s = float(options.get("timeout_s", "10"))
        except ValueError:
            # the text of the cause would show a part of the URL
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
            raise ValueError("there must be a sender: mail_from, or from= in the URL")
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
            clock=clock,
        )

    def send_activation(self, user: Recipient, link: str) -> None:
        """Send the link that activates a new account.

        :raises MailError: the server did not accept the mail, or the address is invalid.
        """
        host = urlsplit(link).netloc
        self._send(
            user,
            f"Activate your account at {host}",
            f"The account {user.name} at {host} was created with this address.\n"
            "If it is yours, open this link and press the button there to activate it:\n",
            link,
        )

    def send_confirmation(self, user: Recipient, link: str) -> None:
        """Send the link that confirms an added address.

        :raises MailError: the server did not accept the mail, or the address is invalid.
        """
        host = urlsplit(link).netloc
        self._send(
            user,
            f"Confirm your address at {host}",
            f"This address was added to the account {user.name} at {host}.\n"
            "If it is yours, open this link and press the button there:\n",
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
            raise MailError(f"the address cannot be used in a mail: {type(error).__name__}") from None
        try:
            connection = self._connection()
            try:
                if self._username:
                    connection.login(self._username, self._password)
                connection.sendmail(self._sender, [user.email], message.as_bytes())
                # the mail was accepted, whatever follows
                with suppress(SMTPException, OSError):
                    connection.quit()
            finally:
                connection.close()
        except (SMTPException, OSError, ValueError) as error:
            # answers of servers contain addresses, so only the code is shown
            code = getattr(error, "smtp_code", None)
            reason = f"{type(error).__name__} {code}" if code else type(error).__name__
            raise MailError(f"{self._host}:{self._port}: {reason}") from None

    def _connection(self) -> SMTP:
        """Return a connection, with TLS if that is configured.

        :raises SMTPException: the server refuses.
        :raises OSError: the server cannot be reached.
        """
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
        """Return a mail in plain text.

        :raises ValueError: the address or the name would be more than that in a header.
        """
        from email.headerregistry import Address
        from email.message import EmailMessage
        from email.policy import SMTP as SMTP_POLICY
        from email.utils import make_msgid

        if not is_email(email):
            raise ValueError("must be an address")
        message = EmailMessage(SMTP_POLICY)
        message["From"] = Address(addr_spec=self._sender)
        message["To"] = Address(addr_spec=email)
        message["Subject"] = subject
        message["Date"] = self._clock.now()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        # prevents automatic replies (RFC 3834)
        message["Auto-Submitted"] = "auto-generated"
        body = (
            f"{text}\n{link}\n\nThe link works once, and for a limited time. "
            "If you did not ask for it, do nothing: "
            "the address is then not confirmed.\n"
        )
        # not wrapped, so that the link is whole in the raw mail too
        message.set_content(body, cte="7bit" if body.isascii() else None)
        return message


def _own_name() -> str:
    """Return the name of this machine for a mail server, without a slow question to the DNS as in smtplib."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"
