"""``v1registry prepare-v2``: convert the images of v1 before the first pull through ``/v2/``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Final

from .. import errors
from ..assembly import Services, assemble
from ..distribution.from_v1 import FromV1
from ..distribution.layer_blobs import Watcher
from ..distribution.parts import from_v1_of
from ..distribution.places import Place
from ..distribution.shared_work import SharedWork
from ..distribution.tags import TagPointers, Target
from ..names import RepositoryName, is_v2_name, is_v2_tag
from ..registry import layout
from ..registry.known_tags import stored_names
from ..rights import Rights, User
from ..storage.at_once import Distant, at_once
from ..storage.base import DataMissing
from .exits import DONE, FAILED, NOT_FOUND, USAGE, CommandFailed, complain
from .options import Commands, add_json_option, add_storage_options, count, open_shared_storage, settings_of
from .output import print_json

#: How many tags are prepared before the next ones, and before a line of progress.
_STEP = 100

#: How many images are converted at once if the command line does not say it. Over an object store they wait
#: for its answers most of the time.
_JOBS: Final = 2
_JOBS_IF_DISTANT: Final = 8

#: How often an image is converted whose result the garbage collection removes, and the pause before that, in
#: seconds.
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2


@dataclass(frozen=True)
class _Tag:
    repository: RepositoryName
    tag: str
    image_id: str | None  #: None if it is lost
    reason: str = ""  #: why it cannot be prepared; empty if that is not known before

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True)
class _Prepared:
    """What became of one tag."""

    tag: str  #: ``NAMESPACE/NAME:TAG``
    image_id: str | None  #: None if it is lost
    digest: str | None  #: of the manifest for docker; None if there is none
    reason: str | None  #: why there is none


def add_commands(commands: Commands) -> None:
    """Add ``prepare-v2``."""
    command = commands.add(
        "prepare-v2",
        prepare,
        "convert v1 images for the distribution API, before the first pull does it",
        epilog="Every layer is read once. What is done is kept, so the command may be interrupted and "
        "repeated.\nIt may run beside servers, and needs their settings (--config). Nothing of v1 changes.\n"
        "The exit code is 1 if a tag has no manifest; the reason is printed.",
    )
    command.add_argument(
        "--repository",
        action="append",
        metavar="NAMESPACE/NAME[:TAG]",
        help="convert only this repository or tag; may be given several times",
    )
    command.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help=f"images that are converted at once (default: {_JOBS}; over an object store {_JOBS_IF_DISTANT})",
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")
    add_json_option(command, is_list=True)
    add_storage_options(command)


def prepare(options: argparse.Namespace) -> int:
    """Convert the images of all tags, or of those that are named.

    :raises CommandFailed: a named repository or tag is unknown, or the settings rule the API out.
    """
    services = services_of(options)
    tags = _named(services, options.repository) if options.repository else _all(services)
    prepared, total, failed = [], 0, 0
    for done in _prepare(services, tags, options):
        total += 1
        failed += done.digest is None
        if options.json:
            prepared.append(asdict(done))
        elif done.digest is None:
            complain(f"{done.tag}: {done.reason}")
        if total % _STEP == 0 and not options.quiet:
            print(f"{total} tags prepared, the last one {done.tag}", file=sys.stderr)
    if options.json:
        print_json(prepared)
    else:
        print(f"{total - failed} tags prepared, {failed} without a manifest")
    return FAILED if failed else DONE


def services_of(options: argparse.Namespace) -> Services:
    """Return the services of a server that has the distribution API, for other commands too.

    :raises CommandFailed: the settings rule the API out.
    """
    services = assemble({**settings_of(options), "storage": open_shared_storage(options)})
    if services.settings.index or services.settings.images == "elsewhere":
        raise CommandFailed(
            "index and images = elsewhere exclude the distribution API: run the command where images and "
            "accounts are",
            USAGE,
        )
    return services


# -- which tags


def _all(services: Services) -> Iterator[_Tag]:
    for found in at_once(services.storage, partial(_of, services), services.repositories.candidates()):
        yield from found


def _of(services: Services, repository: RepositoryName) -> list[_Tag]:
    """Return the tags of a repository on images of v1 that the distribution API can name, sorted."""
    if not is_v2_name(str(repository)):
        return []
    try:
        tags = services.repositories.tags_or_none(repository)
        found = [_Tag(repository, tag, image_id) for tag, image_id in sorted(tags.items())]
    except DataMissing:
        found = _one_by_one(services, repository)
    found = [row for row in found if is_v2_tag(row.tag)]
    try:
        place = Place.of(_rights(services), repository)
    except DataMissing as error:
        return [replace(row, reason=str(error)) for row in found]
    pointers = TagPointers(services.storage, services.repositories, services.distribution.records)
    looks = at_once(services.storage, partial(_unless_pushed, pointers, place), found)
    return [row for row in looks if row is not None]


def _one_by_one(services: Services, repository: RepositoryName) -> list[_Tag]:
    """Return the tags of a repository, sorted. One whose value is lost does not hide the others."""
    found = []
    for tag in stored_names(services.storage, layout.repository_folders(repository)):
        try:
            image_id = services.repositories.stored_tag(repository, tag).image_id
        except DataMissing as error:
            found.append(_Tag(repository, tag, None, str(error)))
            continue
        if image_id is not None:
            found.append(_Tag(repository, tag, image_id))
    return found


def _unless_pushed(pointers: TagPointers, place: Place, row: _Tag) -> _Tag | None:
    """Return a tag; None if a manifest was pushed for it."""
    if row.reason:
        return row
    try:
        return None if _is_pushed(pointers.target(place, row.tag)) else row
    except DataMissing as error:
        return replace(row, reason=str(error))


def _is_pushed(target: Target | None) -> bool:
    """Tell whether a manifest was pushed for a tag, so that no image has to be converted."""
    return target is not None and target.sha256 is not None


def _rights(services: Services) -> Rights:
    return services.access.rights_of(User("", is_administrator=True))


def _named(services: Services, names: list[str]) -> list[_Tag]:
    """Return the tags that the command line names.

    :raises CommandFailed: one of them is unknown.
    """
    tags: dict[_Tag, None] = {}
    for name in names:
        repository, _, tag = name.partition(":")
        found = [row for row in _of(services, RepositoryName.parse(repository)) if tag in ("", row.tag)]
        if not found:
            raise CommandFailed(
                f"no tag on an image of v1 that the distribution API can name: {name}", NOT_FOUND
            )
        tags.update(dict.fromkeys(found))
    return list(tags)


# -- the work


def _prepare(services: Services, tags: Iterable[_Tag], options: argparse.Namespace) -> Iterator[_Prepared]:
    """Convert the images of tags in threads; yield what became of each tag."""
    jobs: int = options.jobs or (_JOBS_IF_DISTANT if isinstance(services.storage, Distant) else _JOBS)
    distribution = services.distribution
    from_v1 = from_v1_of(
        services.storage,
        services.settings,
        services.images,
        distribution.blobs,
        distribution.records,
        jobs=jobs,
        watcher=_watcher(options),
    )
    # its threads are daemons, so Ctrl-C ends the command at once
    work, left = SharedWork[_Prepared](jobs), iter(tags)
    while batch := list(islice(left, _STEP)):
        done = work.run({tag: partial(_prepare_tag, services, from_v1, tag) for tag in batch}, None)
        yield from (done[tag] for tag in batch)


def _watcher(options: argparse.Namespace) -> Watcher | None:
    """Return what shows the progress of layers on a terminal; None if it is not shown."""
    if options.quiet or not sys.stderr.isatty():
        return None
    from ..client import TqdmProgress

    return TqdmProgress()


def _prepare_tag(services: Services, from_v1: FromV1, tag: _Tag) -> _Prepared:
    digest, reason = None, tag.reason
    if tag.image_id is not None and not reason:
        digest, reason = _made(services, from_v1, tag.repository, tag.image_id)
    return _Prepared(str(tag), tag.image_id, digest, reason or None)


def _made(
    services: Services, from_v1: FromV1, repository: RepositoryName, image_id: str
) -> tuple[str | None, str]:
    """Return the digest of the manifest of an image, or why there is none."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            rights = _rights(services)
            # as in a request
            with services.storage.moment():
                place = Place.of(rights, repository)
                return str(from_v1.manifest_of(rights, place, image_id, is_oci=False).digest), ""
        except errors.ImageNotConvertible as error:
            return None, error.reason
        except errors.ManifestUnknown:
            return None, "the repository was deleted meanwhile"
        except errors.ImageNotFound:
            return None, "the image was removed meanwhile"
        except DataMissing as error:
            return None, str(error)
        except errors.ImageBusy:
            # the garbage collection removed a part of the result, which is made again
            if left:
                time.sleep(_PAUSE_S)
    return None, "the garbage collection removed the result again and again: run the command again after it"
