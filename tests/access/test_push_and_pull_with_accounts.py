"""Push and pull by users of each backend: with the client, and as engines do, with tokens and with Basic."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.cheap_passwords import CheapPasswords
from support.engine_client import EngineClient, Image, UnexpectedAnswer, make_chain, random_layer
from support.slapd import Slapd, ldap
from v1registry_fakes.server import LiveServer

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.accounts.users import UserStore
from v1registry.archives.images import ChainImage
from v1registry.archives.save import write_save_archive
from v1registry.client import Client, NotAuthorized, NotFoundInRegistry
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.rights import Action

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

KINDS = ["memory", "file", "htpasswd", "ldap"]

#: Everybody's password; nobody else's is right.
PASSWORDS = {"mira": "correct horse", "zoe": "battery staple", "eve": "tr0ub4dor", "root": "the key"}

OWN = RepositoryName("mira", "app")


@dataclass
class Site:
    """A registry with accounts on a live port."""

    server: LiveServer
    storage: Storage

    def engine(self, name: str = "", password: str = "", uses_token: bool = True) -> EngineClient:
        login = f"{name}:{password or PASSWORDS[name]}" if name else None
        return EngineClient(self.server.host, login=login, uses_token=uses_token)

    def client(self, name: str = "", password: str = "") -> Client:
        login = {"username": name, "password": password or PASSWORDS[name]} if name else {}
        return Client(self.server.url, api="v1", sleep=lambda pause_s: None, timeout_s=20, **login)  # type: ignore[arg-type]

    def make_private(self, *collaborators: str) -> None:
        """Show ``mira/app`` to nobody but mira and the collaborators."""
        repositories = Repositories(self.storage)
        repositories.set_private(OWN, True)
        for name in collaborators:
            repositories.set_collaborator(OWN, name, Action.READ)


def _sha(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def _registry(kind: str, folder: Path, stack: ExitStack) -> tuple[Registry, Storage]:
    """Return a registry with the accounts of PASSWORDS, of which root is an administrator."""
    storage: Storage = MemoryStorage()
    if kind in ("memory", "file"):
        if kind == "file":
            storage = FileStorage(folder / "data", durable=False)
        # the server makes its own store, with the passwords of the real world
        users = UserStore(storage, passwords=CheapPasswords())
        for name, password in PASSWORDS.items():
            users.create(name, password, f"{name}@example.org", is_administrator=name == "root")
        return Registry(storage=storage, auth="users:"), storage
    if kind == "htpasswd":
        lines = [f"{name}:{_sha(password)}\n" for name, password in PASSWORDS.items()]
        (folder / "users").write_text("".join(lines))
        auth = f"htpasswd://{folder}/users?administrators=root"
        return Registry(storage=storage, auth=auth), storage
    directory = stack.enter_context(Slapd(folder / "slapd"))
    directory.fill()
    entries = {name: directory.add_person(name, password) for name, password in PASSWORDS.items()}
    directory.add_group("admins", entries["root"])
    backend = stack.enter_context(ldap(directory, administrators="admins"))
    return Registry(storage=storage, auth=backend), storage


@pytest.fixture(scope="module", params=KINDS)
def users(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A registry for the tests of this module, for each kind of accounts."""
    with ExitStack() as stack:
        registry, storage = _registry(request.param, tmp_path_factory.mktemp(request.param), stack)
        server = stack.enter_context(LiveServer(registry))
        yield Site(server, storage)


@pytest.fixture
def site(users: Site) -> Iterator[Site]:
    """The registry, with no repositories and images."""
    yield users
    for folder in ("images", "repositories"):
        users.storage.delete_tree(folder)


@pytest.fixture(scope="module")
def chain() -> list[Image]:
    return make_chain(random_layer(2000, f"accounts {number}") for number in range(3))


@pytest.fixture(scope="module")
def archive(chain: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images as ``docker save`` writes them."""
    path = tmp_path_factory.mktemp("archive") / "image.tar"

    def opened(image: Image) -> Callable[[], io.BytesIO]:
        return lambda: io.BytesIO(gzip.decompress(image.layer))

    images = [ChainImage(image.image_id, image.json, opened(image)) for image in chain]
    with path.open("w+b") as file:
        write_save_archive(file, images, {"mira/app:latest": chain[-1].image_id})
    return path


def is_absent(site: Site, repository: RepositoryName) -> bool:
    return not Repositories(site.storage).exists(repository)


# -- the client


def test_client_pushes_to_its_namespace_and_all_pull(
    site: Site, archive: Path, chain: list[Image], tmp_path: Path
) -> None:
    reference = f"{site.server.host}/mira/app"
    with site.client("mira") as client:
        assert client.push(archive, reference).image_id == chain[-1].image_id
        client.pull(reference, tmp_path / "own.tar")
    with site.client("eve") as client:
        client.pull(reference, tmp_path / "other.tar")
    with site.client() as client:
        client.pull(reference, tmp_path / "anonymous.tar")
    pulled = [path.read_bytes() for path in tmp_path.glob("*.tar")]
    assert len(pulled) == 3
    assert len(set(pulled)) == 1


@pytest.mark.parametrize("namespace", ["mira", "library", "nobody"])
def test_the_client_says_who_may_not_push_where(site: Site, archive: Path, namespace: str) -> None:
    with site.client("eve") as client, pytest.raises(NotAuthorized) as caught:
        client.push(archive, f"{site.server.host}/{namespace}/app")
    text = str(caught.value)
    assert text.startswith(f"cannot push {site.server.host}/{namespace}/app:latest, ")
    assert "these credentials do not allow it" in text
    assert "Access denied: this account has no right to do that" in text
    assert is_absent(site, RepositoryName(namespace, "app"))


def test_the_client_says_that_a_push_needs_a_login(site: Site, archive: Path) -> None:
    with site.client() as client, pytest.raises(NotAuthorized, match=r"without valid credentials"):
        client.push(archive, f"{site.server.host}/mira/app")
    assert is_absent(site, OWN)


def test_an_administrator_pushes_to_library(site: Site, archive: Path, chain: list[Image]) -> None:
    with site.client("root") as client:
        client.push(archive, f"{site.server.host}/app")
    assert site.engine().pull("library/app")[-1].image_id == chain[-1].image_id


def test_private_repository_is_pulled_only_by_those_with_rights(
    site: Site, archive: Path, tmp_path: Path
) -> None:
    reference = f"{site.server.host}/mira/app"
    with site.client("mira") as client:
        client.push(archive, reference)
    site.make_private("zoe")
    for name in ("mira", "zoe", "root"):
        with site.client(name) as client:
            client.pull(reference, tmp_path / f"{name}.tar")
    refusals: list[tuple[str, type[Exception]]] = [("eve", NotFoundInRegistry), ("", NotAuthorized)]
    for name, refusal in refusals:
        with site.client(name) as client, pytest.raises(refusal):
            client.pull(reference, tmp_path / "stolen.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mira.tar", "root.tar", "zoe.tar"]


def test_a_collaborator_who_may_read_may_not_push(site: Site, archive: Path) -> None:
    with site.client("mira") as client:
        client.push(archive, f"{site.server.host}/mira/app")
    site.make_private("zoe")
    with site.client("zoe") as client, pytest.raises(NotAuthorized, match="do not allow it"):
        client.push(archive, f"{site.server.host}/mira/app:other")
    assert set(Repositories(site.storage).tags(OWN)) == {"latest"}


@pytest.mark.parametrize("name", ["mira", "nobody"])
def test_wrong_password_is_401_and_does_not_reveal_the_name(
    site: Site, archive: Path, tmp_path: Path, name: str
) -> None:
    reference = f"{site.server.host}/mira/app"
    site.engine("mira").push("mira/app", make_chain([random_layer(100, "public")]))
    with site.client(name, "not it") as client:
        with pytest.raises(NotAuthorized) as pushing:
            client.push(archive, reference)
        with pytest.raises(NotAuthorized) as pulling:
            client.pull(reference, tmp_path / "pulled.tar")
    for caught in (pushing, pulling):
        assert "without valid credentials" in str(caught.value)
        assert "401 Unauthorized: Requires authorization" in str(caught.value)
        assert "not it" not in str(caught.value)


# -- engines


@pytest.mark.parametrize("uses_token", [True, False], ids=["tokens", "basic"])
def test_an_engine_pushes_and_pulls(site: Site, chain: list[Image], uses_token: bool) -> None:
    owner = site.engine("mira", uses_token=uses_token)
    owner.push("mira/app", chain)
    owner.push("mira/app", chain, tag="again")
    assert owner.pull("mira/app", "again") == chain
    assert site.engine("eve", uses_token=uses_token).pull("mira/app") == chain


@pytest.mark.parametrize("uses_token", [True, False], ids=["tokens", "basic"])
def test_an_engine_is_refused_elsewhere(site: Site, chain: list[Image], uses_token: bool) -> None:
    for repository, status in (("mira/app", 403), ("library/app", 403)):
        with pytest.raises(UnexpectedAnswer) as caught:
            site.engine("eve", uses_token=uses_token).push(repository, chain)
        assert (caught.value.status, caught.value.error) == (
            status,
            "Access denied: this account has no right to do that; it may push to repositories below eve/",
        )
    with pytest.raises(UnexpectedAnswer) as caught:
        site.engine("mira", "not it", uses_token=uses_token).push("mira/app", chain)
    assert caught.value.status == 401
    assert is_absent(site, OWN)


@pytest.mark.parametrize("uses_token", [True, False], ids=["tokens", "basic"])
def test_engine_pulls_private_images_only_with_rights(
    site: Site, chain: list[Image], uses_token: bool
) -> None:
    site.engine("mira", uses_token=uses_token).push("mira/app", chain)
    site.make_private("zoe")
    for name in ("mira", "zoe", "root"):
        assert site.engine(name, uses_token=uses_token).pull("mira/app") == chain
    anonymous = (401, "Requires authorization")
    for name, no_list in (("eve", (404, "images not found")), ("", anonymous)):
        with pytest.raises(UnexpectedAnswer) as caught:
            site.engine(name, uses_token=uses_token).pull("mira/app")
        assert (caught.value.status, caught.value.error) == no_list
        for image in chain:
            for part in ("json", "layer", "ancestry"):
                asking = site.engine(name, uses_token=False)
                answer = asking.get(f"/v1/images/{image.image_id}/{part}", headers=asking.basic)
                assert (answer.status, answer.error) == ((404, "Image not found") if name else anonymous)


@pytest.mark.parametrize("uses_token", [True, False], ids=["tokens", "basic"])
def test_layer_of_a_deleted_repository_can_be_pushed_again(
    site: Site, chain: list[Image], uses_token: bool
) -> None:
    owner = site.engine("mira", uses_token=uses_token)
    owner.push("mira/app", chain)
    owner.push("mira/other", chain[:1])
    owner.expect({200}, "DELETE", "/v1/repositories/mira/app/", headers=owner.basic)
    for name, absent in (("mira", 404), ("eve", 404), ("", 401)):
        asking = site.engine(name, uses_token=False)
        assert asking.get("/v1/repositories/mira/app/tags", headers=asking.basic).status == absent
        found = [
            asking.get(f"/v1/images/{image.image_id}/layer", headers=asking.basic).status for image in chain
        ]
        assert found == [200, absent, absent], "the first one is in another repository too"
    owner.push("mira/app", chain)
    assert site.engine("eve", uses_token=uses_token).pull("mira/app") == chain


# -- TLS


class Watched:
    """An application that remembers what its clients sent along."""

    def __init__(self, application: WSGIApplication):
        self._application = application
        self._lock = threading.Lock()
        self.seen: list[tuple[str, str]] = []  #: path and Authorization

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self.seen.append((environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "")))
        return self._application(environ, start_response)


def test_basic_is_sent_with_each_call_over_tls_and_hashed_once(archive: Path, tmp_path: Path) -> None:
    storage, passwords = MemoryStorage(), CheapPasswords()
    store = UserStore(storage, passwords=passwords)
    store.create("mira", PASSWORDS["mira"])
    watched = Watched(Registry(storage=storage, auth=store, standalone="true"))
    passwords.count = 0
    with LiveServer(watched, tls=True) as server:
        options: dict[str, Any] = {"verify": server.ca_file, "timeout_s": 20, "sleep": lambda pause_s: None}
        with Client(server.url, api="v1", username="mira", password=PASSWORDS["mira"], **options) as client:
            client.push(archive, f"{server.host}/mira/app")
            Repositories(storage).set_private(OWN, True)
            client.pull(f"{server.host}/mira/app", tmp_path / "pulled.tar")
        login = base64.b64encode(f"mira:{PASSWORDS['mira']}".encode()).decode()
        calls = [sent for path, sent in watched.seen if not path.endswith("/_ping")]
        assert set(calls) == {f"Basic {login}"}
        assert len(calls) > 20
        assert passwords.count == 1
        with (
            Client(server.url, api="v1", username="mira", password="not it", **options) as client,
            pytest.raises(NotAuthorized),
        ):
            client.pull(f"{server.host}/mira/app", tmp_path / "stolen.tar")
