"""Probes: what stores do with conditional writes, and which stores are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import GenericError, PreconditionError
from obstore.store import LocalStore, MemoryStore

from v1registry.storage import ABSENT, KeyConflict, StorageUnavailable
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects.probes import Answer, Conditions, UnfitStore, probe

HONOURED, REFUSED, IGNORED = Answer.HONOURED, Answer.REFUSED, Answer.IGNORED

Put = Callable[..., Any]


@pytest.fixture
def fake_put(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Let a function do all that is put; it gets the real one first."""
    real = obstore.put

    def use(put: Callable[..., Any]) -> None:
        monkeypatch.setattr(obstore, "put", lambda *args, **options: put(real, *args, **options))

    return use


def ignoring(put: Put, store: Any, name: str, data: bytes, **options: Any) -> Any:
    """Put whatever the condition is, as some gateways do."""
    return put(store, name, data)


def refusing(put: Put, store: Any, name: str, data: bytes, *, mode: Any = None, **options: Any) -> Any:
    """Refuse conditions, as Swift does."""
    if mode is not None:
        raise GenericError("Generic S3 error: status code: 501 Not Implemented: <Code>NotImplemented</Code>")
    return put(store, name, data)


def bare(put: Put, store: Any, name: str, data: bytes, *, mode: Any = None, **options: Any) -> Any:
    """Give etags in quotes, and compare them without, as Ceph does."""
    if isinstance(mode, dict):
        is_quoted = '"' in mode["e_tag"]
        mode = {"e_tag": '"another"' if is_quoted else f'"{mode["e_tag"]}"'}
    return put(store, name, data, mode=mode)


def sending_twice(put: Put, store: Any, name: str, data: bytes, *, mode: Any = None, **options: Any) -> Any:
    """Write, and then meet what was written, as a call that is sent twice does."""
    result = put(store, name, data, mode=mode)
    if isinstance(mode, dict):
        raise PreconditionError("the etag is a different one")
    return result


def busy(put: Put, store: Any, name: str, data: bytes, *, mode: Any = None, **options: Any) -> Any:
    """Fail now and then."""
    if mode is not None:
        raise GenericError("Generic S3 error: 503 Service Unavailable, key AKID-of-the-administrator")
    return put(store, name, data)


def test_store_in_memory_honours_conditions() -> None:
    assert probe(MemoryStore()) == Conditions(HONOURED, HONOURED)


def test_folder_refuses_updates_on_conditions(tmp_path: Path) -> None:
    assert probe(LocalStore(tmp_path)) == Conditions(HONOURED, REFUSED)


@pytest.mark.parametrize(
    ("put", "conditions"),
    [
        (ignoring, Conditions(IGNORED, IGNORED)),
        (refusing, Conditions(REFUSED, REFUSED)),
        (bare, Conditions(HONOURED, HONOURED, has_quotes=False)),
        (sending_twice, Conditions(HONOURED, HONOURED)),
    ],
)
def test_probe_finds_out_what_a_store_does(
    put: Put, conditions: Conditions, fake_put: Callable[[Put], None]
) -> None:
    fake_put(put)
    assert probe(MemoryStore()) == conditions


def test_probe_leaves_no_object() -> None:
    store = MemoryStore()
    probe(store)
    assert [meta["path"] for page in obstore.list(store) for meta in page] == []


def test_failure_of_a_probe_is_no_answer_and_shows_no_text(fake_put: Callable[[Put], None]) -> None:
    fake_put(busy)
    with pytest.raises(StorageUnavailable) as caught:
        probe(MemoryStore())
    assert not isinstance(caught.value, UnfitStore)
    assert "AKID" not in str(caught.value)


@pytest.mark.parametrize("put", [ignoring, refusing])
def test_store_without_conditions_is_refused_with_what_to_do(
    put: Put, fake_put: Callable[[Put], None]
) -> None:
    fake_put(put)
    storage = ObjectStorage(MemoryStore())
    with pytest.raises(UnfitStore, match=r"must honour conditional writes.*single_writer=true"):
        storage.write("a/b", b"value")
    assert list(storage.list("")) == []


def test_single_writer_needs_no_conditions(fake_put: Callable[[Put], None]) -> None:
    fake_put(refusing)
    storage = ObjectStorage(MemoryStore(), single_writer=True)
    first = storage.write("a/b", b"1", expect=ABSENT)
    storage.write("a/b", b"2", expect=first.etag)
    with pytest.raises(KeyConflict):
        storage.write("a/b", b"3", expect=first.etag)
    assert storage.read("a/b")[0] == b"2"


def test_etags_are_sent_in_the_form_that_the_store_expects(fake_put: Callable[[Put], None]) -> None:
    fake_put(bare)
    storage = ObjectStorage(MemoryStore())
    for number in range(3):
        storage.write("a/b", b"%d" % number)
    assert storage.read("a/b")[0] == b"2"
