"""What the handlers of the control API share: the fake, and how its refusals become answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from v1registry.accounts.base import AccountExists
from v1registry.errors import BadRequest, Conflict, NotFound
from v1registry.wsgi.request import Services

from .lookup import NotThere

if TYPE_CHECKING:
    from .images import FakeImage
    from .manifests import FakeManifest
    from .registry import FakeRegistry

#: The path of the control API.
CONTROL: Final = "/_fakes"


@dataclass(frozen=True, kw_only=True)
class ControlServices(Services):
    """What the handlers of the control API work on."""

    fake: FakeRegistry


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
    except UnicodeError as error:
        raise BadRequest("The body is invalid: a text has a half of a surrogate pair") from error
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
