"""``v1registry repository sync-list``: what ``skopeo sync`` copies from the distribution API."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..assembly import Services
from ..distribution.places import Place
from ..names import RepositoryName, is_host, is_loopback, is_v2_name, is_v2_tag
from ..rights import User
from ..settings import without_userinfo
from .exits import DONE, NOT_FOUND, USAGE, CommandFailed, complain
from .options import Commands, add_storage_options
from .prepare_v2 import services_of

#: How many tags are read at once.
_TAGS_AT_ONCE = 1000


def add_to_repository_group(group: Commands) -> None:
    """Add ``repository sync-list``."""
    command = group.add(
        "sync-list",
        print_list,
        "print all names and tags, in the YAML that skopeo sync reads",
        epilog="Names and tags that the distribution API cannot name are left out and go to standard error.\n"
        'skopeo keeps only the last part of each name. With --below, "skopeo sync" puts that part below its\n'
        'target, so that "v1registry repository sync-list HOST --below alice" goes with the target\n'
        "registry.example.org/alice.",
    )
    command.add_argument(
        "host",
        metavar="HOST",
        help="the registry that skopeo reads, such as localhost:5000; http:// if it has no TLS",
    )
    command.add_argument(
        "--below", metavar="NAMESPACE", help="only the repositories directly below this namespace or path"
    )
    add_storage_options(command, writes=False)


def print_list(options: argparse.Namespace) -> int:
    """Print the list.

    :raises CommandFailed: the host is invalid, there is nothing to copy, or the settings rule the API out.
    """
    host, has_tls = _host(options.host)
    services = services_of(options)
    is_empty = True
    for name in services.repositories.all():
        if options.below is not None and str(name).rpartition("/")[0] != options.below:
            continue
        tags = _tags(services, name)
        if not tags:
            continue
        if is_empty:
            # JSON texts are valid in YAML, and "1.0" stays a text
            print(f"{json.dumps(host)}:\n  tls-verify: {json.dumps(has_tls)}\n  images:")
            is_empty = False
        print(f"    {json.dumps(str(name))}:", *(f"      - {json.dumps(tag)}" for tag in tags), sep="\n")
    if is_empty:
        where = "" if options.below is None else f" directly below {options.below}"
        raise CommandFailed(f"there is no tag that the distribution API can name{where}", NOT_FOUND)
    return DONE


def _host(text: str) -> tuple[str, bool]:
    """Return the host and whether it has TLS; a host of this machine has none unless https:// says so.

    :raises CommandFailed: the host is invalid.
    """
    scheme, host = "", text
    if "://" in text:
        parts = urlsplit(text)
        scheme, host = parts.scheme, parts.netloc if parts.path in ("", "/") else ""
    if scheme not in ("", "http", "https") or not is_host(host):
        raise CommandFailed(
            f"HOST must be host[:port], http://host or https://host, not {without_userinfo(text)!r}", USAGE
        )
    return host, scheme == "https" or (scheme == "" and not is_loopback(host))


def _tags(services: Services, name: RepositoryName) -> list[str]:
    """Return the tags of a repository that can be copied, and say which cannot."""
    old = services.repositories.tags_or_none(name)
    if not is_v2_name(str(name)):
        complain(f"{name}: the distribution API cannot name it, {len(old)} tag(s) are left out")
        return []
    tags = list(_named_tags(services, name))
    for tag in sorted(set(old) - set(tags)):
        reason = "has no image" if is_v2_tag(tag) else "is no tag of the distribution API"
        complain(f"{name}: the tag {tag!r} {reason}, it is left out")
    return tags


def _named_tags(services: Services, name: RepositoryName) -> Iterator[str]:
    rights = services.access.rights_of(User("", is_administrator=True))
    place, last, is_more = Place.of(rights, name), "", True
    while is_more:
        tags, is_more = services.distribution.tag_lists.page(rights, place, last, _TAGS_AT_ONCE)
        yield from tags
        last = tags[-1] if tags else ""
