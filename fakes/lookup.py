"""Looking up images by name, and the error for a missing image, tag or repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: How many names a message lists before it only counts the rest.
_SHOWN = 12


class NotThere(KeyError):
    """The image, tag or repository does not exist. The text lists the existing ones."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which suits keys, not sentences
        return str(self.args[0])


def not_there(what: str, there_are: Iterable[str]) -> NotThere:
    """Return the error for a missing thing.

    :param what: such as ``no tag 'x' in alice/app``.
    :param there_are: the existing names.


    >>> str(not_there("no tag 'x' in alice/app", ["latest", "1.0"]))
    "no tag 'x' in alice/app; there are: 1.0, latest"
    >>> str(not_there("no repository 'x'", []))
    "no repository 'x'; there are none"
    """
    names = sorted(there_are)
    if not names:
        return NotThere(f"{what}; there are none")
    shown = ", ".join(names[:_SHOWN])
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    return NotThere(f"{what}; there are: {shown}")


class Tags(dict[str, str]):
    """Tag -> image id. A missing tag raises NotThere, which lists the tags."""

    def __init__(self, repository: str, tags: Mapping[str, str]):
        super().__init__(tags)
        self._repository = repository

    def __missing__(self, tag: str) -> str:
        raise not_there(f"no tag {tag!r} in {self._repository}", self)


def without_host(name: str) -> str:
    """Return the name of an image without the registry in front, as engines recognise it.

    The first part is a registry if it has a dot or a port, or is ``localhost``.

    >>> without_host("127.0.0.1:5000/alice/app:1.0"), without_host("localhost/app")
    ('alice/app:1.0', 'app')
    >>> without_host("alice/app:1.0"), without_host("app:1.0")
    ('alice/app:1.0', 'app:1.0')
    """
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    return rest if is_host else name


def split_name(name: str) -> tuple[str, str]:
    """Split ``[HOST/]NAMESPACE/REPOSITORY:TAG``; the tag is ``latest`` if there is none.

    >>> split_name("127.0.0.1:5000/alice/app:1.0"), split_name("alice/app")
    (('alice/app', '1.0'), ('alice/app', 'latest'))
    """
    folder, slash, last = without_host(name).rpartition("/")
    base, colon, tag = last.partition(":")
    return f"{folder}{slash}{base}", tag if colon else "latest"


def split_reference(name: str) -> tuple[str, str | None]:
    """Split a name into the repository and the tag or digest; None if there is none.

    >>> split_reference("127.0.0.1:5000/alice/app"), split_reference("alice/app@sha256:ab")
    (('alice/app', None), ('alice/app', 'sha256:ab'))
    """
    repository, at, digest = name.partition("@")
    if at:
        return without_host(repository), digest
    repository, tag = split_name(name)
    return repository, tag if name.rpartition("/")[2].partition(":")[1] else None
