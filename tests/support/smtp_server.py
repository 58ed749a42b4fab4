"""A real SMTP server on 127.0.0.1 and a free port: aiosmtpd in a thread, which keeps the mails."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class Taken:
    """A mail that the server took."""

    sender: str
    recipients: list[str]
    raw: bytes
    is_encrypted: bool
    username: str

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class SmtpServer:
    """A context manager. ``refuses`` is the answer to RCPT TO while there is one.

    :param tls: the certificate of the server, which offers STARTTLS; with ``is_tls``, TLS from the beginning.
    :param username: the only user. With STARTTLS, a mail is rejected without a login.
    """

    tls: ssl.SSLContext | None = None
    is_tls: bool = False
    username: str = ""
    password: str = ""
    refuses: str = ""
    mails: list[Taken] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        username = session.auth_data.login.decode() if session.auth_data else ""
        is_encrypted = self.is_tls or session.ssl is not None
        self.mails.append(
            Taken(envelope.mail_from, envelope.rcpt_tos, envelope.content, is_encrypted, username)
        )
        return "250 OK"

    def __enter__(self) -> SmtpServer:
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(self._connection, "127.0.0.1", 0, ssl=self.tls if self.is_tls else None)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _connection(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.test",
            tls_context=None if self.is_tls else self.tls,
            # it knows TLS only as STARTTLS, and warns where it would require AUTH without
            auth_required=bool(self.username) and not self.is_tls,
            auth_require_tls=not self.is_tls,
            authenticator=self._authenticated if self.username else None,
            loop=self._loop,
        )

    def _authenticated(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            self.username.encode(),
            self.password.encode(),
        )
        return AuthResult(success=is_right, handled=False, auth_data=data if is_right else None)
