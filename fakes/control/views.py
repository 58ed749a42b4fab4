"""How the control API shows images, manifests and requests."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..images import FakeImage
    from ..manifests import FakeManifest
    from ..recording.recorded_request import RecordedRequest

#: Larger bodies of requests and answers are not shown, in bytes.
MOST_SHOWN_BYTES: Final = 64 << 10


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


def shown_request(request: RecordedRequest, *, with_bodies: bool) -> dict[str, Any]:
    """Return a recorded request as JSON.

    :param with_bodies: whether ``body`` and ``response_body`` are part of it: text, or ``{"base64": "…"}``;
        null if they have more than MOST_SHOWN_BYTES.
    """
    shown: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "route": request.route,
        "api": request.api,
        "user": request.user,
        "status": request.status,
        "response_headers": [list(pair) for pair in request.response_headers],
        "received_bytes": request.received_bytes,
        "sent_bytes": request.sent_bytes,
        "started_at": request.started_at.isoformat(),
        "duration_s": round(request.duration_s, 6),
        "is_finished": request.is_finished,
        "is_body_complete": request.is_body_complete,
        "fault": request.fault,
        "error": None if request.error is None else repr(request.error),
    }
    if with_bodies:
        is_small = request.received_bytes <= MOST_SHOWN_BYTES
        shown["body"] = _shown_bytes(request.body) if is_small else None
        is_small = request.sent_bytes <= MOST_SHOWN_BYTES
        shown["response_body"] = _shown_bytes(request.response_body) if is_small else None
    return shown


def _shown_bytes(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
