"""Repositories: their tags, image lists and properties.

The image list of a repository is what docker-registry 0.9 has as the stand-in for an index.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..log import audit
from ..names import RepositoryName
from ..reserved_names import reserve
from ..rights import Action, User
from ..storage.base import Blob, InvalidKey, KeyNotFound, Storage, update
from ..storage.recent_values import ParsedValues
from . import layout
from .image_lists import PARSED_BYTES, find_id, has_ends_of_list, is_list, listed_ids, merged
from .observers import changes_repository
from .tags import Tags

#: How many bytes at each end of a large image list tell whether it is one.
_END_BYTES: Final = 256

#: The maximum of the stars of a repository. Engines on machines with 32 bits decode no larger number.
MOST_STARS: Final = (1 << 31) - 1


#: Of how many repositories the collaborators are kept in memory, and the longest kept value, in bytes.
_KEPT_COLLABORATORS: Final = 4096
_LONGEST_KEPT_BYTES: Final = 4096


class Repositories(Tags):
    """The repositories of one storage.

    :param clock: gives ``last_update``.
    :param most_list_bytes: how large the image list of a repository may become.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock = SYSTEM_CLOCK,
        most_list_bytes: int = 16 << 20,
    ):
        super().__init__(storage, clock=clock)
        self._most_list_bytes = most_list_bytes
        self._collaborators = ParsedValues(
            storage, _parsed_collaborators, _KEPT_COLLABORATORS, _LONGEST_KEPT_BYTES
        )

    # -- properties

    def is_private(self, name: RepositoryName) -> bool:
        """Tell whether the repository has the flag."""
        return any(self._has(f"{folder}/{layout.PRIVATE}") for folder in layout.repository_folders(name))

    @changes_repository()
    def set_private(self, name: RepositoryName, is_private: bool) -> None:
        """Set or remove the flag.

        :raises InvalidRepositoryName: the name may not be written.
        """
        key = f"{self.folder_to_write(name)}/{layout.PRIVATE}"
        if is_private:
            self._storage.write(key, b"")
        else:
            self._delete(key)
        audit("made repository %r %s", str(name), "private" if is_private else "public")

    def collaborators(self, name: RepositoryName) -> dict[str, Action]:
        """Return user name -> READ or WRITE: the users besides the owners of the namespace."""
        return {username: action for username, (action, _) in self.grants(name).items()}

    def grants(self, name: RepositoryName) -> dict[str, tuple[Action, str]]:
        """Return user name -> READ or WRITE, and the id of the account, empty if it was not recorded."""
        stored = self._stored_collaborators(name)
        found = {username: _granted(value) for username, value in stored.items()}
        return {username: granted for username, granted in found.items() if granted is not None}

    def collaborators_by_name(self, name: RepositoryName) -> list[str]:
        """Return the collaborators whose rights were recorded without the id of an account."""
        return [username for username, (_, account_id) in self.grants(name).items() if not account_id]

    def granted(self, name: RepositoryName, user: User) -> Action | None:
        """Return READ or WRITE if the user is a collaborator of the repository, None if not.

        A right that was recorded with the id of an account is not that of a later account of the same name.
        """
        found = _granted(self._stored_collaborators(name).get(user.name))
        if found is None:
            return None
        action, account_id = found
        return action if account_id in ("", user.id) else None

    def _stored_collaborators(self, name: RepositoryName) -> Mapping[str, object]:
        for folder in layout.repository_folders(name):
            with suppress(KeyNotFound, InvalidKey):
                return self._collaborators.read(f"{folder}/{layout.COLLABORATORS}")[0]
        return {}

    @changes_repository()
    def set_collaborator(
        self,
        name: RepositoryName,
        username: str,
        action: Action | None,
        *,
        id_of: Callable[[str], str] = lambda username: "",
        is_active: bool = True,
    ) -> None:
        """Let a user read, or write and read, the repository; None takes that back.

        The name cannot be registered from then on, if the account is active. An account that is never
        activated lapses, and then its name is free.

        :param id_of: returns the id of the account of a name, empty if it is unknown. Rights are recorded
            with it, also those that were recorded by name alone (decisions.md 20).
        :param is_active: whether the account of the name is active.
        :raises RepositoryNotFound: it does not exist.
        """

        def change(old: bytes | None) -> bytes:
            stored = layout.parse_stored(old or b"")
            granted = stored if isinstance(stored, dict) else {}
            granted.pop(username, None)
            if action is not None:
                granted[username] = action.value
            return json.dumps(_with_ids(granted, id_of), sort_keys=True).encode("ascii")

        if action is not None and is_active:
            reserve(self._storage, username)

        update(self._storage, f"{self._require_folder(name)}/{layout.COLLABORATORS}", change)
        right = "no right" if action is None else f"the right to {action.value}"
        audit("gave user %r %s as a collaborator of repository %r", username, right, str(name))

    def description(self, name: RepositoryName) -> str:
        """Return the description, empty if there is none."""
        for folder in layout.repository_folders(name):
            data = self._read_optional(f"{folder}/{layout.DESCRIPTION}")
            if data is not None:
                return data.decode("utf-8", errors="replace")
        return ""

    @changes_repository()
    def describe(self, name: RepositoryName, description: str) -> None:
        """Set the description, which search looks at and shows.

        :raises RepositoryNotFound: it does not exist.
        """
        self._storage.write(f"{self._require_folder(name)}/{layout.DESCRIPTION}", description.encode("utf-8"))

    def stars(self, name: RepositoryName) -> int:
        """Return the number of stars, 0 if none was set."""
        for folder in layout.repository_folders(name):
            data = self._read_optional(f"{folder}/{layout.STARS}")
            if data is not None and data.isdigit() and len(data) <= len(str(MOST_STARS)):
                return int(data)
        return 0

    def starred(self) -> dict[RepositoryName, int]:
        """Return repository -> number of stars, of those that have any.

        Only repositories whose stars were set are read, so it costs nothing on a registry without stars.
        """
        found: dict[RepositoryName, int] = {}
        for stat in self._list(f"{layout.STARRED}/"):
            _, namespace, folder = stat.key.split("/")
            name = layout.repository_from_folders(namespace, folder)
            stars = self.stars(name)
            if stars:
                found[name] = stars
        return found

    @changes_repository()
    def set_stars(self, name: RepositoryName, stars: int) -> None:
        """Set the number of stars, by which search sorts and which it shows.

        :param stars: at least 0, at most MOST_STARS.
        :raises ValueError: the number is out of range.
        :raises RepositoryNotFound: it does not exist.
        """
        if not 0 <= stars <= MOST_STARS:
            raise ValueError(f"stars must be between 0 and {MOST_STARS}, not {stars}")
        folder = self._require_folder(name)
        # the key for starred() first: if it is left alone, nothing has changed
        self._storage.write(f"{layout.STARRED}/{folder.removeprefix(f'{layout.REPOSITORIES}/')}", b"")
        self._storage.write(f"{folder}/{layout.STARS}", str(stars).encode("ascii"))

    # -- the image list

    def announce(self, name: RepositoryName, body: bytes, entries: list[dict[str, str]]) -> None:
        """Start a push: create the repository with the list as sent, or add to the list of an existing one.

        Docker-registry keeps the first body byte for byte, and so do we.

        :raises InvalidRepositoryName: the name may not be written.
        :raises ImageListTooLarge: the list would become too large.
        """
        self._change_list(
            name, lambda old: body if old is None else merged(old, entries, self._most_list_bytes)
        )

    def add_images(self, name: RepositoryName, entries: list[dict[str, str]]) -> None:
        """End a push: images are added and sums adopted, never removed; without entries no list is begun.

        From now on the list has no tags, as docker-registry 0.9.1 keeps it: engines also fetch what a ``Tag``
        in the list names, wherever the tags are by now (moby 0.9.0 to 17.05, pullRepository).

        :raises InvalidRepositoryName: the name may not be written.
        :raises ImageListTooLarge: the list would become too large.
        """

        def change(old: bytes | None) -> bytes | None:
            if old is None and not entries:
                return None
            return merged(old or b"[]", entries, self._most_list_bytes)

        self._change_list(name, change)

    def image_list(self, name: RepositoryName, *, even_deleted: bool = False) -> bytes:
        """Return the image list as JSON, as stored.

        :param even_deleted: also of a repository that is marked as deleted.
        :raises ImageListNotFound: there is none, or it is damaged, though tags may be set.
        """
        for folder in self._folders(name, even_deleted=even_deleted):
            stored = self._read_optional(f"{folder}/{layout.IMAGE_LIST}")
            if stored is not None and is_list(stored):
                return stored
        raise errors.ImageListNotFound(repository=str(name))

    def open_large_list(self, name: RepositoryName, *, even_deleted: bool = False) -> Blob | None:
        """Open an image list that is too large to be in memory for each reader.

        None if it is small, damaged or missing.
        """
        for folder in self._folders(name, even_deleted=even_deleted):
            key = f"{folder}/{layout.IMAGE_LIST}"
            with suppress(KeyNotFound, InvalidKey):
                blob = self._storage.open(key)
                if blob.stat.size > PARSED_BYTES and self._is_large_list(key, blob.stat.size):
                    return blob
                blob.close()
        return None

    def _is_large_list(self, key: str, size: int) -> bool:
        beginning, end = self._storage.open(key, 0, _END_BYTES), self._storage.open(key, size - _END_BYTES)
        with beginning, end:
            return has_ends_of_list(beginning.read(), end.read())

    def find_in_list(self, name: RepositoryName, image_id: str) -> tuple[bool, int]:
        """Tell whether the image list has an id, and how many bytes the list has.

        :raises ImageListNotFound: there is none.
        :raises DocumentBusy: the list has to be parsed, and other large documents are being parsed.
        """
        for folder in self._folders(name):
            try:
                blob = self._storage.open(f"{folder}/{layout.IMAGE_LIST}")
            except (KeyNotFound, InvalidKey):
                continue
            with blob:
                found, size = find_id(blob, image_id), blob.stat.size
            if found is None:
                found = image_id in listed_ids(self.image_list(name))
            return found, size
        raise errors.ImageListNotFound(repository=str(name))

    def mend_list(self, name: RepositoryName, known_ids: Callable[[], Iterable[str]]) -> None:
        """Replace the image list if it is damaged (decisions.md 22).

        :param known_ids: returns the ids of the new list.
        :raises ImageListTooLarge: the list would become too large.
        """

        def mended(old: bytes | None) -> bytes | None:
            if old is None or is_list(old):
                return None
            return merged(b"[]", [{"id": image_id} for image_id in known_ids()], self._most_list_bytes)

        for folder in self._folders(name):
            key = f"{folder}/{layout.IMAGE_LIST}"
            stored = self._read_optional(key)
            if stored is not None and not is_list(stored):
                update(self._storage, key, mended)

    @changes_repository(only_appears=True)
    def _change_list(self, name: RepositoryName, change: Callable[[bytes | None], bytes | None]) -> None:
        update(self._storage, f"{self.folder_to_write(name)}/{layout.IMAGE_LIST}", change)


def _parsed_collaborators(key: str, value: bytes) -> Mapping[str, object]:
    parsed = layout.parse_stored(value)
    return parsed if isinstance(parsed, dict) else {}


def _granted(value: object) -> tuple[Action, str] | None:
    """Return a stored right with the id of its account, which is empty if it was recorded by name alone."""
    word: object = value
    account_id: object = ""
    if isinstance(value, dict):
        word, account_id = value.get("right"), value.get("account")
    if word not in ("read", "write") or not isinstance(account_id, str):
        return None
    return Action(word), account_id


def _with_ids(granted: dict[str, object], id_of: Callable[[str], str]) -> dict[str, object]:
    """Return stored rights, with the ids of the accounts as far as they are known."""
    found = dict(granted)
    for username, value in granted.items():
        account_id = id_of(username) if isinstance(value, str) else ""
        if account_id:
            found[username] = {"account": account_id, "right": value}
    return found
