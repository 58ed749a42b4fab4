"""Which keys of the layout change together in a storage over an object store.

A change of one key costs such a storage a document with all keys of its group, and a list of keys costs one
document for each group. So what is listed together is together, and what may become numerous and is read one
by one is apart. What is published into a folder, an image with its marks for example, must be together.

The table says where keys are, so it never changes for a bucket that has some.
"""

from __future__ import annotations

from typing import Final

#: Patterns of :class:`v1registry.storage.objects.Groups`.
KEY_GROUPS: Final = (
    "images/*",
    # the marks of many blobs, images and referrers, which requests read one by one
    "repositories/*/*/_v2/blobs/??",
    "repositories/*/*/_v2/images/??",
    "repositories/*/*/_v2/referrers/??",
    # the rest of a repository, with the tags of both APIs and the records of manifests: a tag is read with
    # all that it depends on
    "repositories/*/*",
    "blobs/*/*/*",
    # the counters of some users, and those of all clients of an open server, which are added up
    "uploads/_bytes/??",
    "uploads/*/*",
    "accounts/**",
    "conversions/**",
    "housekeeping/**",
    "stars/**",
)

#: The folders in which docker-registry keeps what is served, in buckets as in folders on disk.
OLD_FOLDERS: Final = ("images", "repositories")
