"""Images and requests of the checklist of clients.md."""

from __future__ import annotations

from support.small_engine import SmallImage
from support.wire import Answer, WireRequest, WsgiTransport

BASE = SmallImage.named("base", os="linux")
MIDDLE = SmallImage.named("middle", BASE)
TOP = SmallImage.named("top", MIDDLE, architecture="amd64")
IMAGES = [BASE, MIDDLE, TOP]
ALICE = ("Authorization", "Basic YWxpY2U6d29uZGVy")
JSON = ("Content-Type", "application/json")


def get(transport: WsgiTransport, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
    """Return the answer to a request without a body."""
    answer = transport.send(WireRequest(method, path, (("Host", transport.host), *headers)))
    assert answer is not None
    return answer


def pulled_form(images: list[SmallImage]) -> dict[str, tuple[bytes, bytes]]:
    """Return images as :meth:`SmallEngine.pull` returns them."""
    return {image.image_id: (image.document, image.layer.body) for image in images}
