"""What the handlers of the control API share: the fake, and how its refusals become answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from v1registry.accounts.base import AccountExists
from v1registry.errors import BadRequest, Conflict, NotFound
from v1registry.wsgi.request import Request, Services

from ..lookup import NotThere

if TYPE_CHECKING:
    from ..engine import FakeEngine
    from ..images import FakeImage
    from ..manifests import FakeManifest
    from ..registry import FakeRegistry
    from .known_faults import KnownFaults

#: The path of the control API.
CONTROL: Final = "/_fakes"


@dataclass(frozen=True, kw_only=True)
class ControlServices(Services):
    """What the handlers of the control API work on."""

    fake: FakeRegistry
    engine: FakeEngine | None
    faults: KnownFaults


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the helpers of a fake raise into answers, with their text.

    :raises NotFound: something that the body names does not exist.
    :raises Conflict: the account exists already.
    :raises BadRequest: the registry rejects it, or a value is invalid.
    """
    try:
        yield
    except NotThere as error:
        raise NotFound(str(error)) from error
    except AccountExists as error:
        raise Conflict(str(error)) from error
    except (ValueError, TypeError) as error:
        raise BadRequest(str(error)) from error


def image_of(fake: FakeRegistry, text: str) -> FakeImage:
    """Return the image of an id or a name.

    :raises NotThere: there is no such image.
    """
    return fake.images[text] if text in fake.images else fake.image(text)


def manifest_of(fake: FakeRegistry, text: str) -> FakeManifest:
    """Return the manifest of a digest or a name.

    :raises NotThere: there is no such manifest.
    """
    return fake.manifests[text] if text in fake.manifests else fake.manifest(text)


def parameters(request: Request[ControlServices], known: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of the query.

    :raises BadRequest: a parameter is unknown, or is there twice.
    """
    query = request.environ.get("QUERY_STRING", "")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError as error:
        raise BadRequest(f"The query is invalid: {error}") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise BadRequest(f"The query must have {', '.join(known)} only, not {name[:40]!r}")
        if name in values:
            raise BadRequest(f"The query must have {name} once")
        values[name] = value
    return values


def whole_number(values: dict[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number; None if it is not there.

    :raises BadRequest: the parameter is not a whole number of at most 9 digits.
    """
    text = values.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise BadRequest(f"{name} must be a whole number of at most 9 digits, not {text[:40]!r}")
    return int(text)
