"""A public test suite for search indexes.

Subclass :class:`SearchIndexContract` with a fixture ``index``::

    class TestMySearch(SearchIndexContract):
        @pytest.fixture
        def index(self, storage, repositories):
            index = MySearch(storage, repositories)
            repositories.observe(index)
            return index

The index must be whole when the fixture returns it. ``storage`` may be overridden too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from v1registry.names import RepositoryName
from v1registry.registry import layout
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING, NOTHING, Action, Listing, User
from v1registry.search.base import Found, SearchIndex
from v1registry.storage.base import Storage
from v1registry.storage.memory import MemoryStorage

_MIRA = User("mira", groups=frozenset({"team"}), id="1")

#: Name -> description, of the repositories of most tests.
_STORED: Final = {
    "library/busybox": "The smallest image",
    "library/nginx": "Serves pages",
    "mira/App": "Mira's own service",
    "team/app": "",
    "team/nginx": "A front for the APP",
    "zoe/app": "An image of Zoe",
    "zoe/x": "100% ä-ß",
}
_ALL: Final = list(_STORED)

#: Query -> what it finds.
_FOUND: Final[Mapping[str, list[str]]] = {
    "": _ALL,
    " \t": _ALL,
    "nginx": ["library/nginx", "team/nginx"],
    "team/nginx": ["team/nginx"],
    "TEAM/Nginx": ["team/nginx"],
    "app": ["mira/App", "team/app", "team/nginx", "zoe/app"],
    "zoe/app": ["zoe/app"],
    "mira/app": ["mira/App"],
    "image app": ["zoe/app"],
    "IMAGE": ["library/busybox", "zoe/app"],
    "in": ["library/nginx", "team/nginx"],
    "x": ["library/busybox", "library/nginx", "team/nginx", "zoe/x"],
    "zo": ["zoe/app", "zoe/x"],
    "front for": ["team/nginx"],
    "m/n": ["team/nginx"],
    "missing": [],
    "app missing": [],
    "%": ["zoe/x"],
    "100%": ["zoe/x"],
    "ä-SS": ["zoe/x"],
    "Ä": ["zoe/x"],
    "_pp": [],
    "'": ["mira/App"],
    '"app': [],
    "app OR nginx": ["team/nginx"],
    "app\0x": [],
    "\0": [],
    "\ud800": [],
    "n*x": ["library/nginx", "team/nginx"],
    "te*/ng?nx": ["team/nginx"],
    "b?sy": ["library/busybox"],
    "a*e": ["library/busybox", "library/nginx", "zoe/app"],
    "*": _ALL,
    "?ngin?": ["library/nginx", "team/nginx"],
    "nginxx*": [],
}  # fmt: skip


class _Caller:
    """A caller with a listing. What it may list follows from it, as for all callers."""

    def __init__(self, listing: Listing, repositories: Repositories):
        self._listing = listing
        self._repositories = repositories

    def listing(self) -> Listing:
        """Return the listing."""
        return self._listing

    def may_list(self, repository: RepositoryName) -> bool:
        """Tell what the listing says of one repository, by the storage."""
        said, stored = self._listing, self._repositories
        return (
            said.is_everything
            or (said.has_public and not stored.is_private(repository))
            or repository.namespace in said.namespaces
            or repository in said.repositories
            or (said.collaborator is not None and stored.granted(repository, said.collaborator) is not None)
            or (said.rule is not None and said.rule(repository))
        )


class SearchIndexContract:
    """What every search index does (hub.md 7)."""

    @pytest.fixture
    def storage(self) -> Storage:
        """Return an empty storage."""
        return MemoryStorage()

    @pytest.fixture
    def repositories(self, storage: Storage) -> Repositories:
        """Return the repositories of the storage."""
        return Repositories(storage)

    @pytest.fixture
    def index(self, storage: Storage, repositories: Repositories) -> Iterator[SearchIndex] | SearchIndex:
        """Return the index that is tested."""
        raise NotImplementedError("override the fixture index")

    def fill(self, repositories: Repositories, *names: str) -> None:
        """Make repositories, by default those of ``_STORED``."""
        for name in names or _STORED:
            parsed = RepositoryName.parse(name)
            repositories.announce(parsed, b"[]", [])
            if _STORED.get(name):
                repositories.describe(parsed, _STORED[name])

    def found(
        self,
        index: SearchIndex,
        repositories: Repositories,
        query: str = "",
        listing: Listing = EVERYTHING,
        start: int = 0,
        most: int = 100,
    ) -> Found:
        """Return what a caller finds."""
        return index.find(query, _Caller(listing, repositories), start, most)

    def names(
        self,
        index: SearchIndex,
        repositories: Repositories,
        query: str = "",
        listing: Listing = EVERYTHING,
    ) -> list[str]:
        """Return the names that a caller finds, after checking that they are as many as the total."""
        found = self.found(index, repositories, query, listing)
        assert found.total == len(found.hits)
        return [str(hit.name) for hit in found.hits]

    # -- words and order

    def test_words_are_found_in_names_and_descriptions_in_order(
        self, index: SearchIndex, repositories: Repositories
    ) -> None:
        self.fill(repositories)
        for query, names in _FOUND.items():
            assert self.names(index, repositories, query) == names, query

    def test_stars_come_before_names_and_after_official_ones(
        self, index: SearchIndex, repositories: Repositories
    ) -> None:
        self.fill(repositories)
        repositories.set_stars(RepositoryName("zoe", "app"), 7)
        repositories.set_stars(RepositoryName("team", "nginx"), 9)
        repositories.set_stars(RepositoryName("team", "app"), 8)
        found = self.found(index, repositories, "app")
        assert [(str(hit.name), hit.stars) for hit in found.hits] == [
            ("team/nginx", 9), ("team/app", 8), ("zoe/app", 7), ("mira/App", 0),
        ]  # fmt: skip
        assert self.names(index, repositories)[:3] == ["library/busybox", "library/nginx", "team/nginx"]

    def test_exact_name_comes_first_whatever_its_stars(
        self, index: SearchIndex, repositories: Repositories
    ) -> None:
        self.fill(repositories, "app", "app-x", "zoe/app", "zoe/app-x")
        repositories.set_stars(RepositoryName("library", "app-x"), 9)
        repositories.set_stars(RepositoryName("zoe", "app-x"), 9)
        assert self.names(index, repositories, "app") == [
            "library/app", "library/app-x", "zoe/app-x", "zoe/app",
        ]  # fmt: skip
        assert self.names(index, repositories, "zoe/app") == ["zoe/app", "zoe/app-x"]

    def test_hits_have_whole_descriptions(self, index: SearchIndex, repositories: Repositories) -> None:
        self.fill(repositories)
        found = self.found(index, repositories, "busybox")
        assert [hit.description for hit in found.hits] == ["The smallest image"]

    # -- parts

    def test_parts_together_are_all_hits(self, index: SearchIndex, repositories: Repositories) -> None:
        self.fill(repositories, *(f"team/app{number:02}" for number in range(30)), "library/app")
        parts = [self.found(index, repositories, "app", start=start, most=7) for start in range(0, 42, 7)]
        assert [str(hit.name) for part in parts for hit in part.hits] == [
            "library/app", *(f"team/app{number:02}" for number in range(30)),
        ]  # fmt: skip
        assert [part.total for part in parts] == [31] * 6
        assert [part.has_more for part in parts] == [True] * 4 + [False] * 2

    def test_start_may_be_any_number(self, index: SearchIndex, repositories: Repositories) -> None:
        self.fill(repositories)
        for query in ("", "app", "a"):
            found = self.found(index, repositories, query, start=10**30)
            assert (found.hits, found.has_more) == ([], False)
            assert found.total == len(self.names(index, repositories, query))

    def test_first_page_may_be_asked_for_without_total(
        self, index: SearchIndex, repositories: Repositories
    ) -> None:
        self.fill(repositories)
        caller = _Caller(EVERYTHING, repositories)
        found = index.find("app", caller, 0, 2, needs_total=False)
        assert ([str(hit.name) for hit in found.hits], found.has_more) == (["mira/App", "team/app"], True)
        assert found.total in (None, 4)

    # -- rights

    @pytest.mark.parametrize(
        "listing",
        [
            EVERYTHING,
            NOTHING,
            Listing(has_public=True),
            Listing(has_public=True, namespaces=frozenset({"mira", "team"}), collaborator=_MIRA),
            Listing(has_public=True, collaborator=_MIRA),
            Listing(has_public=True, collaborator=User("mira", id="2")),
            Listing(has_public=True, repositories=frozenset({RepositoryName("team", "hidden-app")})),
            Listing(repositories=frozenset({RepositoryName("zoe", "app")})),
            Listing(namespaces=frozenset({"zoe", "nobody"})),
            Listing(rule=lambda name: name.repository.endswith("app")),
        ],
    )
    def test_callers_find_and_count_what_they_may_see(
        self, index: SearchIndex, repositories: Repositories, listing: Listing
    ) -> None:
        self.fill(repositories, *_STORED, "team/hidden-app", "mira/hidden-app", "zoe/hidden-app")
        for name in ("team/hidden-app", "mira/hidden-app", "zoe/hidden-app", "zoe/x"):
            repositories.set_private(RepositoryName.parse(name), True)
        repositories.set_collaborator(
            RepositoryName("zoe", "hidden-app"), "mira", Action.READ, id_of=lambda username: "1"
        )
        repositories.set_collaborator(RepositoryName("zoe", "x"), "mira", Action.WRITE)
        caller = _Caller(listing, repositories)
        for query in ("app", "a", "app*", "in image", ""):
            everything = self.names(index, repositories, query)
            wanted = [name for name in everything if caller.may_list(RepositoryName.parse(name))]
            assert self.names(index, repositories, query, listing) == wanted, query
        assert index.names_after("", caller, 100, lambda name: True) == (sorted(wanted), None)

    # -- changes

    def test_each_change_is_found_at_once(self, index: SearchIndex, repositories: Repositories) -> None:
        name, public = RepositoryName("team", "app"), Listing(has_public=True)
        assert self.names(index, repositories) == []
        repositories.announce(name, b"[]", [])
        assert self.names(index, repositories) == ["team/app"]
        repositories.describe(name, "A service")
        assert self.names(index, repositories, "service") == ["team/app"]
        repositories.describe(name, "A program")
        assert self.names(index, repositories, "service") == []
        repositories.set_private(name, True)
        assert self.names(index, repositories, "program", public) == []
        mine = Listing(has_public=True, collaborator=_MIRA)
        assert self.names(index, repositories, "program", mine) == []
        repositories.set_collaborator(name, "mira", Action.READ)
        assert self.names(index, repositories, "program", mine) == ["team/app"]
        repositories.set_collaborator(name, "mira", None)
        assert self.names(index, repositories, "program", mine) == []
        repositories.set_private(name, False)
        assert self.names(index, repositories, "program", public) == ["team/app"]
        repositories.mark_deleted(name)
        assert self.names(index, repositories) == []
        repositories.announce(name, b"[]", [])
        assert self.names(index, repositories) == ["team/app"]
        assert self.names(index, repositories, "program") == []
        repositories.remove(name)
        assert self.names(index, repositories) == []

    def test_repository_of_tags_alone_is_found_while_it_has_one(
        self, index: SearchIndex, repositories: Repositories
    ) -> None:
        name = RepositoryName("team", "app")
        stat = repositories.set_tag(name, "v1", "0" * 64, "")
        assert self.names(index, repositories) == ["team/app"]
        repositories.delete_tag(name, "v1")
        assert self.names(index, repositories) == []
        stat = repositories.set_tag(name, "v2", "0" * 64, "")
        repositories.undo_tag(stat)
        assert self.names(index, repositories) == []

    # -- lists of names

    def test_lists_of_names_are_sorted_and_go_on_after_a_name(
        self, index: SearchIndex, repositories: Repositories
    ) -> None:
        self.fill(repositories, "b/a", "a-b/x", "a/z", "a/b/c", "library/x", "a.b/y", "a/B")
        caller, after, parts = _Caller(EVERYTHING, repositories), "", []
        while True:
            names, further = index.names_after(after, caller, 2, str.islower)
            parts.append(names)
            if further is None:
                break
            after = further
        assert [name for part in parts for name in part] == [
            "a-b/x", "a.b/y", "a/b/c", "a/z", "b/a", "library/x",
        ]  # fmt: skip
        assert max(map(len, parts)) <= 2
        assert index.names_after("library/x", caller, 5, str.islower) == ([], None)
        assert index.names_after("\U0010ffff", caller, 5, str.islower) == ([], None)

    def test_old_names_are_found_too(
        self, index: SearchIndex, repositories: Repositories, storage: Storage
    ) -> None:
        name = RepositoryName("old", "Ä pp/x")
        storage.write(f"{layout.repository_folders(name)[-1]}/_index_images", b"[]")
        with repositories.changing(name):
            pass
        assert self.names(index, repositories, "ä x") == ["old/Ä pp/x"]
