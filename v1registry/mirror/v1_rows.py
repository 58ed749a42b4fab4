"""The rows of the Registry and Hub APIs on a mirror: what is missing is fetched before the handler looks."""

from __future__ import annotations

from contextlib import suppress

from .. import errors
from ..access.credentials import parse_authorization
from ..distribution.services import Request
from ..names import RepositoryName, check_image_id, is_v2_tag
from ..registry.named import named_repository
from ..rights import Action
from ..wsgi.documents import dump_json
from ..wsgi.immutable import etag_of, immutable_response, stream_response
from ..wsgi.responses import Response, json_response
from ..wsgi.routing import Route
from .fetches import FetchedBlob
from .origin_v1 import RemoteImage
from .rows import Before, with_fetch
from .service import Mirror
from .stored import require_not_mirrored

READ, WRITE, DELETE = Action.READ, Action.WRITE, Action.DELETE


class V1Rows:
    """Wraps the rows of the Registry and Hub APIs."""

    def __init__(self, mirror: Mirror):
        self._mirror = mirror
        self._before: dict[str, Before] = {
            "get_images": self._get_images,
            "get_images_or_tag": self._get_images,
            "get_tags": self._get_tags,
            "get_tag": self._get_tag,
            "get_json": self._get_json,
            "get_ancestry": self._get_ancestry,
            "get_layer": self._get_layer,
            "put_images_or_tag": self._refuse_push_of_either,
            **dict.fromkeys(("put_repository", "put_images", "put_tag"), self._refuse_push),
        }

    def wrap(self, row: Route) -> Route:
        """Return the row as a mirror serves it."""
        return with_fetch(row, self._before) or row

    # -- repositories and tags

    def _is_fetchable(
        self,
        request: Request,
        repository: RepositoryName,
        missing: errors.RegistryError,
        *tokens_for: Action,
    ) -> bool:
        """Tell whether something may be fetched into a repository.

        :param missing: raised if the repository is missing, and may not be made for the caller.
        :raises Unauthorized: the caller's token is for a different repository or a different action.
        """
        try:
            repository.checked()
        except errors.InvalidRepositoryName:
            return False
        rights = request.rights
        return rights.can_read(repository, *tokens_for) and self._mirror.may_fetch(
            repository, lambda: rights.allows(WRITE, repository), missing
        )

    def _get_images(self, request: Request) -> None:
        repository = named_repository(request)
        missing = errors.ImageListNotFound(repository=str(repository))
        if self._is_fetchable(request, repository, missing, READ, WRITE, DELETE):
            self._mirror.prepare_repository(repository, request.client)

    def _get_tags(self, request: Request) -> Response | None:
        repository = named_repository(request)
        if not self._is_fetchable(request, repository, errors.RepositoryNotFound(repository=str(repository))):
            return None
        found = self._mirror.v1_tags(repository, request.client)
        if found is None:
            return None
        tags = {**request.services.repositories.tags_or_none(repository), **found}
        if request.services.settings.tags_form == "hub":
            return json_response([{"layer": image_id[:8], "name": tag} for tag, image_id in tags.items()])
        return json_response(tags)

    def _get_tag(self, request: Request) -> Response | None:
        repository = named_repository(request)
        tag = request.fields["tag"]
        missing = errors.HiddenTagNotFound(repository=str(repository), tag=tag[:200])
        # other names cannot be set here, and may mean a different path at the origin
        if not is_v2_tag(tag) or not self._is_fetchable(request, repository, missing):
            return None
        image_id = self._mirror.v1_tag(repository, tag, request.client)
        return None if image_id is None else json_response(image_id)

    # -- images

    def _get_json(self, request: Request) -> Response | None:
        found = self._remote_image(request)
        if found is None:
            return None
        image, headers = found[1], []
        if image.size is not None:
            headers.append(("X-Docker-Size", str(image.size)))
        for checksum in sorted(image.checksums)[:1]:
            headers.append(("X-Docker-Checksum-Payload", checksum))
            headers.append(("X-Docker-Payload-Checksum", checksum))
        return immutable_response(request, image.json, etag_of(image.json), request.rights.is_open, headers)

    def _get_ancestry(self, request: Request) -> Response | None:
        found = self._remote_image(request)
        if found is None:
            return None
        data = dump_json(list(found[1].ancestry))
        return immutable_response(request, data, etag_of(data), request.rights.is_open)

    def _get_layer(self, request: Request) -> Response | None:
        found = self._remote_image(request)
        if found is None:
            return None
        repository, image = found
        fetch = self._mirror.join_layer(repository, image.image_id, request.client)
        if fetch is None:
            return None
        try:
            assert fetch.size is not None

            def open_blob(start: int, stop: int) -> FetchedBlob:
                fetch.hold()
                return FetchedBlob(fetch, image.image_id, start, stop)

            etag = etag_of(repr((sorted(image.checksums), image.size)).encode("ascii") + image.json)
            return stream_response(request, open_blob, fetch.size, etag, request.rights.is_open)
        finally:
            fetch.release()

    def _remote_image(self, request: Request) -> tuple[RepositoryName, RemoteImage] | None:
        """Return an image of an origin of v1 that is not here, with its repository. None if the handler of
        the row is to look: it is here now, or it is nowhere.
        """
        image_id = check_image_id(request.fields["image_id"])
        repository = _named_by_token(request) or self._mirror.repository_of(image_id)
        missing = errors.ImageNotFound(image_id=image_id)
        if repository is None or not self._is_fetchable(request, repository, missing):
            return None
        mirror, client = self._mirror, request.client
        if mirror.holds(repository, image_id):
            return None
        if mirror.has_v2(client):
            mirror.prepare_image(repository, image_id, client)
            return None
        image = mirror.image(repository, image_id, client)
        return None if image is None else (repository, image)

    # -- pushes

    def _refuse_push(self, request: Request) -> None:
        self._require_not_mirrored(request, request.fields["repository"])

    def _refuse_push_of_either(self, request: Request) -> None:
        """Refuse ``NAME/tags/images``: the image list of ``NAME/tags``, or the tag ``images`` of ``NAME``."""
        self._require_not_mirrored(request, request.fields["repository"])
        self._require_not_mirrored(request, request.fields["repository"].removesuffix("/tags"))

    def _require_not_mirrored(self, request: Request, name: str) -> None:
        """Return if a repository may be pushed to, or if the handler refuses the caller or the name."""
        with suppress(errors.InvalidRepositoryName):
            repository = RepositoryName.parse(name).checked()
            if request.rights.allows(WRITE, repository):
                require_not_mirrored(self._mirror.standing(repository), repository)


def _named_by_token(request: Request) -> RepositoryName | None:
    """Return the repository that the caller's token names, None without a token.

    On an open server tokens are not checked, and give no rights.
    """
    credentials = parse_authorization(request.headers.get("Authorization"))
    for token in credentials if isinstance(credentials, list) else ():
        text = token.values.get("repository")
        if text:
            return RepositoryName.parse(text)
    return None
