"""The rows of the distribution API on a mirror: what is missing is fetched before the handler looks."""

from __future__ import annotations

from .. import errors
from ..distribution.callers import Caller, caller_of
from ..distribution.challenges import guarded
from ..distribution.pages import next_link, wanted_page
from ..distribution.places import Place
from ..distribution.services import Request
from ..distribution.tags_api import MOST_TAGS
from ..names import Digest, RepositoryName, check_v2_tag, parse_v2_name
from ..rights import Action
from ..wsgi.immutable import immutable_headers, stream_response
from ..wsgi.responses import Response, json_response, respond
from ..wsgi.routing import Route
from .fetches import FetchedBlob
from .rows import Before, with_fetch
from .service import Mirror
from .stored import require_not_mirrored


class V2Rows:
    """Wraps the rows of the distribution API."""

    def __init__(self, mirror: Mirror):
        self._mirror = mirror
        self._before: dict[str, Before] = {
            "get_manifest": self._get_manifest,
            "get_blob": self._get_blob,
            "get_tags": self._get_tags,
            "get_referrers": self._get_referrers,
            **dict.fromkeys(("post_upload", "patch_upload", "put_upload", "put_manifest"), self._refuse_push),
        }

    def wrap(self, row: Route) -> Route:
        """Return the row as a mirror serves it."""
        found = with_fetch(row, self._before)
        return row if found is None else guarded(found)

    # -- inside

    def _fetchable(self, request: Request) -> tuple[RepositoryName, Caller] | None:
        """Return the repository and the caller; None if nothing may be fetched.

        :raises NameUnknown: the user may not read the repository.
        :raises Unauthorized: the same, and the caller is anonymous.
        """
        repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
        caller.require(Action.READ, repository)
        may_fetch = self._mirror.may_fetch(
            repository,
            lambda: caller.allows(Action.WRITE, repository),
            errors.NameUnknown(repository=str(repository)),
        )
        return (repository, caller) if may_fetch else None

    def _get_manifest(self, request: Request) -> None:
        found = self._fetchable(request)
        if found is None:
            return
        text = request.fields["reference"]
        if ":" in text:
            self._mirror.prepare_manifest(found[0], Digest.parse(text), request.client)
        else:
            self._mirror.prepare_tag(found[0], check_v2_tag(text), request.client)

    def _get_blob(self, request: Request) -> Response | None:
        found = self._fetchable(request)
        if found is None:
            return None
        repository, caller = found
        digest = Digest.parse(request.fields["digest"])
        etag, is_open = f'"{digest}"', caller.rights.is_open
        if request.method == "HEAD":
            size = self._mirror.blob_size(repository, digest, request.client)
            if size is None:
                return None
            headers = [
                *immutable_headers(request, etag, is_open),
                ("Docker-Content-Digest", str(digest)),
                ("Content-Type", "application/octet-stream"),
            ]
            response = respond(200, b"", None, headers)
            response.content_length = size
            return response
        fetch = self._mirror.join_blob(repository, digest, request.client)
        if fetch is None:
            return None
        try:
            assert fetch.size is not None

            def open_blob(start: int, stop: int) -> FetchedBlob:
                fetch.hold()
                return FetchedBlob(fetch, str(digest), start, stop)

            response = stream_response(request, open_blob, fetch.size, etag, is_open)
        finally:
            fetch.release()
        response.headers["Docker-Content-Digest"] = str(digest)
        return response

    def _get_tags(self, request: Request) -> Response | None:
        found = self._fetchable(request)
        if found is None:
            return None
        repository, caller = found
        tags = self._mirror.tags(repository, request.client)
        if tags is None:
            return None
        most, last = wanted_page(request, MOST_TAGS)
        here, _ = request.services.distribution.tag_lists.page(
            caller.rights, Place.of(caller.rights, repository), last, MOST_TAGS
        )
        named = sorted({*here, *(tag for tag in tags if tag > last)})
        shown = named[:most]
        headers = [next_link(request, shown[-1], most)] if shown and len(named) > most else []
        return json_response({"name": request.fields["repository"], "tags": shown}, headers=headers)

    def _get_referrers(self, request: Request) -> None:
        found = self._fetchable(request)
        if found is not None:
            self._mirror.prepare_referrers(found[0], Digest.parse(request.fields["digest"]), request.client)

    def _refuse_push(self, request: Request) -> None:
        repository, caller = parse_v2_name(request.fields["repository"]), caller_of(request)
        caller.require(Action.WRITE, repository)
        require_not_mirrored(self._mirror.standing(repository), repository)
