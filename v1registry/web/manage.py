"""The pages by which owners change and delete a repository and its tags.

An owner is a user who may delete the repository. Each form has its own handler, which changes one thing and
redirects with a short notice. Deletions are confirmed: a tag on a page of its own, a repository by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from .. import errors
from ..accounts.base import NotSupported
from ..distribution.places import Place
from ..names import RepositoryName
from ..registry.tags import TagRule
from ..rights import Action
from ..wsgi.bodies import SMALL_BODY_BYTES
from ..wsgi.request import configured
from ..wsgi.responses import Response
from .browse import readable_repository, rights_of
from .forms import InvalidForm, read_form
from .login import log_in_first
from .services import Request
from .tag_manifests import digest_without_image
from .views.texts import shown
from .visitors import Visitor, visitor_of

#: Value of ``done`` in the address after a form -> notice on the page.
_NOTICES: Final = {
    "description": "The description has been saved.",
    "private": "The repository is private. Only you, its collaborators and administrators see it.",
    "public": "The repository is public. All visitors see it.",
    "collaborator": "The collaborators have been changed.",
    "rule": "The rule of the tags has been changed.",
    "tag": "The tag has been deleted.",
}

#: Longest description, in characters: more is not shown.
LONGEST_DESCRIPTION: Final = 25_000

#: The largest form of an owner, in bytes: browsers send 12 for some characters.
_LONGEST_FORM: Final = 12 * LONGEST_DESCRIPTION + SMALL_BODY_BYTES

#: How many collaborators a repository may get on the pages.
MOST_COLLABORATORS: Final = 500

#: Word in a form -> the right of a collaborator.
_RIGHTS: Final[Mapping[str, Action | None]] = {"read": Action.READ, "write": Action.WRITE, "none": None}

_LONGEST_NAME: Final = 255

#: What a digest begins with, and an image id does not.
_DIGEST: Final = "sha256:"

#: Makes the change of a form: takes the request, the repository and the fields; returns a key of _NOTICES.
_Change = Callable[[Request, RepositoryName, Mapping[str, str]], str]


def get_manage(request: Request) -> Response:
    """Show the forms of a repository to its owners. With ``tag`` show the confirmation of its deletion.

    :raises RepositoryNotFound: the repository does not exist, or the visitor may not read it.
    :raises Forbidden: the visitor is not an owner.
    :raises TagNotFound: the tag is not set.
    """
    visitor = visitor_of(request)
    if visitor.user is None:
        return _log_in_first(request, visitor)
    name, tag = _owned(request, visitor), request.query("tag")
    if tag is None:
        return _page(request, visitor, name, notice=_NOTICES.get(request.query("done") or ""))
    target = _target_of_tag(request, visitor, name, tag)
    values = {**_name(name), "tag": tag, "tag_label": shown(tag, 300), "target": target}
    return request.services.pages.render(request, "delete_tag.html", values, visitor=visitor)


def _form(change: _Change) -> Callable[[Request], Response]:
    """Return the handler of a form: it checks visitor, form and right, makes the change, and redirects."""

    @wraps(change)
    def handler(request: Request) -> Response:
        visitor = visitor_of(request)
        form = read_form(request, SMALL_BODY_BYTES if visitor.user is None else _LONGEST_FORM)
        if visitor.user is None:
            return _log_in_first(request, visitor)
        visitor.check_form(request, form)
        name = _owned(request, visitor)
        try:
            done = change(request, name, form)
        except InvalidForm as invalid:
            return _page(request, visitor, name, form=form, problems=invalid.problems, status=invalid.status)
        services = request.services
        # a repository of which nothing is left does not exist any more
        place = ("/manage/", str(name)) if services.repositories.exists(name) else ("/",)
        return services.pages.redirect(
            request, services.pages.url(request, *place, done=done), visitor=visitor
        )

    return handler


@_form
def post_description(request: Request, name: RepositoryName, form: Mapping[str, str]) -> str:
    """Set the description; an empty one removes it."""
    text = form.get("description", "").replace("\r\n", "\n")
    if len(text) > LONGEST_DESCRIPTION:
        problem = f"The description must have at most {LONGEST_DESCRIPTION:,} characters, not {len(text):,}"
        raise InvalidForm({"description": problem})
    request.services.repositories.describe(name, text)
    return "description"


@_form
def post_privacy(request: Request, name: RepositoryName, form: Mapping[str, str]) -> str:
    """Make the repository private or public."""
    access = form.get("access", "")
    if access not in ("private", "public"):
        raise InvalidForm({"": "Choose whether the repository is private or public"})
    request.services.holding.begin(name)
    request.services.repositories.set_private(name, access == "private")
    return access


@_form
def post_collaborator(request: Request, name: RepositoryName, form: Mapping[str, str]) -> str:
    """Add, change or remove a collaborator. Names of users who do not exist can only be removed."""
    username, right = form.get("user", "").strip(), form.get("right", "")
    repositories = request.services.repositories
    if right not in _RIGHTS:
        raise InvalidForm({"": "Choose what the collaborator may do"})
    collaborators = repositories.collaborators(name)
    is_known = username in collaborators
    if not is_known:
        found = None if right == "none" else _name_of_user(request, username)
        if found is None:
            raise InvalidForm({"user": "There is no user of this name"})
        username, is_known = found, found in collaborators
    if not is_known and len(collaborators) >= MOST_COLLABORATORS:
        raise InvalidForm({"user": f"A repository has at most {MOST_COLLABORATORS} collaborators"})
    id_of = configured(request.services.accounts).id_of
    repositories.set_collaborator(name, username, _RIGHTS[right], id_of=id_of)
    return "collaborator"


@_form
def post_rule(request: Request, name: RepositoryName, form: Mapping[str, str]) -> str:
    """Set whether tags may be moved."""
    if form.get("rule") not in {rule.value for rule in TagRule}:
        raise InvalidForm({"": "Choose whether tags may be moved"})
    request.services.repositories.set_tag_rule(name, TagRule(form["rule"]))
    return "rule"


@_form
def post_tag_deletion(request: Request, name: RepositoryName, form: Mapping[str, str]) -> str:
    """Delete a tag, unless a push moved it after the confirmation was shown.

    :raises TagNotFound: the tag is not set.
    """
    visitor, tag = visitor_of(request), form.get("tag", "")
    target = _target_of_tag(request, visitor, name, tag)
    is_same = form.get("target", target) == target
    if is_same and target.startswith(_DIGEST):
        place, sha256 = Place.of(rights_of(visitor), name), target.removeprefix(_DIGEST)
        try:
            request.services.distribution.manifests.delete_tag(place, tag, only=sha256)
        except errors.ManifestUnknown:
            is_same = False
    elif is_same:
        request.services.repositories.delete_tag(name, tag)
    if not is_same:
        problem = f"The tag {shown(tag, 100)} names something different now. Nothing was deleted"
        raise InvalidForm({"": problem}, status=409)
    return "tag"


@_form
def post_deletion(request: Request, name: RepositoryName, form: Mapping[str, str]) -> str:
    """Delete the repository. The form repeats its name."""
    if form.get("name", "").strip() not in (str(name), name.short):
        raise InvalidForm({"name": f"Type the name of the repository, {shown(name.short, 300)}"})
    request.services.holding.delete(name)
    request.services.access.forget()
    return "repository"


# -- inside

_NO_LOOKUP: Final = (
    "This server cannot look up users by name. Ask an administrator, who can add a collaborator on the server"
)


def _log_in_first(request: Request, visitor: Visitor) -> Response:
    """Redirect to the log-in. A hidden repository is answered like a missing one.

    :raises RepositoryNotFound: the repository does not exist, or anonymous visitors may not read it.
    """
    name = readable_repository(request, visitor)
    return log_in_first(request, visitor, request.services.pages.url(request, "/manage/", str(name)))


def _owned(request: Request, visitor: Visitor) -> RepositoryName:
    """Return the repository of the path.

    :raises RepositoryNotFound: the repository does not exist, or the visitor may not read it.
    :raises Forbidden: the visitor may not delete it.
    """
    name = readable_repository(request, visitor)
    rights_of(visitor).require(Action.DELETE, name)
    return name


def _target_of_tag(request: Request, visitor: Visitor, name: RepositoryName, tag: str) -> str:
    """Return the image id of a tag, or the digest of a manifest if v1 does not show the tag.

    :raises TagNotFound: the tag is not set.
    """
    try:
        return request.services.repositories.tag(name, tag)
    except errors.TagNotFound:
        digest = digest_without_image(request, rights_of(visitor), name, tag)
        if digest is None:
            raise
        return digest


def _name_of_user(request: Request, username: str) -> str | None:
    """Return the name that a user has when they log in; None if there is no such active user.

    Directories find a name in any case. An account that was never activated gets no rights, because they
    reserve its name (decisions.md 20).

    :raises InvalidForm: the backend cannot look up users.
    """
    if not username or len(username) > _LONGEST_NAME or not username.isprintable():
        return None
    try:
        found = configured(request.services.accounts).account(username)
    except NotSupported:
        raise InvalidForm({"user": _NO_LOOKUP}) from None
    return found.user.name if found is not None and found.user.is_active else None


def _name(name: RepositoryName) -> dict[str, Any]:
    return {"name": name, "label": shown(name.short, 300)}


def _page(
    request: Request,
    visitor: Visitor,
    name: RepositoryName,
    *,
    form: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
    notice: str | None = None,
    status: int = 200,
) -> Response:
    """Return the page with the forms of a repository.

    :param form: an invalid form, to be shown again.
    """
    repositories, form = request.services.repositories, form or {}
    values: dict[str, Any] = {
        **_name(name),
        "description": form.get("description", repositories.description(name)),
        "longest_description": LONGEST_DESCRIPTION,
        "is_private": repositories.is_private(name),
        "collaborators": [
            {"user": user, "label": shown(user, _LONGEST_NAME), "may_write": action is Action.WRITE}
            for user, action in sorted(repositories.collaborators(name).items())
        ],
        "user": form.get("user", ""),
        "rule": repositories.tag_rule(name).value,
        "is_here": request.services.settings.images == "here",
        "problems": problems or {},
        "notice_text": notice,
    }
    return request.services.pages.render(request, "manage.html", values, status=status, visitor=visitor)
