"""Settings of mails with links that activate accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .. import converters
from .rows import setting


@dataclass(frozen=True)
class MailSettings:
    """Mails with links that activate accounts."""

    mail: object = setting(
        "",
        converters.text,
        "the sender of links that activate accounts: smtp://USER:PASSWORD@HOST:PORT, smtps://..., or "
        "MODULE:ATTRIBUTE of a Mailer; needs public_url; if empty, accounts are active at once",
        is_object=True,
        holds_password=True,
    )
    mail_from: str = setting("", converters.email, "the sender's address of such mails")
    link_lifetime_s: int = setting(
        259_200,
        converters.positive_number,
        "the lifetime of links in mails, in seconds; an account that is not activated within it gives way to "
        "a new one of its name or address",
    )
    mails_per_address: int = setting(
        20,
        converters.positive_number,
        "how many accounts one client address may register in an hour if each is mailed a link",
    )
    mails_per_mailbox: int = setting(
        5,
        converters.positive_number,
        "how many mails one mailbox gets in an hour; mira+ci@example.org is the mailbox mira@example.org",
    )
    mails_per_hour: int = setting(
        500, converters.positive_number, "how many mails are sent in an hour, in one process"
    )
    link_path: str = setting(
        "/accounts/activate",
        converters.link_path,
        "the path below which links in mails are, also in front of another application",
    )


class MailOptions(TypedDict, total=False):
    """The same settings as keyword arguments."""

    mail: object
    mail_from: str
    link_lifetime_s: int | str
    mails_per_address: int | str
    mails_per_mailbox: int | str
    mails_per_hour: int | str
    link_path: str
