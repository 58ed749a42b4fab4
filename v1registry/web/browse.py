"""The pages of the repositories: the list with its search, and one repository."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from typing import Any, Final

from .. import errors
from ..names import RepositoryName, check_tag
from ..registry.tags import TagRule
from ..rights import Rights
from ..wsgi.responses import Response, json_response
from .pages import accepts_html
from .services import Request
from .views.markdown import summary_of
from .views.paging import part_of, part_of_stream
from .views.tag_lists import TagList
from .views.texts import shown
from .visitors import Visitor, visitor_of

#: How many repositories, and how many tags, are on one page.
REPOSITORIES_SHOWN: Final = 25
TAGS_SHOWN: Final = 100

#: How much of a search is used, in characters.
_LONGEST_QUERY: Final = 200

_RULES: Final[Mapping[TagRule, str]] = {
    TagRule.FREE: "",
    TagRule.IMMUTABLE: "Tags cannot be moved after they are set.",
    TagRule.IMMUTABLE_BUT_LATEST: "Tags other than latest cannot be moved after they are set.",
}


def get_front(request: Request) -> Response:
    """Return the start page to browsers, and to other clients the JSON string of ``/`` (decisions.md 13)."""
    if accepts_html(request):
        return get_repositories(request)
    response = json_response(request.services.settings.message)
    response.headers["Vary"] = "Accept"
    return response


def get_repositories(request: Request) -> Response:
    """Show a page of the repositories that the visitor may see; with ``q`` only those that match the search.

    With ``part=results`` the answer is the list without the rest of the page, for the search as you type.
    """
    pages, visitor = request.services.pages, visitor_of(request)
    rights, repositories = rights_of(visitor), request.services.repositories
    query = shown((request.query("q") or "").strip(), _LONGEST_QUERY)
    names = request.services.search.find(query, rights.may_list)
    part = part_of_stream(names, request.query("page"), REPOSITORIES_SHOWN)
    found = [
        {
            "name": name,
            "label": shown(name.short, 300),
            "summary": summary_of(repositories.description(name)),
            "is_private": repositories.is_private(name),
        }
        for name in part.items
    ]
    template = "results.html" if request.query("part") == "results" else "repositories.html"
    return pages.render(
        request, template, {"query": query, "part": part, "repositories": found}, visitor=visitor
    )


def get_repository(request: Request) -> Response:
    """Show a repository: its description, how to pull it, its tags.

    :raises RepositoryNotFound: the repository does not exist, or the visitor may not read it.
    """
    pages, visitor = request.services.pages, visitor_of(request)
    repositories, rights = request.services.repositories, rights_of(visitor)
    name = RepositoryName.parse(request.fields["repository"])
    if not rights.can_read(name) or not repositories.exists(name):
        raise errors.RepositoryNotFound(repository=str(name)[:300])
    values: dict[str, Any] = {
        "name": name,
        "label": shown(name.short, 300),
        "description": request.services.descriptions.html(repositories.description(name)),
        "is_private": repositories.is_private(name),
        "rule": _RULES[repositories.tag_rule(name)],
        "now": datetime.now(timezone.utc),
    }
    if request.services.settings.images == "elsewhere":
        values |= {"part": None, "command": _pull_command(request, name, None)}
        return pages.render(request, "repository.html", values, visitor=visitor)
    listed = TagList(
        repositories,
        request.services.images,
        name,
        cache(lambda image_id: rights.content_in(name, image_id)),
    )
    is_by_name = request.query("sort") == "name"
    tags = listed.sorted(by_name=is_by_name)
    part = part_of(tags, request.query("page"), TAGS_SHOWN)
    values |= {
        "part": part,
        "is_by_name": is_by_name,
        "command": _pull_command(request, name, tags[0].name) if tags else None,
        "tags": [
            {
                "label": shown(facts.tag.name, 300),
                "facts": facts,
                "same_as": [shown(tag, 300) for tag in facts.same_as],
                "command": _pull_command(request, name, facts.tag.name),
            }
            for facts in listed.facts(part.items)
        ],
    }
    return pages.render(request, "repository.html", values, visitor=visitor)


def rights_of(visitor: Visitor) -> Rights:
    """Return the rights of a visitor. Only the visitor of an error page has none."""
    assert visitor.rights is not None
    return visitor.rights


def _pull_command(request: Request, name: RepositoryName, tag: str | None) -> str | None:
    """Return the command that pulls a tag; None if engines reject the name, which old data may have.

    Users paste the command into a shell, so it may contain only names of the grammar.

    :raises BadRequest: the host of the request is invalid.
    """
    host = request.origin.host
    try:
        name.checked()
        return f"docker pull {host}/{name}" if tag is None else f"docker pull {host}/{name}:{check_tag(tag)}"
    except (errors.InvalidRepositoryName, errors.InvalidTagName):
        return None
