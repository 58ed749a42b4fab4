"""The page of an account: its profile, addresses, password, and what its user granted to applications.

Each form is sent to a row of its own, which changes one thing and sends the browser back to the page with a short notice. What cannot
be taken is shown on the page again, with the reasons beside the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from .. import errors
from ..access.credentials import Basic
from ..accounts.base import PROFILE_FIELDS
from ..accounts.fields import checked_password
from ..accounts.profiles import emails_of
from ..oauth.scopes import in_words
from ..rights import User
from ..wsgi.request import configured
from ..wsgi.responses import Response
from .consent import place_of
from .forms import read_form
from .login import DIFFERENT_PASSWORDS, accounts_access, log_in_first
from .services import Request
from .visitors import Visitor, visitor_of

#: What was done, as the address says it after a form, and in words.
_NOTICES: Final = {
    "profile": "Your profile is saved.",
    "email": "The address is added.",
    "mailed": "A link is mailed to the address, unless it got one just now. Open it to confirm the address.",
    "primary": "Your primary address is another one now.",
    "removed": "The address is removed.",
    "password": "Your password is changed. Other browsers are logged out. Applications with access keep it: they are listed below.",
    "password-alone": "Your password is changed. Other browsers are logged out, and no application has access.",
    "revoked": "The application has no access any more: what it was granted is revoked.",
}


class _Refused(Exception):
    """Fields cannot be taken; nothing changed.

    :param problems: field -> what is wrong with it, in words; under the empty name what is wrong with no field.
    """

    def __init__(self, problems: Mapping[str, str], status: int = 400):
        super().__init__()
        self.problems = problems
        self.status = status


def get_account(request: Request) -> Response:
    visitor = visitor_of(request)
    return _page(request, visitor, notice=_NOTICES.get(request.query("done") or ""))


#: What a form changes: takes the request, its visitor, the user and the fields, and returns the key of a notice.
_Change = Callable[[Request, Visitor, User, Mapping[str, str]], str]


def _form(change: _Change) -> Callable[[Request], Response]:
    """Return the handler of a form: who is it, do they mean it, and back to the page."""

    @wraps(change)
    def handler(request: Request) -> Response:
        form, visitor = read_form(request), visitor_of(request)
        if visitor.user is None:
            return _page(request, visitor)
        visitor.check_form(request, form)
        try:
            done = change(request, visitor, visitor.user, form)
        except _Refused as refused:
            return _page(request, visitor, form=form, problems=refused.problems, status=refused.status)
        except errors.InvalidFields as error:
            problems = {name: " ".join(texts) for name, texts in error.problems.items()}
            return _page(request, visitor, form=form, problems=problems, status=error.status)
        except errors.EmailNotFound as error:
            return _page(request, visitor, problems={"": error.public}, status=error.status)
        pages = request.services.pages
        return pages.redirect(request, pages.url(request, "/account", done=done), visitor=visitor)

    return handler


@_form
def post_profile(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    fields = {name: form[name].strip() for name in PROFILE_FIELDS if name in form}
    configured(request.services.accounts).change_profile(user.name, fields)
    return "profile"


@_form
def post_email(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Add an address. Unlike the accounts API a person gets the link that confirms it."""
    accounts, email = configured(request.services.accounts), form.get("email", "").strip()
    accounts.require_changeable(user.name)
    try:
        accounts.change(user.name, {"email": email})
    except (errors.InvalidAccountField, errors.AccountTaken) as error:
        raise _Refused({"email": error.public}) from None
    return "mailed" if accounts.mails_links else "email"


@_form
def post_primary_email(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    fields = {"email": form.get("address", ""), "primary": True}
    try:
        configured(request.services.accounts).change_email(user.name, fields, may_verify=False)
    except errors.InvalidFields as error:
        raise _Refused({"": error.public}) from None
    return "primary"


@_form
def post_email_link(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    configured(request.services.accounts).mail_again(user.name, form.get("address", ""))
    return "mailed"


@_form
def post_email_removal(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    try:
        configured(request.services.accounts).remove_email(user.name, form.get("address", ""))
    except errors.InvalidFields as error:
        raise _Refused({"": error.public}) from None
    return "removed"


@_form
def post_password(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Change the password of who knows the old one: a browser that was left alone is not enough.

    Every other session ends by that, and this one begins anew. What applications may do ends if that is wanted too.
    """
    configured(request.services.accounts).require_changeable(user.name)
    password = form.get("new_password", "")
    try:
        checked_password(password)
    except errors.InvalidAccountField as error:
        raise _Refused({"new_password": error.public}) from None
    if form.get("new_password_again", "") != password:
        raise _Refused({"new_password_again": DIFFERENT_PASSWORDS})
    try:
        accounts_access(request).log_in(Basic(user.name, form.get("old_password", "")), request.environ)
    except errors.Unauthorized:
        raise _Refused({"old_password": "This is not your password"}) from None
    except errors.TooManyAttempts as error:
        raise _Refused({"old_password": error.public}, error.status) from None
    configured(request.services.accounts).change(user.name, {"password": password})
    if visitor.is_here:
        visitor.log_in(user)
    grants = configured(request.services.oauth).grants
    if form.get("revoke_all"):
        # last, or whoever knows the old password could let an application in between
        grants.revoke_all(user.name)
    return "password" if grants.of_user(user.name) else "password-alone"


@_form
def post_revocation(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    # one that is gone already is what was wanted
    configured(request.services.oauth).grants.revoke(user.name, form.get("grant", ""))
    return "revoked"


# -- inside


def _page(
    request: Request,
    visitor: Visitor,
    *,
    form: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
    notice: str | None = None,
    status: int = 200,
) -> Response:
    """Return the page of whoever is logged in; who is not logs in first.

    :param form: what was sent and could not be taken, to be shown once more.
    """
    pages = request.services.pages
    account = None if visitor.user is None else configured(request.services.accounts).current(visitor.user)
    if account is None:
        return log_in_first(request, visitor, pages.url(request, "/account"))
    name, form = account.user.name, form or {}
    values: dict[str, Any] = {
        "account": account,
        "emails": emails_of(account),
        "is_changeable": _is_changeable(request, name),
        "mails_links": configured(request.services.accounts).mails_links,
        "profile": {field: form.get(field, getattr(account, field)) for field in PROFILE_FIELDS},
        "new_email": form.get("email", ""),
        "is_revoking_all": bool(form.get("revoke_all")),
        "grants": [
            {
                "id": grant.id,
                "application": grant.application,
                "place": place_of(grant.application.redirect_uris[0]),
                "words": in_words(grant.scopes),
                "granted_at": grant.granted_at,
            }
            for grant in configured(request.services.oauth).grants.of_user(name)
        ],
        "problems": problems or {},
        "notice_text": notice,
    }
    return pages.render(request, "account.html", values, status=status, visitor=visitor)


def _is_changeable(request: Request, username: str) -> bool:
    try:
        configured(request.services.accounts).require_changeable(username)
    except (errors.AccountNotChangeable, errors.AccountNotFound):
        return False
    return True
