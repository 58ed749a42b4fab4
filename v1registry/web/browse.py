"""The pages of the repositories: the list with its search, and one repository."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from .. import errors
from ..names import RepositoryName, whole_number
from ..registry.tags import TagRule
from ..rights import Action, Rights
from ..search.base import Hit, SearchIndex
from ..wsgi.responses import Response, json_response
from .pages import accepts_html
from .services import Request
from .tag_manifests import manifests_of_tags, tags_without_image
from .views.markdown import summary_of
from .views.paging import Part, part_of
from .views.pull_commands import PullCommands, pull_commands
from .views.tag_lists import Tag, TagList
from .views.texts import shown
from .visitors import Visitor, visitor_of

#: How many repositories, and how many tags, are on one page.
REPOSITORIES_SHOWN: Final = 25
TAGS_SHOWN: Final = 100

#: How many tags of a repository are read for the list of repositories.
TAGS_COUNTED: Final = 1000

#: How much of a search is used, in characters.
_LONGEST_QUERY: Final = 200

#: Value of ``done`` in the address after a form -> notice on the page.
_NOTICES: Final = {"repository": "The repository has been deleted."}

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
    part = _hits(request.services.search, query, rights, request.query("page"))
    found = [
        {
            "name": hit.name,
            "label": shown(hit.name.short, 300),
            "summary": summary_of(hit.description, name=hit.name.repository),
            "is_private": repositories.is_private(hit.name),
            "stars": hit.stars,
            "tags": _tags_in_short(request, rights, hit.name),
        }
        for hit in part.items
    ]
    values: dict[str, Any] = {
        "query": query,
        "part": part,
        "repositories": found,
        "now": request.services.clock.now(),
    }
    template = "results.html"
    if request.query("part") != "results":
        template = "repositories.html"
        values["notice_text"] = _NOTICES.get(request.query("done") or "")
    return pages.render(request, template, values, visitor=visitor)


def _hits(index: SearchIndex, query: str, rights: Rights, asked: str | None) -> Part[Hit]:
    """Return a page of a search. The last one is returned if the page that was asked for is after it."""
    page = max(1, whole_number(asked, 1))
    found = index.find(query, rights, (page - 1) * REPOSITORIES_SHOWN, REPOSITORIES_SHOWN, needs_total=False)
    if not found.hits and page > 1:
        count = index.find(query, rights, 0, 0).total or 0
        page = max(1, -(-count // REPOSITORIES_SHOWN))
        found = index.find(query, rights, (page - 1) * REPOSITORIES_SHOWN, REPOSITORIES_SHOWN)
    total = found.total
    if total is None and not found.has_more:
        total = (page - 1) * REPOSITORIES_SHOWN + len(found.hits)
    return Part(found.hits, page, REPOSITORIES_SHOWN, found.has_more, total)


def get_repository(request: Request) -> Response:
    """Show a repository: its description, how to pull it, its tags.

    :raises RepositoryNotFound: the repository does not exist, or the visitor may not read it.
    """
    pages, visitor = request.services.pages, visitor_of(request)
    repositories, rights = request.services.repositories, rights_of(visitor)
    name = readable_repository(request, visitor)
    is_private = repositories.is_private(name)
    is_here = request.services.settings.images == "here"
    listed = _tag_list(request, rights, name) if is_here else None
    is_by_name, query = request.query("sort") == "name", shown(request.query("q") or "", _LONGEST_QUERY)
    tags = [] if listed is None else listed.sorted(by_name=is_by_name)
    matching = [tag for tag in tags if query.casefold() in tag.name.casefold()]
    part: Part[Tag] = part_of(matching, request.query("page"), TAGS_SHOWN)

    def commands(tag: str | None) -> PullCommands | None:
        return _pull_commands(request, visitor, name, tag, is_private=is_private)

    manifests = manifests_of_tags(request, rights, name, [tag.name for tag in part.items])
    values: dict[str, Any] = {
        "name": name,
        "label": shown(name.short, 300),
        "other_tags": tags_without_image(request, rights, name),
        "description": request.services.descriptions.html(repositories.description(name)),
        "is_private": is_private,
        "stars": repositories.stars(name),
        "may_manage": may_manage(request, visitor, name),
        "rule": _RULES[repositories.tag_rule(name)],
        "now": request.services.clock.now(),
        "is_here": is_here,
        "commands": commands(tags[0].name if tags else None) if tags or not is_here else None,
        "tag_count": len(tags),
        "query": query,
        "is_by_name": is_by_name,
        "part": part,
        "tags": [
            {
                "label": shown(facts.tag.name, 300),
                "facts": facts,
                "same_as": [shown(tag, 300) for tag in facts.same_as],
                "commands": commands(facts.tag.name),
                "manifest": manifests.get(facts.tag.name),
            }
            for facts in ([] if listed is None else listed.facts(part.items))
        ],
    }
    return pages.render(request, "repository.html", values, visitor=visitor)


def readable_repository(request: Request, visitor: Visitor, text: str | None = None) -> RepositoryName:
    """Return the repository of the path.

    :param text: the name in place of that of the path.
    :raises RepositoryNotFound: the repository does not exist, or the visitor may not read it.
    """
    name = RepositoryName.parse(request.fields["repository"] if text is None else text)
    if not rights_of(visitor).can_read(name) or not request.services.repositories.exists(name):
        raise errors.RepositoryNotFound(repository=str(name)[:300])
    return name


def rights_of(visitor: Visitor) -> Rights:
    """Return the rights of a visitor. Only the visitor of an error page has none."""
    assert visitor.rights is not None
    return visitor.rights


def may_manage(request: Request, visitor: Visitor, name: RepositoryName) -> bool:
    """Say whether the visitor is an owner of a repository, who may change and delete it on the pages."""
    is_possible = visitor.user is not None and not request.services.settings.read_only
    return is_possible and rights_of(visitor).allows(Action.DELETE, name)


def _tag_list(
    request: Request, rights: Rights, name: RepositoryName, most_tags: int | None = None
) -> TagList:
    services = request.services
    return TagList(
        services.repositories,
        services.images,
        name,
        cache(lambda image_id: rights.content_in(name, image_id)),
        most_tags=most_tags,
    )


def _tags_in_short(request: Request, rights: Rights, name: RepositoryName) -> dict[str, Any] | None:
    """Return what the list of repositories shows of the tags; None if there are none here.

    At most TAGS_COUNTED tags are read. The layers of one of them are measured, once.
    """
    if request.services.settings.images != "here":
        return None
    try:
        listed = _tag_list(request, rights, name, TAGS_COUNTED + 1)
    except errors.RepositoryNotFound:
        return None
    if not listed.tags:
        return None
    main = listed.sorted(by_name=False)[0]
    size = request.services.known_sizes.of(listed, main)
    is_counted = len(listed.tags) <= TAGS_COUNTED
    return {
        "count": min(len(listed.tags), TAGS_COUNTED),
        "is_counted": is_counted,
        "main": shown(main.name, 100),
        "size_bytes": None if size is None else size[0],
        "is_whole": size is not None and size[1],
        "pushed_at": max(tag.set_at for tag in listed.tags) if is_counted else None,
    }


def _pull_commands(
    request: Request, visitor: Visitor, name: RepositoryName, tag: str | None, *, is_private: bool
) -> PullCommands | None:
    """Return the commands that pull a tag; None if engines reject the name.

    :raises BadRequest: the host of the request is invalid.
    """
    origin = request.origin
    username = None if visitor.user is None or not is_private else visitor.user.name
    return pull_commands(
        origin.host,
        name,
        tag,
        is_secure=origin.is_secure,
        username=username,
        has_v2=request.services.settings.has_distribution,
    )
