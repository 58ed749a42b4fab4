"""``v1registry image``: who holds which content of an image, and its removal (decisions.md 18)."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..housekeeping.stored_images import StoredContent, StoredImages
from ..names import is_image_id
from .exits import DONE, FAILED, NOT_FOUND, USAGE, CommandFailed
from .options import Commands, add_json_option, add_storage_options, open_shared_storage
from .output import print_json

#: How many repositories are named in a message.
_MOST_NAMED = 10


def add_commands(commands: Commands) -> None:
    """Add ``image show`` and ``image remove``."""
    group = commands.group("image", "look at images in the storage, and remove them")

    command = group.add(
        "show",
        show,
        "show what is stored of an image, and which repositories hold it",
        epilog="With accounts, contents belong to repositories, so an image id may have several of them.",
    )
    command.add_argument("image_id", metavar="ID", help="16 or 64 hex digits")
    add_json_option(command, is_list=False)
    add_storage_options(command, writes=False)

    command = group.add(
        "remove",
        remove,
        "remove an image that no repository holds and no tag reaches",
        epilog="All repositories are looked at. A later push of the id begins anew.",
    )
    command.add_argument("image_id", metavar="ID", help="16 or 64 hex digits")
    command.add_argument(
        "--force",
        action="store_true",
        help="remove it even if repositories use it; they must push it again",
    )
    add_storage_options(command)


def show(options: argparse.Namespace) -> int:
    """Print the contents of an image id, their holders, and the tags on it.

    :raises CommandFailed: the id is invalid, or nothing is stored of it.
    """
    images, image_id = StoredImages(open_shared_storage(options)), _checked_id(options)
    contents = images.contents(image_id)
    if not contents:
        raise _unknown(image_id)
    tags = list(images.tags(image_id))
    if options.json:
        print_json({"id": image_id, "contents": [asdict(content) for content in contents], "tags": tags})
        return DONE
    print(f"image {image_id}")
    for content in contents:
        print(f"content {content.name}: {_described(content)}")
        print(f"  held by: {', '.join(content.holders) or 'no repository with accounts'}")
    print(f"tags: {', '.join(tags) or 'none'}")
    return DONE


def remove(options: argparse.Namespace) -> int:
    """Remove all that is stored of an image id.

    :raises CommandFailed: the id is invalid, nothing is stored of it, or repositories use it.
    """
    images, image_id = StoredImages(open_shared_storage(options)), _checked_id(options)
    contents = images.contents(image_id)
    if not contents:
        raise _unknown(image_id)
    users = images.users(image_id)
    named = ", ".join(users[:_MOST_NAMED]) + (", …" if len(users) > _MOST_NAMED else "")
    if users and not options.force:
        raise CommandFailed(
            f"{image_id} is used by {len(users)} repositories: {named}; delete these or their tags, "
            "or use --force; nothing was removed",
            FAILED,
        )
    removed_bytes = images.remove(image_id)
    lost = f"; push it again to {named}" if users else ""
    print(f"image {image_id} removed: {len(contents)} content(s), {removed_bytes} bytes{lost}")
    return DONE


def _described(content: StoredContent) -> str:
    facts = [content.state + (f" ({content.damage})" if content.damage else "")]
    facts.append("no layer" if content.layer_bytes is None else f"layer of {content.layer_bytes} bytes")
    facts += content.checksums
    if len(content.ancestry) > 1:
        facts.append(f"parent {content.ancestry[1]}")
    return ", ".join(facts)


def _checked_id(options: argparse.Namespace) -> str:
    """Return the id of the command line.

    :raises CommandFailed: it is invalid.
    """
    image_id: str = options.image_id
    if not is_image_id(image_id):
        raise CommandFailed(f"ID: must be 16 or 64 lower-case hex digits, not {image_id!r}", USAGE)
    return image_id


def _unknown(image_id: str) -> CommandFailed:
    return CommandFailed(f"unknown image {image_id}; nothing is stored of it", NOT_FOUND)
