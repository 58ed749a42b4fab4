"""Endpoints of the lists of tags and repositories (distribution.md 1: end-8 and _catalog)."""

from __future__ import annotations

from typing import Final

from ..wsgi.responses import Response, json_response
from ..wsgi.routing import Route
from .callers import caller_of
from .manifests_api import readable_repository
from .pages import next_link, wanted_page
from .places import Place
from .services import Request

#: How many tags or names an answer has at most.
MOST_TAGS: Final = 10_000
MOST_NAMES: Final = 1000


def get_tags(request: Request) -> Response:
    """Return the tags of a repository.

    :raises NameUnknown: it does not exist.
    """
    repository, caller = readable_repository(request)
    most, last = wanted_page(request, MOST_TAGS)
    place = Place.of(caller.rights, repository)
    tags, is_more = request.services.distribution.tag_lists.page(caller.rights, place, last, most)
    headers = [next_link(request, tags[-1], most)] if is_more else []
    return json_response({"name": request.fields["repository"], "tags": tags}, headers=headers)


def get_catalog(request: Request) -> Response:
    """Return the names of the repositories that the caller may list.

    :raises Unauthorized: the caller came without credentials; or the scope of the token lacks it.
    """
    caller = caller_of(request)
    caller.require_catalog()
    most, last = wanted_page(request, MOST_NAMES)
    names, further = request.services.distribution.catalog.page(caller.rights, last, most)
    headers = [] if further is None else [next_link(request, further, most)]
    return json_response({"repositories": names}, headers=headers)


# fmt: off
ROUTES: Final = (
    #     method    path                            handler      needs
    Route("GET",    "/v2/{repository}/tags/list",   get_tags,    None),
    Route("GET",    "/v2/_catalog",                 get_catalog, None),
)
