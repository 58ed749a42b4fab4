"""How the control API shows images, manifests and requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .images import FakeImage
    from .manifests import FakeManifest
    from .recorded_request import RecordedRequest


def shown_image(image: FakeImage) -> dict[str, Any]:
    """Return an image of v1 as JSON."""
    return {
        "api": "v1",
        "id": image.id,
        "checksum": image.checksum,
        "ancestry": image.ancestry,
        "is_complete": image.is_complete,
    }


def shown_manifest(manifest: FakeManifest) -> dict[str, Any]:
    """Return a manifest as JSON."""
    document = manifest.json
    return {
        "api": "v2",
        "digest": manifest.digest,
        "media_type": manifest.media_type,
        "layers": [layer["digest"] for layer in document.get("layers") or []],
        "manifests": [entry["digest"] for entry in document.get("manifests") or []],
        "subject": manifest.subject,
    }


def shown_request(request: RecordedRequest) -> dict[str, Any]:
    """Return a recorded request as JSON."""
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "route": request.route,
        "api": request.api,
        "user": request.user,
        "status": request.status,
        "response_headers": [list(pair) for pair in request.response_headers],
        "fault": request.fault,
        "error": None if request.error is None else repr(request.error),
    }
