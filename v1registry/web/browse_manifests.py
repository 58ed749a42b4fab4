"""The page of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from ..distribution.places import Place
from ..names import Digest, is_v2_name
from ..wsgi.responses import Response
from .browse import readable_repository, rights_of
from .services import Request
from .tag_manifests import manifest_facts
from .views.texts import shown
from .visitors import visitor_of

#: How many referrers and how many tags are on the page of a manifest.
_MOST_REFERRERS: Final = 100
_MOST_TAGS: Final = 50


def get_manifest(request: Request) -> Response:
    """Show a manifest of the repository that the query names.

    :raises RepositoryNotFound: the repository does not exist, or the visitor may not read it.
    :raises ManifestUnknown: it does not contain the manifest, or the digest is malformed.
    """
    pages, visitor = request.services.pages, visitor_of(request)
    name = readable_repository(request, visitor, request.query("repository") or "")
    rights = rights_of(visitor)
    place = Place.of(rights, name)
    facts, record = manifest_facts(request, place, request.fields["digest"])
    subject = Digest("sha256", record.sha256)
    referrers = request.services.distribution.referrers.page(place, subject, None, "", _MOST_REFERRERS)
    pointing = request.services.distribution.tag_lists.of_manifest(place, record.sha256)
    tags = dict(islice(pointing, _MOST_TAGS))
    images = [record.image_id, *(target.image_id for target in tags.values())]
    values: dict[str, Any] = {
        "name": name,
        "label": shown(name.short, 300),
        "manifest": facts,
        "image_id": next(filter(None, images), None),
        "tags": [shown(tag, 128) for tag in tags],
        "referrers": [_referrer(entry) for entry in referrers.descriptors],
        "has_more_referrers": referrers.last is not None,
        "command": f"docker pull {request.origin.host}/{name}@{facts.digest}",
        "is_pulled": facts.kind != "artifact" and is_v2_name(str(name)),
        "now": request.services.clock.now(),
    }
    return pages.render(request, "manifest.html", values, visitor=visitor)


def _referrer(entry: Mapping[str, Any]) -> dict[str, str]:
    return {
        "digest": str(entry.get("digest")),
        "type": shown(str(entry.get("artifactType") or entry.get("mediaType")), 255),
    }
