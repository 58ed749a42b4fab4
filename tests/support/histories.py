"""What clients ask of tags, and what they are told: the history that :mod:`support.linearisable` checks.

The value of a tag is its content, by the digest of the upper layer, because that is the same in both APIs: an
image of v1, the manifest into which it is converted, a manifest, and the image that it becomes in v1.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from support.engine_client import Image
from support.linearisable import ABSENT, Operation
from support.two_views import view_of
from support.v2_client import digest_of
from support.wsgi_client import Answer

#: Statuses of servers that could not answer: what was asked may have happened.
_NOT_ANSWERED = frozenset({503, 507})


class NoAnswer(Exception):
    """A request had no answer, or one that does not tell whether it had an effect."""


class NotSent(Exception):
    """No server took the request, so it had no effect."""


def answer_of(request: Callable[[], Answer]) -> Answer:
    """Make a request.

    :raises NotSent: no server listened.
    :raises NoAnswer: the connection was cut, or the server could not answer.
    :raises AssertionError: the server failed in a way that it must not.
    """
    try:
        answer = request()
    except ConnectionRefusedError:
        raise NotSent from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(str(error)) from error
    if answer.status in _NOT_ANSWERED:
        raise NoAnswer(str(answer.status))
    assert answer.status < 500, answer
    return answer


@dataclass(frozen=True)
class Effect:
    """What an answer says about one tag: the value that was written, or which values were seen.

    :param text: says it in reports.
    """

    text: str
    sets: str | None = None
    sees: Callable[[str], bool] | None = None


Effects = Mapping[str, Effect]


class History:
    """The operations of all clients on all tags. Safe for threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._operations: dict[str, list[Operation]] = defaultdict(list)

    def ask(
        self,
        what: str,
        request: Callable[[], Answer],
        told: Callable[[Answer], Effects],
        *,
        unanswered: Effects | None = None,
        refused: Sequence[Effects] = (),
    ) -> Answer | None:
        """Make a request and note it; return None if it had no answer.

        :param what: names the request in reports.
        :param told: returns what an answer says, by the names of tags. It is empty if nothing was done.
        :param unanswered: what the request may do; None if it changes nothing.
        :param refused: what a request may have done, and taken back, that in the end did nothing.
        """
        began_s = time.monotonic()
        try:
            answer = answer_of(request)
        except NotSent:
            return None
        except NoAnswer as error:
            self._note(f"{what}: {error}", began_s, None, unanswered or {})
            return None
        ended_s = time.monotonic()
        effects = told(answer)
        self._note(f"{what}: {answer.status}", began_s, ended_s, effects)
        for possible in () if effects else refused:
            self._note(f"{what}: {answer.status}", began_s, None, possible)
        return answer

    def _note(self, what: str, began_s: float, ended_s: float | None, effects: Effects) -> None:
        with self._mutex:
            for tag, effect in effects.items():
                self._operations[tag].append(
                    Operation(f"{what} {effect.text}", began_s, ended_s, sets=effect.sets, sees=effect.sees)
                )

    @property
    def operations(self) -> dict[str, list[Operation]]:
        """Name of the tag -> what was asked of it so far."""
        with self._mutex:
            return {tag: list(operations) for tag, operations in self._operations.items()}


# -- values


def value_of_layer(digest: str) -> str:
    """Return the value of a tag whose upper layer has a digest, in a form that v1 can express."""
    return f"image {digest}"


def value_of_image(image: Image) -> str:
    """Return the value of a tag that points to an image of v1."""
    return value_of_layer(digest_of(image.layer))


def value_of_manifest(manifest: bytes) -> str:
    """Return the value of a tag that points to a manifest. v1 cannot express that of an artifact."""
    document = json.loads(manifest)
    digest = str(document["layers"][-1]["digest"])
    return f"artifact {digest}" if "artifactType" in document else value_of_layer(digest)


def is_missing_in_v1(value: str) -> bool:
    """Tell whether v1 shows no tag with this value."""
    return value == ABSENT or value.startswith("artifact ")


def seen(value: str) -> Effect:
    """Return the effect of having read a value."""
    return Effect(f"saw {value}", sees=value.__eq__)


def written(value: str) -> Effect:
    """Return the effect of having written a value."""
    return Effect(f"wrote {value}", sets=value)


#: What reading shows.
SEEN_MISSING = Effect("saw no tag", sees=lambda value: value == ABSENT)
SEEN_MISSING_IN_V1 = Effect("saw no tag in v1", sees=is_missing_in_v1)
SEEN_PRESENT = Effect("saw a tag", sees=lambda value: value != ABSENT)

DELETED = Effect("deleted", sets=ABSENT)


class Contents:
    """What was pushed. Safe for threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._values: dict[str, str] = {}  #: image id -> value
        self._begun: dict[str, Image] = {}
        self._complete: dict[str, Image] = {}
        self._repositories: dict[str, str | None] = {}  #: image id -> repository of its push
        self._manifests: dict[str, list[bytes]] = defaultdict(list)
        self._views: dict[str, str] = {}  #: image id -> repository

    def begin(self, image: Image) -> None:
        """Note that an image of v1 is going to be pushed."""
        with self._mutex:
            self._values[image.image_id] = value_of_image(image)
            self._begun[image.image_id] = image

    def complete(self, image: Image, repository: str | None = None) -> None:
        """Note that the checksum of an image was accepted.

        :param repository: that of its push, if it is known.
        """
        with self._mutex:
            self._complete[image.image_id] = image
            self._repositories[image.image_id] = repository

    def begin_manifest(self, manifest: bytes) -> None:
        """Note that a manifest is going to be pushed."""
        with self._mutex:
            self._values[view_of(manifest)] = value_of_manifest(manifest)

    def complete_manifest(self, repository: str, manifest: bytes, *, is_shown: bool) -> None:
        """Note that a repository contains a manifest.

        :param is_shown: whether v1 is sure to have the image that it becomes.
        """
        with self._mutex:
            self._manifests[repository].append(manifest)
            if is_shown and not is_missing_in_v1(value_of_manifest(manifest)):
                self._views[view_of(manifest)] = repository

    def value_of_id(self, image_id: str) -> str:
        """Return the value of a tag that points to an image id. An id that was never pushed has its own."""
        with self._mutex:
            return self._values.get(image_id, f"image id {image_id}")

    @property
    def begun(self) -> list[Image]:
        """All images whose push began."""
        with self._mutex:
            return list(self._begun.values())

    @property
    def images(self) -> list[Image]:
        """The images whose checksum was accepted."""
        with self._mutex:
            return list(self._complete.values())

    def values_in_v1(self, repository: str | None = None) -> list[tuple[str, str]]:
        """Return the images to which a tag may be set through v1, with the values that it gets.

        :param repository: leaves out images that were pushed to other ones; None for all images.
        """
        with self._mutex:
            found = {**self._repositories, **self._views}
            return [
                (image_id, self._values[image_id])
                for image_id, pushed in found.items()
                if repository in (None, pushed)
            ]

    def manifests(self, repository: str) -> list[bytes]:
        """Return the manifests of a repository that were accepted."""
        with self._mutex:
            return list(self._manifests[repository])


# -- names


def names_of(repository: str, tags: Iterable[str]) -> dict[str, str]:
    """Return tag -> its name in the history."""
    return {tag: f"{repository}:{tag}" for tag in tags}
