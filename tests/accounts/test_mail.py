"""Mails over SMTP to a real server, and no password in errors, logs and settings."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from support.account_client import MIRA, PUBLIC_URL, log_in, register
from support.smtp_server import SmtpServer
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry
from v1registry.accounts.mail import Mailer, MailError, Recipient, SmtpMailer
from v1registry.cli import main as cli
from v1registry.settings import Settings, SettingsError

SENDER = "registry@example.org"
MIRA_BOX = Recipient("mira_k", "mira@example.org")
LINK = f"{PUBLIC_URL}/accounts/activate/" + "a" * 150 + "." + "b" * 43


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def mailer_for(server: SmtpServer, host: str = "127.0.0.1", **options: object) -> SmtpMailer:
    return SmtpMailer(host, SENDER, port=server.port, **options)  # type: ignore[arg-type]


# -- what a mail is


@pytest.mark.parametrize("kind", ["activation", "confirmation"])
def test_mail_contains_the_whole_link_and_its_purpose(server: SmtpServer, kind: str) -> None:
    mailer = mailer_for(server)

    (mailer.send_activation if kind == "activation" else mailer.send_confirmation)(MIRA_BOX, LINK)

    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == (SENDER, ["mira@example.org"])
    message = mail.message
    assert (message["From"], message["To"]) == (SENDER, "mira@example.org")
    assert "registry.example.org" in message["Subject"]
    assert ("Activate" in message["Subject"]) == (kind == "activation")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    assert parsedate_to_datetime(message["Date"]).tzinfo is not None
    assert message.get_content_type() == "text/plain"
    assert LINK in message.get_content().splitlines()
    assert "mira_k" in message.get_content()
    # in the raw mail too
    assert LINK.encode() in mail.raw.splitlines()


def test_every_mail_has_its_own_id(server: SmtpServer) -> None:
    mailer = mailer_for(server)
    for _ in range(3):
        mailer.send_activation(MIRA_BOX, LINK)
    assert len({mail.message["Message-ID"] for mail in server.mails}) == 3


def test_name_that_is_not_ascii_stays_readable(server: SmtpServer) -> None:
    mailer_for(server).send_activation(Recipient("Émile ☃", "emile@example.org"), LINK)
    content = server.mails[0].message.get_content()
    assert "The account Émile ☃ at" in content
    assert LINK in content.splitlines()


@pytest.mark.parametrize(
    "address",
    [
        "mira@example.org\r\nBcc: victim@example.org",
        "mira@example.org\nX: y",
        "mira@example.org, victim@example.org",
        "Mira <mira@example.org>",
        "<mira@example.org> SIZE=1",
        "mîra@example.org",
        "mira",
        "",
    ],
)
def test_address_cannot_add_headers_or_recipients(server: SmtpServer, address: str) -> None:
    with pytest.raises(MailError, match="the address cannot be used in a mail"):
        mailer_for(server).send_activation(Recipient("mira_k", address), LINK)
    assert server.mails == []


def test_name_cannot_add_headers(server: SmtpServer) -> None:
    name = "mira\r\nBcc: victim@example.org\r\n\r\nBuy"
    mailer_for(server).send_activation(Recipient(name, "mira@example.org"), LINK)
    (mail,) = server.mails
    assert mail.recipients == ["mira@example.org"]
    assert mail.message["Bcc"] is None
    assert sorted(name.lower() for name in list(mail.message)) == sorted(
        "from to subject date message-id auto-submitted "
        "mime-version content-type content-transfer-encoding".split()
    )


# -- connections


def test_password_is_sent_after_starttls(tls: ssl.SSLContext, ca_file: Path) -> None:
    with SmtpServer(tls, username="mira", password="hunter2 @:/%") as server:
        mailer = mailer_for(
            server, "localhost", username="mira", password="hunter2 @:/%", ca_file=str(ca_file)
        )
        mailer.send_activation(MIRA_BOX, LINK)
    (mail,) = server.mails
    assert (mail.is_encrypted, mail.username) == (True, "mira")


def test_smtps_uses_tls_from_the_beginning(tls: ssl.SSLContext, ca_file: Path) -> None:
    with SmtpServer(tls, is_tls=True, username="mira", password="hunter2") as server:
        url = f"smtps://mira:hunter2@localhost:{server.port}?from={SENDER}&ca_file={ca_file}"
        SmtpMailer.from_url(url).send_activation(MIRA_BOX, LINK)
    (mail,) = server.mails
    assert (mail.is_encrypted, mail.username) == (True, "mira")


def test_untrusted_server_gets_no_password(tls: ssl.SSLContext) -> None:
    with SmtpServer(tls, username="mira", password="hunter2") as server:
        mailer = mailer_for(server, "localhost", username="mira", password="hunter2")
        with pytest.raises(MailError, match="SSLCertVerificationError"):
            mailer.send_activation(MIRA_BOX, LINK)
    assert server.mails == []


def test_server_without_tls_gets_no_password(server: SmtpServer) -> None:
    mailer = mailer_for(server, username="mira", password="hunter2")
    with pytest.raises(MailError, match="SMTPNotSupportedError"):
        mailer.send_activation(MIRA_BOX, LINK)
    assert server.mails == []


def test_error_for_a_wrong_password_does_not_show_it(tls: ssl.SSLContext, ca_file: Path) -> None:
    with SmtpServer(tls, username="mira", password="hunter2") as server:
        mailer = mailer_for(server, "localhost", username="mira", password="hunter3", ca_file=str(ca_file))
        with pytest.raises(MailError, match="SMTPAuthenticationError 535") as caught:
            mailer.send_activation(MIRA_BOX, LINK)
    assert "hunter" not in str(caught.value)
    assert server.mails == []


def test_error_for_a_refused_recipient_does_not_show_the_address(server: SmtpServer) -> None:
    server.refuses = "550 no such mailbox: mira@example.org"
    with pytest.raises(MailError, match="SMTPRecipientsRefused") as caught:
        mailer_for(server).send_activation(MIRA_BOX, LINK)
    assert "mira" not in str(caught.value)
    server.refuses = ""
    mailer_for(server).send_activation(MIRA_BOX, LINK)
    assert len(server.mails) == 1


def test_server_that_does_not_answer_is_a_mail_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(MailError, match=f"127.0.0.1:{port}: SMTPServerDisconnected"):
            SmtpMailer("127.0.0.1", SENDER, port=port, timeout_s=0.05).send_activation(MIRA_BOX, LINK)
    with pytest.raises(MailError, match=f"127.0.0.1:{port}: ConnectionRefusedError"):
        SmtpMailer("127.0.0.1", SENDER, port=port).send_activation(MIRA_BOX, LINK)


@pytest.mark.parametrize(
    "said", [b"", b"220 ready\r\n250 hi\r\n421 bye\r\n", b"SSH-2.0-x\r\n", b"220 x\r\n" + b"\xff" * 100_000]
)
def test_server_that_does_not_speak_smtp_is_a_mail_error(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        port = listening.getsockname()[1]
        with pytest.raises(MailError):
            SmtpMailer("127.0.0.1", SENDER, port=port, timeout_s=5).send_activation(MIRA_BOX, LINK)
        thread.join(10)


# -- URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://mail.example.org", "SmtpMailer('mail.example.org', port=25)"),
        ("smtp://mail.example.org/", "SmtpMailer('mail.example.org', port=25)"),
        ("smtps://mail.example.org", "SmtpMailer('mail.example.org', port=465)"),
        (
            "smtp://me:s%40cret%2F@mail.example.org:587?starttls=1&timeout_s=3",
            "SmtpMailer('mail.example.org', port=587)",
        ),
        ("smtp://me:hunter2@mail.example.org?starttls=0", "SmtpMailer('mail.example.org', port=25)"),
        ("smtp://[::1]:2525?from=a@b.c", "SmtpMailer('::1', port=2525)"),
    ],
)
def test_urls_of_mailers(url: str, shown: str) -> None:
    mailer = SmtpMailer.from_url(url, SENDER)
    assert repr(mailer) == shown
    assert isinstance(mailer, Mailer)


def test_sender_of_the_url_takes_precedence(server: SmtpServer) -> None:
    url = f"smtp://127.0.0.1:{server.port}?from=hub@example.org"
    SmtpMailer.from_url(url, SENDER).send_activation(MIRA_BOX, LINK)
    assert server.mails[0].sender == "hub@example.org"


@pytest.mark.parametrize(
    "url",
    [
        "smtp://",
        "smtp:mail.example.org",
        "smtp://me:hunter2@",
        "smtp://me:hun/ter2@mail.example.org",
        "smtp://me:hunter2@mail.example.org:hunter2",
        "smtp://me:hunter2@mail.example.org:99999",
        "smtp://me:hunter2@[mail.example.org",
        "smtp://me:hunter2@mail.example.org/hunter2",
        "smtp://me:hunter2@mail.example.org#hunter2",
        "smtp://me:hunter2@mail.example.org?password=hunter2",
        "smtp://me:hunter2@mail.example.org?hunter2",
        "smtp://me:hunter2@mail.example.org?starttls=hunter2",
        "smtp://me:hunter2@mail.example.org?timeout_s=hunter2",
        "smtp://me:hunter2@mail.example.org?timeout_s=0",
        "smtp://me:hunter2@mail.example.org?timeout_s=nan",
        "smtps://me:hunter2@mail.example.org?starttls=1",
        "smtp://me@mail.example.org",
        "smtp://:hunter2@mail.example.org",
        "smtp://me:hunter%C3%A4@mail.example.org",
        "http://me:hunter2@mail.example.org",
    ],
)
def test_invalid_urls_are_refused_without_the_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        SmtpMailer.from_url(url, SENDER)
    assert "hun" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("sender", ["", "nobody", "a@b.c\r\nBcc: d@e.f", "Registry <a@b.c>"])
def test_sender_must_be_an_address(sender: str) -> None:
    with pytest.raises(ValueError, match="sender"):
        SmtpMailer.from_url("smtp://mail.example.org", sender)


# -- the whole way


def test_HUB_030_docker_login_mail_click_and_push(
    server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "v1registry"):
        registry = Registry(
            storage=MemoryStorage(),
            auth="users:",
            mail=f"smtp://127.0.0.1:{server.port}",
            mail_from=SENDER,
            public_url=PUBLIC_URL,
        )
        client = Client(registry)
        assert register(client, **MIRA).status_int == 201
        assert log_in(client, "mira_k", "s3cret-one").status_int == 403
        lines = server.mails[0].message.get_content().splitlines()
        (link,) = [line for line in lines if line.startswith("https://")]
        path = urlsplit(link).path
        assert client.get(path).status_int == 200
        assert client.post(path).status_int == 200
        assert log_in(client, "mira_k", "s3cret-one").status_int == 200
    ours = [record for record in caplog.records if record.name.startswith("v1registry")]
    assert ours
    assert path.rpartition("/")[2] not in repr([record.__dict__ for record in ours])


def test_registration_succeeds_while_the_mail_server_is_down(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    client = Client(
        Registry(
            storage=MemoryStorage(),
            auth="users:",
            mail=f"smtp://127.0.0.1:{port}?from={SENDER}",
            public_url=PUBLIC_URL,
        )
    )
    assert register(client, **MIRA).status_int == 201
    assert log_in(client, "mira_k", "s3cret-one").status_int == 403
    assert (
        caplog.text.count(f"the mail for 'mira_k' was not sent: 127.0.0.1:{port}: ConnectionRefusedError")
        == 2
    )


# -- passwords in settings


URL = f"smtp://mira:hunter2@mail.example.org:587?from={SENDER}"
LDAP = "ldap://localhost/dc=example,dc=test????bind_dn=cn=a%2Cdc=test,bind_password=hunter2,start_tls=yes"


def test_check_config_shows_no_passwords(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "registry.ini"
    config.write_text(
        f"[v1registry]\nstorage = memory:\nauth = users:, {LDAP}\nmail = {URL}\nsecret = hunter2 hunter2b\n"
        f"public_url = {PUBLIC_URL}\n"
    )
    # the LDAP server cannot be reached
    assert cli.main(["check-config", "--config", str(config)]) == 3
    told = capsys.readouterr()
    shown = told.out
    assert f"mail = smtp://mira:...@mail.example.org:587?from={SENDER}" in shown
    assert "bind_password=...,start_tls=yes" in shown
    assert "secret = 2 key(s), not shown" in shown
    assert "hunter2" not in shown + told.err

    config.write_text(
        "[v1registry]\nstorage = memory:\nauth = users:\nmail = smtp://mira:hun/ter2@mail.example.org\n"
    )
    assert cli.main(["check-config", "--config", str(config)]) == 2
    told = capsys.readouterr()
    assert "mail: public_url is needed too" in told.err
    assert "ter2" not in told.out + told.err


def test_settings_show_no_passwords() -> None:
    settings = Settings(auth=LDAP, mail=URL, secret=("hunter2",), public_url=PUBLIC_URL)
    assert "hunter2" not in repr(settings)
    for mail in (
        "smtp://mira:hunter2@mail.example.org:x",
        "smtp://mira:hunter2@mail.example.org?y=hunter2",
        "hunter2://x",
    ):
        with pytest.raises(SettingsError) as caught:
            Registry(
                storage=MemoryStorage(), auth="users:", mail=mail, public_url=PUBLIC_URL, mail_from=SENDER
            )
        assert "hunter2" not in str(caught.value)
