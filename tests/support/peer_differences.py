"""What other registries answer differently from ours, and why: the one table of the suites in this folder.

The keys are the name of the test and the question in it.
"""

from __future__ import annotations

from typing import Final

from support.parity import Difference, Differences

_STATUS: Final = "the status page is 404 since 0.9; ours has the one of 0.6 to 0.8 (registry.md 3.3)"
_RANGE: Final = "legacy ranges are wrong in several ways; ours follow RFC 9110 (registry.md 4.2)"
_AGAIN: Final = "engines take a 409 here as a failed push (decisions.md 5)"
_NAMES: Final = "it accepts names that no engine can use (decisions.md 7)"
_TAGS: Final = "it accepts tags that no engine can use (registry.md 2.4)"

DOCKER_REGISTRY_0_9: Final[Differences] = {
    ("ping", "root"): Difference('"\\"docker-registry server\\""', "it writes the text as JSON twice"),
    ("ping", "status"): Difference(404, _STATUS),
    ("ranges", "middle"): Difference([206, "10-19/98", 10], _RANGE),
    ("ranges", "from an offset"): Difference(["shorter than announced"], _RANGE),
    ("ranges", "last bytes"): Difference([200, None, 98], _RANGE),
    ("ranges", "past the end"): Difference([416, None], _RANGE),
    ("ranges", "one byte"): Difference([416, None], _RANGE),
    ("refused_pushes", "layer again"): Difference([409, {"error": "Image already exists"}], _AGAIN),
    ("refused_pushes", "checksum again"): Difference(
        [409, {"error": "Cannot set this image checksum"}], _AGAIN
    ),
    ("index", "search"): Difference(404, "search needs SQLAlchemy, which is not installed with it here"),
    ("names", "namespace in capitals"): Difference(200, _NAMES),
    ("names", "space"): Difference(200, _NAMES),
    ("names", "tag 0"): Difference(200, _TAGS),
    ("names", "tag 1"): Difference(200, _TAGS),
    ("names", "tag 2"): Difference(200, _TAGS),
}

_PAGES: Final = "2.8 has no pages of tags"
_OTHER_ORDER: Final = "2.8 takes each chunk as the next one, whatever its Content-Range"
_TAG_DELETION: Final = "2.8 deletes manifests by digest only"
_REFERRERS: Final = "2.8 is older than referrers and OCI-Subject"

DOCKER_REGISTRY_2_8: Final[Differences] = {
    ("base", "version"): Difference(
        "registry/2.0", "engines 1.5 to 1.9 would use schema 1 with it, which is not made (distribution.md 4)"
    ),
    ("base", "without the slash"): Difference(301, "2.8 redirects to the path with the slash"),
    ("base", "wrong method"): Difference(200, "2.8 answers every method there"),
    ("uploads", "chunk out of order"): Difference(202, _OTHER_ORDER),
    ("uploads", "second chunk"): Difference([404, None], _OTHER_ORDER),
    ("uploads", "in one request"): Difference(
        202, "2.8 takes no POST with a blob; clients then go on by PUT"
    ),
    ("manifests", "type that is not asked for"): Difference(
        404, "2.8 needs the type in Accept; ours answers what is stored (distribution.md 1)"
    ),
    ("manifests", "unknown repository"): Difference(
        [404, "MANIFEST_UNKNOWN"], "2.8 does not look whether the repository exists"
    ),
    ("manifests", "invalid tag"): Difference([404], "2.8 has no route for such a tag"),
    ("tags_and_catalog", "page"): Difference(3, _PAGES),
    ("tags_and_catalog", "link"): Difference(False, _PAGES),
    ("tags_and_catalog", "last page"): Difference([3, False], _PAGES),
    ("deletion", "tag"): Difference(400, _TAG_DELETION),
    ("deletion", "tags after that"): Difference(["1.0", "2.0"], _TAG_DELETION),
    ("referrers", "artifact"): Difference([201, None], _REFERRERS),
    ("referrers", "status"): Difference(404, _REFERRERS),
    ("names", "invalid Upper/case"): Difference(202, "2.8 takes Upper for the name of a host"),
    ("names", "invalid -dash/x"): Difference(404, "2.8 has no route for such a name"),
    ("names", "invalid a//b"): Difference(301, "2.8 redirects to the path without empty parts"),
    ("names", "invalid xxxxxxxxxx"): Difference(500, "2.8 does not answer names above 255 characters"),
}
