"""The pages for people: their routing tables, and the handlers of what belongs to all of them."""

from __future__ import annotations

from ..oauth.api import PATH as OAUTH_PATH
from ..wsgi.responses import Response
from ..wsgi.routing import Route, Table
from .account import (
    get_account,
    post_email,
    post_email_link,
    post_email_removal,
    post_password,
    post_primary_email,
    post_profile,
    post_revocation,
)
from .browse import get_front, get_repositories, get_repository
from .browse_images import get_changes, get_files, get_image
from .consent import get_authorize, post_authorize
from .links import get_link, post_link
from .login import get_login, get_register, post_login, post_logout, post_register
from .services import Request


def get_static(request: Request) -> Response:
    """Return a style sheet or a script."""
    return request.services.pages.static(request)


# fmt: off
def browse_routes(base: str) -> Table:
    """Return the rows of the repositories, below a path. At the root the start page shares ``/`` with the JSON string."""
    start = (f"{base}[/]", get_repositories) if base else ("/", get_front)
    return Table(
        #     method    path                                   handler            needs  is_page
        Route("GET",    *start,                                                   None,  True),
        Route("GET",    f"{base}/repositories/{{repository}}", get_repository,    None,  True),
    )


def image_routes(base: str) -> Table:
    """Return the rows of images, below a path; not for an index whose images are elsewhere."""
    return Table(
        Route("GET",    f"{base}/images/{{image_id}}",         get_image,         None,  True),
        Route("GET",    f"{base}/images/{{image_id}}/files",   get_files,         None,  True),
        Route("GET",    f"{base}/images/{{image_id}}/changes", get_changes,       None,  True),
    )


def essential_routes(base: str) -> Table:
    """Return the rows that OAuth needs too, below a path."""
    return Table(
        #     method    path                                   handler            needs  is_page
        Route("GET",    f"{base}/static/{{file}}",             get_static,        None),
    )


def login_routes(base: str) -> Table:
    """Return the rows by which people log in and out, below a path, and those of consent. OAuth needs them all."""
    return Table(
        #     method    path                                   handler            needs  is_page
        Route("GET",    f"{base}/login[/]",                    get_login,         None,  True),
        Route("POST",   f"{base}/login[/]",                    post_login,        None,  True),
        Route("POST",   f"{base}/logout[/]",                   post_logout,       None,  True),
        Route("GET",    f"{OAUTH_PATH}/authorize[/]",          get_authorize,     None,  True),
        Route("POST",   f"{OAUTH_PATH}/authorize[/]",          post_authorize,    None,  True),
    )


def register_routes(base: str) -> Table:
    """Return the rows by which people make accounts, below a path."""
    return Table(
        Route("GET",    f"{base}/register[/]",                 get_register,      None,  True),
        Route("POST",   f"{base}/register[/]",                 post_register,     None,  True),
    )


def account_routes(base: str) -> Table:
    """Return the rows of an account, below a path."""
    return Table(
        Route("GET",    f"{base}/account[/]",                    get_account,         None,  True),
        Route("POST",   f"{base}/account/profile[/]",            post_profile,        None,  True),
        Route("POST",   f"{base}/account/password[/]",           post_password,       None,  True),
        Route("POST",   f"{base}/account/emails[/]",             post_email,          None,  True),
        Route("POST",   f"{base}/account/emails/link[/]",        post_email_link,     None,  True),
        Route("POST",   f"{base}/account/emails/primary[/]",     post_primary_email,  None,  True),
        Route("POST",   f"{base}/account/emails/removal[/]",     post_email_removal,  None,  True),
        Route("POST",   f"{base}/account/grants/revocation[/]",  post_revocation,     None,  True),
    )


def link_routes(path: str) -> Table:
    """Return the rows of mailed links below a path, of two segments at least, that a setting names."""
    return Table(
        Route("GET",    f"{path}/{{token}}",                   get_link,          None,  True),
        Route("POST",   f"{path}/{{token}}",                   post_link,         None,  True),
    )
# fmt: on
