"""The page of an account: profile, addresses, password, and the grants of applications.

Each form has its own handler, which changes one thing and redirects to the page with a short notice. An
invalid form is shown again, with the errors beside the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import islice
from typing import Any, Final

from .. import errors
from ..access.credentials import Basic
from ..accounts.base import PROFILE_FIELDS
from ..accounts.fields import checked_password
from ..accounts.profiles import emails_of
from ..oauth.scopes import in_words
from ..rights import User
from ..storage.base import InvalidKey
from ..wsgi.request import configured
from ..wsgi.responses import Response
from .browse import may_manage, rights_of
from .consent import place_of
from .forms import InvalidForm, read_form
from .login import DIFFERENT_PASSWORDS, accounts_access, log_in_first
from .services import Request
from .views.texts import shown
from .visitors import Visitor, visitor_of

#: How many repositories of the user are named.
REPOSITORIES_NAMED: Final = 20

#: Value of ``done`` in the address after a form -> notice on the page.
_NOTICES: Final = {
    "profile": "Your profile has been saved.",
    "email": "The address has been added.",
    "mailed": (
        "We have mailed a link to the address, unless it got one a moment ago. "
        "Open the link to confirm the address."
    ),
    "primary": "Your primary address has been changed.",
    "removed": "The address has been removed.",
    "password": (
        "Your password has been changed. Other browsers are logged out. "
        "Applications with access keep it. They are listed below."
    ),
    "password-alone": (
        "Your password has been changed. Other browsers are logged out, and no application has access."
    ),
    "revoked": "The access of the application has been revoked.",
}


def get_account(request: Request) -> Response:
    """Show the account of the visitor."""
    visitor = visitor_of(request)
    return _page(request, visitor, notice=_NOTICES.get(request.query("done") or ""))


#: Makes the change of a form: takes the request, its visitor, the user and the fields; returns a key of
#: _NOTICES.
_Change = Callable[[Request, Visitor, User, Mapping[str, str]], str]


def _form(change: _Change) -> Callable[[Request], Response]:
    """Return the handler of a form: it checks the visitor and the form, makes the change, and redirects."""

    @wraps(change)
    def handler(request: Request) -> Response:
        form, visitor = read_form(request), visitor_of(request)
        if visitor.user is None:
            return _page(request, visitor)
        visitor.check_form(request, form)
        try:
            done = change(request, visitor, visitor.user, form)
        except InvalidForm as invalid:
            return _page(request, visitor, form=form, problems=invalid.problems, status=invalid.status)
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
    """Change fields of the profile."""
    fields = {name: form[name].strip() for name in PROFILE_FIELDS if name in form}
    configured(request.services.accounts).change_profile(user.name, fields)
    return "profile"


@_form
def post_email(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Add an address, and mail the link that confirms it. The accounts API mails no link."""
    accounts, email = configured(request.services.accounts), form.get("email", "").strip()
    configured(request.services.accounts).require_changeable(user.name)
    try:
        accounts.change(user.name, {"email": email})
    except (errors.InvalidAccountField, errors.AccountTaken) as error:
        raise InvalidForm({"email": error.public}) from None
    return "mailed" if accounts.mails_links else "email"


@_form
def post_primary_email(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Make a confirmed address the primary one."""
    fields = {"email": form.get("address", ""), "primary": True}
    try:
        configured(request.services.accounts).change_email(user.name, fields, may_verify=False)
    except errors.InvalidFields as error:
        raise InvalidForm({"": error.public}) from None
    return "primary"


@_form
def post_email_link(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Mail the link that confirms an address again."""
    configured(request.services.accounts).mail_again(user.name, form.get("address", ""))
    return "mailed"


@_form
def post_email_removal(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Remove an address."""
    try:
        configured(request.services.accounts).remove_email(user.name, form.get("address", ""))
    except errors.InvalidFields as error:
        raise InvalidForm({"": error.public}) from None
    return "removed"


@_form
def post_password(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Change the password. The form needs the old one, because a session may be left unattended.

    All other sessions end, and this one gets a new id. Grants of applications end if the user asks for it.
    """
    configured(request.services.accounts).require_changeable(user.name)
    password = form.get("new_password", "")
    try:
        checked_password(password)
    except errors.InvalidAccountField as error:
        raise InvalidForm({"new_password": error.public}) from None
    if form.get("new_password_again", "") != password:
        raise InvalidForm({"new_password_again": DIFFERENT_PASSWORDS})
    try:
        accounts_access(request).log_in(Basic(user.name, form.get("old_password", "")), request.environ)
    except errors.Unauthorized:
        raise InvalidForm({"old_password": "The password is wrong"}) from None
    except errors.TooManyAttempts as error:
        raise InvalidForm({"old_password": error.public}, error.status) from None
    configured(request.services.accounts).change(user.name, {"password": password})
    if visitor.has_session:
        visitor.log_in(user)
    oauth = request.services.oauth
    if oauth is None:
        return "password-alone"
    if form.get("revoke_all"):
        # after the change, so that the old password cannot grant access in between
        oauth.grants.revoke_all(user.name)
    return "password" if oauth.grants.of_user(user.name) else "password-alone"


@_form
def post_revocation(request: Request, visitor: Visitor, user: User, form: Mapping[str, str]) -> str:
    """Revoke the access of an application. A grant that does not exist any more is no error."""
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
    """Return the page of the account, or a redirect to the log-in.

    :param form: an invalid form, to be shown again.
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
        "shows_usage": request.services.settings.images == "here",
        "is_revoking_all": bool(form.get("revoke_all")),
        "grants": _shown_grants(request, name),
        "repositories": _own_repositories(request, visitor, account.user.namespace),
        "problems": problems or {},
        "notice_text": notice,
    }
    return pages.render(request, "account.html", values, status=status, visitor=visitor)


def _own_repositories(request: Request, visitor: Visitor, namespace: str) -> dict[str, Any]:
    """Return the first repositories of a namespace, and whether there are more."""
    repositories, rights = request.services.repositories, rights_of(visitor)
    try:
        candidates = sorted(repositories.in_namespace(namespace), key=str)
    except InvalidKey:  # the name of a user need not be one of a namespace
        candidates = []
    found = (name for name in candidates if rights.may_list(name) and repositories.exists(name))
    names = list(islice(found, REPOSITORIES_NAMED + 1))
    rows = [
        {
            "name": name,
            "label": shown(name.short, 300),
            "is_private": repositories.is_private(name),
            "may_manage": may_manage(request, visitor, name),
        }
        for name in names[:REPOSITORIES_NAMED]
    ]
    return {"rows": rows, "has_more": len(names) > REPOSITORIES_NAMED}


def _shown_grants(request: Request, username: str) -> list[dict[str, Any]] | None:
    """Return the user's grants as the page shows them, None on a server without OAuth."""
    if request.services.oauth is None:
        return None
    return [
        {
            "id": grant.id,
            "application": grant.application,
            "place": place_of(grant.application.redirect_uris[0]),
            "words": in_words(grant.scopes),
            "granted_at": grant.granted_at,
        }
        for grant in request.services.oauth.grants.of_user(username)
    ]


def _is_changeable(request: Request, username: str) -> bool:
    try:
        configured(request.services.accounts).require_changeable(username)
    except (errors.AccountNotChangeable, errors.AccountNotFound):
        return False
    return True
