"""The routing tables of the pages, and the handler of static files."""

from __future__ import annotations

from ..paths import OAUTH
from ..wsgi.responses import Response, error_object
from ..wsgi.routing import Api, Route, Table
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
from .browse_manifests import get_manifest
from .consent import get_authorize, post_authorize
from .links import get_link, post_link
from .login import get_login, get_register, post_login, post_logout, post_register
from .manage import (
    get_manage,
    post_collaborator,
    post_deletion,
    post_description,
    post_privacy,
    post_rule,
    post_tag_deletion,
)
from .pages import Pages
from .services import Request
from .usage import get_usage


def get_static(request: Request) -> Response:
    """Return a static file, such as the style sheet.

    :raises PathNotFound: there is no such file.
    """
    return request.services.pages.static(request)


def pages_api(pages: Pages, *, has_images: bool, has_oauth: bool, has_manifests: bool) -> Api:
    """Return the pages that a configuration serves. OAuth needs some of them even if there are no others.

    :param has_images: whether images are stored here.
    :param has_oauth: whether users can grant access to applications.
    :param has_manifests: whether the distribution API is served.
    """
    base = pages.base
    rows: list[Route] = []
    if pages.can_browse:
        rows += _browse_rows(base)
        rows += _image_rows(base) if has_images else []
    if pages.can_browse or pages.has_accounts:
        rows += _file_rows(base)
    if pages.has_accounts and (pages.can_browse or has_oauth):
        rows += _login_rows(base)
        rows += _account_rows(base) if pages.can_browse else []
        rows += _manage_rows(base) if pages.can_browse else []
        rows += _manage_image_rows(base) if pages.can_browse and has_images else []
        rows += _usage_rows(base) if pages.can_browse and has_images else []
    rows += _manifest_rows(base) if pages.can_browse and has_manifests else []
    if has_oauth:
        rows += _consent_rows()
        rows += _revocation_rows(base) if pages.can_browse else []
    if pages.can_register:
        rows += _register_rows(base)
    return Api(
        "pages",
        paths=(f"{base}[/]", f"{base}/*") if pages.can_browse else (),
        routes=Table(*rows),
        error_response=error_object,
        is_for_people=True,
    )


# fmt: off
def _browse_rows(base: str) -> list[Route]:
    start = (f"{base}[/]", get_repositories) if base else ("/", get_front)
    return [
        #     method    path                                     handler              needs  is_page
        Route("GET",    *start,                                                       None,  True),
        Route("GET",    f"{base}/repositories/{{repository}}",   get_repository,      None,  True),
    ]


def _image_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/images/{{image_id}}",           get_image,           None,  True),
        Route("GET",    f"{base}/images/{{image_id}}/files",     get_files,           None,  True),
        Route("GET",    f"{base}/images/{{image_id}}/changes",   get_changes,         None,  True),
    ]


def _manifest_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/manifests/{{digest}}",          get_manifest,        None,  True),
    ]


def _file_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/static/{{file}}",               get_static,          None),
    ]


def _login_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/login[/]",                      get_login,           None,  True),
        Route("POST",   f"{base}/login[/]",                      post_login,          None,  True,
          changes=False),
        Route("POST",   f"{base}/logout[/]",                     post_logout,         None,  True,
          changes=False),
    ]


def _consent_rows() -> list[Route]:
    return [
        Route("GET",    f"{OAUTH}/authorize[/]",                 get_authorize,       None,  True),
        Route("POST",   f"{OAUTH}/authorize[/]",                 post_authorize,      None,  True),
    ]


def _register_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/register[/]",                   get_register,        None,  True,
          changes=True),
        Route("POST",   f"{base}/register[/]",                   post_register,       None,  True),
    ]


def _account_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/account[/]",                    get_account,         None,  True),
        Route("POST",   f"{base}/account/profile[/]",            post_profile,        None,  True),
        Route("POST",   f"{base}/account/password[/]",           post_password,       None,  True),
        Route("POST",   f"{base}/account/emails[/]",             post_email,          None,  True),
        Route("POST",   f"{base}/account/emails/link[/]",        post_email_link,     None,  True),
        Route("POST",   f"{base}/account/emails/primary[/]",     post_primary_email,  None,  True),
        Route("POST",   f"{base}/account/emails/removal[/]",     post_email_removal,  None,  True),
    ]


def _manage_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/manage/{{repository}}",                get_manage,        None,  True,
          changes=True),
        Route("POST",   f"{base}/manage/description/{{repository}}",    post_description,  None,  True),
        Route("POST",   f"{base}/manage/privacy/{{repository}}",        post_privacy,      None,  True),
        Route("POST",   f"{base}/manage/collaborators/{{repository}}",  post_collaborator, None,  True),
    ]


def _manage_image_rows(base: str) -> list[Route]:
    return [
        Route("POST",   f"{base}/manage/rule/{{repository}}",           post_rule,         None,  True),
        Route("POST",   f"{base}/manage/tags/{{repository}}",           post_tag_deletion, None,  True),
        Route("POST",   f"{base}/manage/deletion/{{repository}}",       post_deletion,     None,  True),
    ]


def _usage_rows(base: str) -> list[Route]:
    return [
        Route("GET",    f"{base}/usage[/]",                             get_usage,         None,  True),
    ]


def _revocation_rows(base: str) -> list[Route]:
    return [
        Route("POST",   f"{base}/account/grants/revocation[/]",  post_revocation,     None,  True),
    ]


def links_api(path: str) -> Api:
    """Return the pages of mailed links.

    :param path: the setting ``link_path``. It may be below that of the other pages, so its rows come first.
    """
    return Api(
        "links",
        paths=(f"{path}/*",),
        routes=Table(
            Route("GET",    f"{path}/{{token}}",                 get_link,            None,  True, rank=-1),
            Route("POST",   f"{path}/{{token}}",                 post_link,           None,  True, rank=-1),
        ),
        error_response=error_object,
        is_for_people=True,
    )
# fmt: on
