"""The pages to log in, to log out and to register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from .. import errors
from ..access.accounts import AccountsAccess
from ..access.credentials import Basic
from ..rights import User
from ..wsgi.request import configured
from ..wsgi.responses import Response
from .forms import local_target, read_form, site_of, target_of_referer
from .pages import OPENED_BY_OTHERS
from .services import Request
from .visitors import Visitor, visitor_of

_WRONG: Final = "The user name or the password is wrong"
_MAILED: Final = (
    "This account is not active. If it waits for activation, we have mailed a link to its address. "
    "Open the link, then log in here"
)
_INACTIVE: Final = "This account is not active. Ask an administrator"

DIFFERENT_PASSWORDS: Final = "The two passwords are different"


# -- log in, log out


def get_login(request: Request) -> Response:
    """Show the form. Redirect a logged-in user to the page ``next``."""
    pages, visitor = request.services.pages, visitor_of(request)
    target = local_target(request, pages, request.query("next")) or target_of_referer(request, pages)
    if visitor.user is not None:
        return _welcome(request, visitor, target)
    is_after_log_out = request.query("done") == "logout"
    return _login_page(request, visitor, {"next": target or ""}, is_after_log_out=is_after_log_out)


def post_login(request: Request) -> Response:
    """Log in by the rules of Basic authentication. The answer does not reveal which user names exist."""
    form = read_form(request)
    pages, visitor = request.services.pages, visitor_of(request)
    target = local_target(request, pages, form.get("next"))
    values = {"next": target or "", "username": form.get("username", "")}
    if visitor.user is not None:
        return _welcome(request, visitor, target)
    problem = visitor.form_problem(request, form)
    if problem is not None:
        return _login_page(request, visitor, values, problem=problem, status=403)
    try:
        user = accounts_access(request).log_in(
            Basic(values["username"], form.get("password", "")), request.environ
        )
    except errors.Unauthorized as error:
        # without a challenge, because browsers would open a password dialog
        return _login_page(request, visitor, values, problem=_WRONG, status=error.status)
    except errors.TooManyAttempts as error:
        return _login_page(
            request,
            visitor,
            values,
            problem=error.public,
            status=error.status,
            headers=error.headers.items(),
        )
    except errors.AccountInactive as error:
        accounts = configured(request.services.accounts)
        accounts.logged_in_inactive(values["username"])
        problem = _MAILED if accounts.mails_links else _INACTIVE
        return _login_page(request, visitor, values, problem=problem, status=error.status)
    visitor.log_in(user)
    return _welcome(request, visitor, target)


def post_logout(request: Request) -> Response:
    """End the session, also for copies of its cookie."""
    form, visitor = read_form(request), visitor_of(request)
    if visitor.session is not None:
        visitor.check_form(request, form)
        visitor.log_out()
    pages = request.services.pages
    return pages.redirect(request, pages.url(request, "/login", done="logout"), visitor=visitor)


# -- register


def get_register(request: Request) -> Response:
    """Show the form. Redirect a logged-in user to the page ``next``."""
    pages, visitor = request.services.pages, visitor_of(request)
    target = local_target(request, pages, request.query("next"))
    if visitor.user is not None:
        return _welcome(request, visitor, target)
    return _register_page(request, visitor, {"next": target or ""})


def post_register(request: Request) -> Response:
    """Create an account, and log in, unless the address must be confirmed first."""
    form, accounts = read_form(request), configured(request.services.accounts)
    pages, visitor = request.services.pages, visitor_of(request)
    target = local_target(request, pages, form.get("next"))
    if visitor.user is not None:
        return _welcome(request, visitor, target)
    account = {name: form.get(name, "") for name in ("username", "email", "password")}
    values = {"next": target or "", "username": account["username"], "email": account["email"]}
    problem = visitor.form_problem(request, form)
    if problem is not None:
        return _register_page(request, visitor, values, {"": problem}, status=403)
    problems = accounts.problems(account)
    if "password" not in problems and form.get("password_again", "") != account["password"]:
        problems["password_again"] = DIFFERENT_PASSWORDS
    if not problems:
        try:
            accounts.register(account, request.origin.client_address)
        except errors.AccountTaken as error:
            problems[""] = error.public
        except errors.TooManyRegistrations as error:
            return _register_page(
                request,
                visitor,
                values,
                {"": error.public},
                status=error.status,
                headers=error.headers.items(),
            )
    if problems:
        return _register_page(request, visitor, values, problems, status=400)
    if accounts.mails_links:
        return pages.render(request, "registered.html", values, visitor=visitor)
    # the user has just chosen the password, so a log-in would ask for nothing new
    visitor.log_in(User(account["username"]))
    return _welcome(request, visitor, target)


# -- inside


def accounts_access(request: Request) -> AccountsAccess:
    """Return the service that checks passwords. The handlers here exist only on servers with accounts."""
    access = request.services.access
    assert isinstance(access, AccountsAccess)
    return access


def log_in_first(request: Request, visitor: Visitor, target: str) -> Response:
    """Redirect to the log-in, which then redirects to the path ``target``."""
    pages = request.services.pages
    return pages.redirect(request, pages.url(request, "/login", next=target), visitor=visitor)


def _welcome(request: Request, visitor: Visitor, target: str | None) -> Response:
    """Redirect a logged-in user to ``target`` or to the account. Without other pages, confirm the log-in."""
    pages = request.services.pages
    if target is None and pages.can_browse:
        target = pages.url(request, "/account")
    if target is None and request.method != "POST":
        return pages.render(request, "logged_in.html", visitor=visitor)
    return pages.redirect(request, target or pages.url(request, "/login"), visitor=visitor)


def _login_page(
    request: Request,
    visitor: Visitor,
    values: Mapping[str, object],
    *,
    problem: str | None = None,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
    is_after_log_out: bool = False,
) -> Response:
    backend = accounts_access(request).backend
    values = {
        "username": "",
        **values,
        "problem": problem,
        "is_after_log_out": is_after_log_out,
        # False if only the surrounding application logs users in
        "takes_passwords": backend.takes_passwords,
        "login_url": _login_url(request, str(values.get("next", ""))),
    }
    return request.services.pages.render(
        request,
        "login.html",
        values,
        status=status,
        visitor=visitor,
        headers=[*OPENED_BY_OTHERS, *headers],
    )


def _login_url(request: Request, target: str) -> str:
    """Return the address of the log-in of the surrounding application; empty if none is configured.

    :param target: the path to return to, or empty text.
    """
    services = request.services
    back = f"{site_of(request)}{target or services.pages.url(request, '/')}"
    return services.settings.login_url.replace("{next}", quote(back, safe=""))


def _register_page(
    request: Request,
    visitor: Visitor,
    values: dict[str, str],
    problems: dict[str, str] | None = None,
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    shown = {"username": "", "email": "", **values, "problems": problems or {}}
    return request.services.pages.render(
        request,
        "register.html",
        shown,
        status=status,
        visitor=visitor,
        headers=[*OPENED_BY_OTHERS, *headers],
    )
