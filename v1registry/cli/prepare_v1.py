"""``v1registry prepare-v1``: show images of the distribution API to engines of v1, if that was left out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from .. import errors
from ..assembly import Services
from ..distribution.parts import to_v1_of
from ..distribution.places import Place
from ..distribution.to_v1 import ToV1
from ..distribution.view_facts import Inexpressible, NoView
from ..names import RepositoryName, is_v2_name
from ..rights import Rights, User
from ..storage.base import DataMissing
from .exits import DONE, FAILED, NOT_FOUND, CommandFailed, complain
from .options import Commands, add_json_option, add_storage_options, count
from .output import print_json
from .prepare_v2 import services_of

#: How long the layers of one image are read if the command line does not say it, in seconds.
_IMAGE_TIME_S = 3600


@dataclass(frozen=True)
class _Tag:
    repository: RepositoryName
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True)
class _Prepared:
    """What became of one tag."""

    tag: str  #: ``NAMESPACE/NAME:TAG``
    image_id: str | None = None  #: that v1 shows now; None if nothing changed
    reason: str | None = None  #: why v1 does not show it
    is_failed: bool = False  #: v1 could show it, but for the reason


def add_commands(commands: Commands) -> None:
    """Add ``prepare-v1``."""
    command = commands.add(
        "prepare-v1",
        prepare,
        "show images of the distribution API to engines of v1, if that was left out",
        epilog="A server leaves out images with large layers, and all images while v1_view is off. Here\n"
        "max_expanded_bytes, max_expansion_ratio, max_v1_view_bytes and v1_view_time_s limit nothing. What\n"
        "is done is kept, so the command may be interrupted and repeated. It may run beside servers, and\n"
        "needs their settings (--config). The exit code is 1 if an image could not be shown; the reason is\n"
        "printed. Artifacts and other content that v1 cannot have are no failure.",
    )
    command.add_argument(
        "--repository",
        action="append",
        metavar="NAMESPACE/NAME[:TAG]",
        help="only this repository or tag; may be given several times",
    )
    command.add_argument(
        "--image-time",
        type=count,
        default=_IMAGE_TIME_S,
        metavar="SECONDS",
        help=f"how long the layers of one image may be read (default: {_IMAGE_TIME_S})",
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")
    add_json_option(command, is_list=True)
    add_storage_options(command)


def prepare(options: argparse.Namespace) -> int:
    """Make the v1 views of all tags that have none, or of those that are named.

    :raises CommandFailed: a named repository or tag is unknown, or the settings rule the API out.
    """
    services = services_of(options)
    tags = _named(services, options.repository) if options.repository else _all(services)
    done = list(_prepare(services, tags, options))
    shown = sum(row.image_id is not None for row in done)
    failed = sum(row.is_failed for row in done)
    if options.json:
        print_json([asdict(row) for row in done])
    else:
        left = len(done) - shown - failed
        print(f"{shown} tags shown in v1 now, {left} that v1 cannot have, {failed} failed")
    return FAILED if failed else DONE


# -- which tags


def _rights(services: Services) -> Rights:
    return services.access.rights_of(User("", is_administrator=True))


def _all(services: Services) -> Iterator[_Tag]:
    for repository in services.repositories.candidates():
        yield from _of(services, repository)


def _of(services: Services, repository: RepositoryName) -> list[_Tag]:
    """Return the tags of a repository that were pushed through the distribution API, sorted."""
    if not is_v2_name(str(repository)):
        return []
    place = Place.of(_rights(services), repository)
    return [_Tag(repository, tag) for tag in services.distribution.manifests.pushed_tags(place)]


def _named(services: Services, names: list[str]) -> list[_Tag]:
    """Return the tags that the command line names.

    :raises CommandFailed: one of them is unknown.
    """
    tags: dict[_Tag, None] = {}
    for name in names:
        text, _, tag = name.partition(":")
        found = [row for row in _of(services, RepositoryName.parse(text)) if tag in ("", row.tag)]
        if not found:
            raise CommandFailed(f"no tag that was pushed through /v2/: {name}", NOT_FOUND)
        tags.update(dict.fromkeys(found))
    return list(tags)


# -- the work


def _prepare(
    services: Services, tags: Iterator[_Tag] | list[_Tag], options: argparse.Namespace
) -> Iterator[_Prepared]:
    """Make views one after the other; yield what became of each tag that v1 did not show."""

    def on_read(sha256: str, size: int) -> None:
        if not options.quiet:
            print(f"  reading the layer sha256:{sha256} of {size} bytes", file=sys.stderr)

    to_v1 = to_v1_of(
        services.storage,
        services.settings,
        services.images,
        services.holding,
        services.distribution.blobs,
        seconds=options.image_time,
        on_read=on_read,
    )
    for tag in tags:
        done = _prepare_tag(services, to_v1, tag)
        if done is None:
            continue
        if done.is_failed and not options.json:
            complain(f"{done.tag}: {done.reason}")
        elif not options.quiet:
            print(f"{done.tag}: {done.image_id or done.reason}", file=sys.stderr)
        yield done


def _prepare_tag(services: Services, to_v1: ToV1, tag: _Tag) -> _Prepared | None:
    """Make the view of a tag; return what became of it, None if there was nothing to do."""
    rights = _rights(services)
    place = Place.of(rights, tag.repository)
    try:
        view = services.distribution.manifests.show_in_v1(rights, place, tag.tag, to_v1)
    except Inexpressible as reason:
        return _Prepared(str(tag), reason=str(reason))
    except NoView as reason:
        return _Prepared(str(tag), reason=str(reason), is_failed=True)
    except (errors.ManifestUnknown, errors.RepositoryNotFound):
        return None
    except DataMissing as error:
        return _Prepared(str(tag), reason=str(error), is_failed=True)
    except errors.TagInvalid as error:
        return _Prepared(str(tag), reason=error.public, is_failed=True)
    return None if view is None else _Prepared(str(tag), view.image_id)
