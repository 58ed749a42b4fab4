"""The cache of answers of an index, the tokens that are accepted, and the requests to the index."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.clock import Clock
from support.engine_client import make_image
from support.stoppable_server import StoppableServer
from support.wsgi_client import Client
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage, Registry, SettingsError, errors
from v1registry.access import index as foreign
from v1registry.access.holders import Holders
from v1registry.access.index import Claim, ForeignIndexAccess
from v1registry.access.index_client import IndexClient
from v1registry.names import RepositoryName
from v1registry.registry.contents import Contents
from v1registry.registry.repositories import Repositories
from v1registry.registry.staging import Staging
from v1registry.rights import Action

NAME = RepositoryName("foo", "bar")
READ = 'Token signature=A,repository="foo/bar",access=read'
WRITE = 'Token signature=A,repository="foo/bar",access=write'
DELETE = 'Token signature=A,repository="foo/bar",access=delete'
IDS = frozenset({"0" * 64, "1" * 64})


class Index:
    """An index whose answers a test sets; it keeps what it was asked."""

    def __init__(self) -> None:
        self.ids: frozenset[str] | None = IDS
        self.allows = True
        self.asked: list[str] = []

    def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
        self.asked.append(f"{repository} {authorization}")
        return self.ids

    def may_use(self, repository: RepositoryName, image_id: str, authorization: str) -> bool:
        self.asked.append(f"{repository} {image_id[:1]} {authorization}")
        return self.allows


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000)


@pytest.fixture
def access(index: Index, clock: Clock) -> ForeignIndexAccess:
    return make_access(index, clock)


def make_access(index: Index, clock: Callable[[], float], keep_s: float = 60) -> ForeignIndexAccess:
    storage = MemoryStorage()
    contents, repositories = Contents(storage), Repositories(storage)
    holders = Holders(storage, contents, repositories)
    return ForeignIndexAccess(
        index, contents, repositories, holders, Staging(storage), keep_s=keep_s, clock=clock
    )


# -- how long


def test_allowed_answer_is_kept_until_it_expires(
    access: ForeignIndexAccess, index: Index, clock: Clock
) -> None:
    access.rights(READ, {})
    clock.now_s += 59.999
    access.rights(READ, {})
    assert len(index.asked) == 1
    clock.now_s += 0.001
    access.rights(READ, {})
    assert len(index.asked) == 2


def test_the_time_begins_with_the_question(index: Index, clock: Clock) -> None:
    class SlowIndex(Index):
        def image_ids(self, repository: RepositoryName, authorization: str) -> frozenset[str] | None:
            clock.now_s += 30
            return super().image_ids(repository, authorization)

    slow = SlowIndex()
    access = make_access(slow, clock)
    access.rights(READ, {})
    clock.now_s += 29
    access.rights(READ, {})
    assert len(slow.asked) == 1
    clock.now_s += 1
    access.rights(READ, {})
    assert len(slow.asked) == 2


def test_a_refusal_is_asked_again_each_time(access: ForeignIndexAccess, index: Index) -> None:
    index.ids = None
    for _ in range(3):
        with pytest.raises(errors.Unauthorized):
            access.rights(READ, {})
    assert len(index.asked) == 3
    index.ids = IDS
    access.rights(READ, {})


def test_a_token_that_was_withdrawn_ends_with_its_time(
    access: ForeignIndexAccess, index: Index, clock: Clock
) -> None:
    access.rights(READ, {})
    index.ids = None
    access.rights(READ, {})
    clock.now_s += 60
    for _ in range(2):
        with pytest.raises(errors.Unauthorized):
            access.rights(READ, {})


def test_a_trouble_of_the_index_is_no_refusal_and_ends_with_it(
    access: ForeignIndexAccess, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> frozenset[str] | None:
        raise errors.IndexUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(index, "image_ids", fail)
        with pytest.raises(errors.IndexUnavailable):
            access.rights(READ, {})
    access.rights(READ, {})


def test_who_may_use_an_image_is_kept_when_the_answer_is_yes(
    access: ForeignIndexAccess, index: Index, clock: Clock
) -> None:
    claim = Claim.of(READ)
    index.allows = False
    assert not access.may_use(claim, "0" * 64)
    assert not access.may_use(claim, "0" * 64)
    assert len(index.asked) == 2
    index.allows = True
    assert access.may_use(claim, "0" * 64)
    assert access.may_use(claim, "0" * 64)
    assert len(index.asked) == 3
    assert access.may_use(claim, "1" * 64)
    assert access.may_use(Claim.of(WRITE), "0" * 64)
    assert len(index.asked) == 5
    clock.now_s += 60
    assert access.may_use(claim, "0" * 64)
    assert len(index.asked) == 6


def test_a_token_to_delete_is_asked_about_each_time(access: ForeignIndexAccess, index: Index) -> None:
    for _ in range(2):
        access.rights(DELETE, {})
    assert len(index.asked) == 2


def test_with_no_time_nothing_is_kept(index: Index, clock: Clock) -> None:
    access = make_access(index, clock, keep_s=0)
    for _ in range(2):
        access.rights(READ, {})
        access.may_use(Claim.of(READ), "0" * 64)
    assert len(index.asked) == 4


def test_headers_differ_by_every_byte(access: ForeignIndexAccess, index: Index) -> None:
    for header in (READ, READ.replace("=A", "=B"), READ.replace("Token", "token"), f"Token {READ}"):
        access.rights(header, {})
    assert len(index.asked) == 4


# -- how much


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(
    index: Index, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_KEPT_IDS", 6)  # two lists with two ids each
    access = make_access(index, clock)
    first, second, third = (READ.replace("=A", f"={letter}") for letter in "XYZ")
    for header in (first, second, third):
        access.rights(header, {})
    for header in (second, third):
        access.rights(header, {})
    assert len(index.asked) == 3
    access.rights(first, {})
    assert len(index.asked) == 4


def test_a_list_that_is_larger_than_all_that_is_kept_is_not_kept(
    index: Index, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_KEPT_IDS", 2)
    access = make_access(index, clock)
    for _ in range(2):
        access.rights(READ, {})
    assert len(index.asked) == 2


def test_neither_headers_nor_signatures_are_kept(access: ForeignIndexAccess) -> None:
    secret = "S3CRETSIGNATURE9"
    access.rights(READ.replace("=A", f"={secret}"), {})
    gc.collect()
    reached: list[object] = [access]
    seen: set[int] = set()
    texts: list[object] = []
    while reached:
        current = reached.pop()
        if id(current) in seen or isinstance(current, type):
            continue
        seen.add(id(current))
        if isinstance(current, (str, bytes)):
            texts.append(current)
        elif isinstance(current, Mapping):
            reached += [*current.keys(), *current.values()]
        elif isinstance(current, (list, tuple, set, frozenset)):
            reached += current
        elif type(current).__module__.startswith("v1registry"):
            reached += vars(current).values()
    assert set(texts) >= IDS
    assert not [text for text in texts if secret in repr(text)]
    assert secret not in repr(Claim.of(READ.replace("=A", f"={secret}")))


# -- what counts as a token


@pytest.mark.parametrize(
    ("header", "actions"),
    [
        (READ, {Action.READ}),
        (WRITE, {Action.READ, Action.WRITE}),
        (DELETE, {Action.DELETE}),
        (READ.replace("Token", "tOkEn"), {Action.READ}),
        (f"Token {READ}", {Action.READ}),
        ('Token access=read,repository=foo/bar,signature="A"', {Action.READ}),
        ('Token signature:A, repository:"foo/bar", access:read', {Action.READ}),
        (f"{READ},{WRITE.partition(' ')[2]}", {Action.READ}),
        (f"{WRITE},{WRITE.partition(' ')[2]}", {Action.READ, Action.WRITE}),
        (f"{READ},{DELETE.partition(' ')[2]}", set()),
        (f"{READ},access=write", {Action.READ}),
        (READ.replace("read", "admin"), set()),
    ],
)
def test_REG_041_a_claim_is_what_every_reader_of_the_header_finds(header: str, actions: set[Action]) -> None:
    claim = Claim.of(header)
    assert (claim.authorization, claim.repository, claim.actions) == (header, NAME, actions)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Token",
        "Token ",
        "Token Token",
        "Basic Og==",
        "Basic Zm9vOmJhcg==",
        f" {READ}",
        f"{READ} ",
        f"{READ},",
        READ.replace(",", ";"),
        READ.replace("Token ", "Token\t"),
        READ.replace("foo/bar", "bar"),
        READ.replace("foo/bar", "foo/bar/"),
        READ.replace("foo/bar", "/bar"),
        READ.replace("foo/bar", "foo/.."),
        READ.replace("foo/bar", "foo/b%2Fr"),
        READ.replace("foo/bar", "foo/b?x"),
        READ.replace("foo/bar", ""),
        READ.replace(",access=read", ""),
        READ.replace('repository="foo/bar",', ""),
        READ + ',repository="foo/other"',
        READ + ",y=z",
        READ + ',x="access=write"',
        READ + "\xa0",
        READ.replace("=read", "=\xa0read"),
        READ + ",\u00e9access=write",
        READ + "\r\nX-Other: y",
        READ + "\x00",
    ],
)
def test_REG_040_everything_else_is_none_and_nobody_is_asked(
    access: ForeignIndexAccess, index: Index, header: str | None
) -> None:
    with pytest.raises(errors.Unauthorized) as refused:
        access.rights(header, {})
    assert refused.value.headers == {"WWW-Authenticate": "Token"}
    assert not access.is_good_token(header, NAME)
    assert index.asked == []


def test_repositories_of_any_depth_have_tokens(access: ForeignIndexAccess, index: Index) -> None:
    rights = access.rights(READ.replace("foo/bar", "foo/bar/deep"), {})
    assert rights.can_read(RepositoryName("foo", "bar/deep"))
    with pytest.raises(errors.Unauthorized):
        rights.can_read(NAME)
    assert index.asked[0].startswith("foo/bar/deep ")


def test_rights_are_those_of_the_token(access: ForeignIndexAccess, index: Index) -> None:
    rights = access.rights(READ, {})
    assert rights.has_token
    assert rights.may_list(NAME)
    assert not rights.may_list(RepositoryName("foo", "other"))
    assert not rights.sees_deleted(NAME)
    assert access.is_good_token(READ, NAME)
    assert not access.is_good_token(READ, RepositoryName("foo", "other"))
    with pytest.raises(errors.Forbidden):
        rights.issue_token(Action.READ, NAME)
    assert len(index.asked) == 1


# -- asking over the wire

Answer = tuple[str, list[tuple[str, str]], list[bytes]]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[dict[str, Any]], Answer]], StoppableServer]]:
    """Serve a function of the environ that returns status, headers and parts of a body."""
    servers: list[StoppableServer] = []

    def serve(answer: Callable[[dict[str, Any]], Answer]) -> StoppableServer:
        def application(environ, start_response):  # type: ignore[no-untyped-def]
            status, headers, parts = answer(environ)
            start_response(status, headers)
            return parts

        servers.append(StoppableServer(application))
        return servers[-1]

    yield serve
    for server in servers:
        server.__exit__()


Serve = Callable[[Callable[[dict[str, Any]], Answer]], StoppableServer]


def test_the_path_of_an_index_and_odd_characters_are_kept(serve: Serve) -> None:
    asked: list[str] = []

    def answer(environ: dict[str, Any]) -> Answer:
        asked.append(environ["REQUEST_URI"])
        return "200 OK", [], [b"[]"]

    server = serve(answer)
    client = IndexClient(f"{server.url}/below/")
    assert client.image_ids(RepositoryName("foo", "b ü/../r"), READ) == frozenset()
    assert not client.may_use(NAME, "0" * 64, READ)
    assert [path for path in asked if "layer" in path] == [
        f"/below/v1/repositories/foo/bar/layer/{'0' * 64}/access"
    ]


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    reached: list[str] = []

    def elsewhere(environ: dict[str, Any]) -> Answer:
        reached.append(environ["PATH_INFO"])
        return "200 OK", [], [b"[]"]

    other = serve(elsewhere)
    index = serve(lambda environ: ("302 Found", [("Location", f"{other.url}/x")], [b"[]"]))
    own = serve(
        lambda environ: (
            ("301 Moved", [("Location", "/v1/x")], [b"[]"])
            if environ["PATH_INFO"] != "/v1/x"
            else elsewhere(environ)
        )
    )
    assert IndexClient(index.url).image_ids(NAME, READ) is None
    assert IndexClient(own.url).image_ids(NAME, READ) is None
    assert reached == []


def test_index_gets_no_data_of_machine_or_other_callers(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def answer(environ: dict[str, Any]) -> Answer:
        seen.append(environ)
        return "200 OK", [("Set-Cookie", "session=of-the-first; Path=/")], [b"[]"]

    server = serve(answer)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client = IndexClient(server.url)
    for header in (READ, WRITE):
        assert client.image_ids(NAME, header) == frozenset()
    assert [environ["HTTP_AUTHORIZATION"] for environ in seen] == [READ, WRITE]
    assert not any("HTTP_COOKIE" in environ for environ in seen)


def test_an_answer_is_read_to_its_bound_and_no_further(serve: Serve) -> None:
    listed = b"[" + b" " * 998 + b"]"
    server = serve(lambda environ: ("200 OK", [], [listed]))
    assert IndexClient(server.url, answer_limit_bytes=1000).image_ids(NAME, READ) == frozenset()
    client = IndexClient(server.url, answer_limit_bytes=999)
    assert client.image_ids(NAME, READ) is None
    assert client.image_ids(NAME, READ) is None


def test_a_deep_answer_is_none(serve: Serve) -> None:
    server = serve(lambda environ: ("200 OK", [], [b"[" * 200_000]))
    assert IndexClient(server.url).image_ids(NAME, READ) is None


def test_a_compressed_answer_is_not_expanded(serve: Serve) -> None:
    import gzip

    body = gzip.compress(b"[]")
    server = serve(lambda environ: ("200 OK", [("Content-Encoding", "gzip")], [body]))
    assert IndexClient(server.url).image_ids(NAME, READ) is None


def test_an_index_that_says_nothing_is_given_up(serve: Serve) -> None:
    may_end = threading.Event()

    def answer(environ: dict[str, Any]) -> Answer:
        may_end.wait(60)
        return "200 OK", [], [b"[]"]

    server = serve(answer)
    try:
        with pytest.raises(errors.IndexUnavailable):
            IndexClient(server.url, timeout_s=0.05).image_ids(NAME, READ)
    finally:
        may_end.set()


def test_an_index_that_never_comes_to_an_end_is_given_up() -> None:
    """It speaks all the time, a few bytes each time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        is_over = threading.Event()

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while not is_over.wait(0.005):
                    try:
                        connection.sendall(b"1\r\n \r\n")
                    except OSError:
                        return

        speaking = threading.Thread(target=speak)
        speaking.start()
        try:
            with pytest.raises(errors.IndexUnavailable):
                IndexClient(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.1).image_ids(
                    NAME, READ
                )
        finally:
            is_over.set()
            speaking.join(60)


@pytest.mark.parametrize(
    "spoken", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]"], ids=range(3)
)
def test_an_index_that_breaks_off_is_unavailable(spoken: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def speak() -> None:
            for _ in range(2):  # a connection that was lost is tried once more
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(10_000)
                    connection.sendall(spoken)

        speaking = threading.Thread(target=speak)
        speaking.start()
        try:
            with pytest.raises(errors.IndexUnavailable):
                IndexClient(f"http://127.0.0.1:{listening.getsockname()[1]}").image_ids(NAME, READ)
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            speaking.join(60)


def test_index_that_closed_its_connections_is_asked_again(serve: Serve) -> None:
    server = serve(lambda environ: ("200 OK", [("Content-Length", "2")], [b"[]"]))
    client = IndexClient(server.url)
    for _ in range(3):
        assert client.image_ids(NAME, READ) == frozenset()
        server.stop()
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        server.start()


def test_connections_are_kept_and_never_shared_by_two_questions(serve: Serve) -> None:
    ports: list[str] = []
    both_are_here = threading.Barrier(2)

    def answer(environ: dict[str, Any]) -> Answer:
        ports.append(environ["REMOTE_PORT"])
        if "wait" in environ["PATH_INFO"]:
            both_are_here.wait(60)
        return "200 OK", [("Content-Length", "2")], [b"[]"]

    client = IndexClient(serve(answer).url)
    for _ in range(3):
        client.image_ids(NAME, READ)
    assert len(set(ports)) == 1
    ports.clear()
    waiting = RepositoryName("foo", "wait")
    threads = [threading.Thread(target=client.image_ids, args=(waiting, READ)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(ports)) == 2


def test_over_https_the_certificate_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with FakeRegistry(tls=True) as fake:
        fake.add_image("foo/bar", layers=1)
        client = IndexClient(fake.url)
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(fake.ca_file))
        assert client.image_ids(NAME, READ)


# -- settings


def test_an_index_and_accounts_of_its_own_exclude_each_other() -> None:
    with pytest.raises(SettingsError) as refused:
        Registry(
            storage=MemoryStorage(), index="https://index.example.com", auth="users:", images="elsewhere"
        )
    assert len(refused.value.problems) == 2
    assert all("index" in problem for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("value", "is_good"), [("0", True), ("60", True), ("-1", False), ("1.5", False), ("", False)]
)
def test_the_time_that_answers_are_kept_is_a_whole_number(value: str, is_good: bool) -> None:
    settings = {"storage": "memory:", "index": "https://index.example.com", "index_cache_s": value}
    if is_good:
        assert Registry.from_settings(settings).settings.index_cache_s == int(value)
    else:
        with pytest.raises(SettingsError):
            Registry.from_settings(settings)


def test_nothing_is_asked_before_a_token_comes() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        client = Client(Registry(storage=MemoryStorage(), index=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        image = make_image(b"layer")
        assert client.get("/v1/_ping").status_int == 200
        assert client.put_json(image).status_int == 401
        answer = client.get(f"/v1/images/{image.image_id}/json", {"Authorization": READ})
        assert answer.status_int == 503
