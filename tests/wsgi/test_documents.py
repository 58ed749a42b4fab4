"""JSON bodies are bounded in values before they are parsed, and large ones are parsed one at a time."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wsgi_client import call

from v1registry import MemoryStorage, Registry, errors
from v1registry.wsgi import documents
from v1registry.wsgi.documents import LARGE_BYTES, parse_json

MIB = 1 << 20

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\[]{},:é'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a"\\[{,'), inner),
    max_leaves=30,
)


def counted_in(document: object) -> int:
    """Return how many values a document has, empty lists and objects counted twice."""
    if not isinstance(document, (dict, list)):
        return 1
    inner = document.values() if isinstance(document, dict) else document
    return 1 + (sum(counted_in(value) for value in inner) if document else 1)


@given(JSON, st.booleans())
def test_values_are_counted_exactly_except_empty_lists_and_objects(document: object, is_ascii: bool) -> None:
    body = json.dumps(document, ensure_ascii=is_ascii).encode()
    counted = counted_in(document)
    assert parse_json(body, most_values=counted) == document
    if len(body) > counted:
        with pytest.raises(errors.TooManyValues):
            parse_json(body, most_values=counted - 1)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 200_000 + b"{}]",
        b"[" + b"[]," * 200_000 + b"[]]",
        b"[" + b'"",' * 200_000 + b'""]',
        b"[" + b'"\\"",' * 200_000 + b'""]',
        b"[" + b'{"":0},' * 100_000 + b"{}]",
        b"{" + b",".join(b'"%d":0' % number for number in range(200_000)) + b"}",
        b"[" + b"0," * 200_000 + b"0",
        b'["' + b"{}," * 200_000,
        b"\\\\" * 100_000 + b"[" + b"{}," * 200_000 + b"{}]",
    ],
    ids=["objects", "lists", "texts", "escapes", "pairs", "keys", "cut", "cut text", "escapes before"],
)
def test_documents_of_many_values_cost_little_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((errors.TooManyValues, ValueError)):
            parse_json(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(body)


@pytest.mark.parametrize("path", ["/v1/repositories/foo/bar/", f"/v1/images/{'0' * 64}/json"])
def test_rejected_document_is_freed_without_the_garbage_collector(path: str) -> None:
    app = Registry(storage=MemoryStorage())
    body = json.dumps({"id": "1" * 64, "comment": "é" * MIB}, ensure_ascii=False).encode()
    assert call(app, "PUT", path, body).status == 400
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        assert call(app, "PUT", path, body).status == 400
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < MIB


def test_marks_in_texts_are_no_values() -> None:
    text = '{[,"\\' * 100_000
    assert parse_json(json.dumps({"comment": text}).encode()) == {"comment": text}


def test_large_document_waits_for_its_turn() -> None:
    body = b'"%s"' % (b"x" * LARGE_BYTES)
    parsed = []
    with documents.turn_for(LARGE_BYTES + 1):
        waiting = threading.Thread(target=lambda: parsed.append(parse_json(body)))
        waiting.start()
        assert parse_json(b"[]") == []
        waiting.join(0.05)
        assert parsed == []
    waiting.join(30)
    assert len(parsed) == 1


def test_large_document_that_waits_too_long_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "TURN_WAIT_S", 0.01)
    with documents.turn_for(LARGE_BYTES + 1), pytest.raises(errors.DocumentBusy) as caught:
        parse_json(b'"%s"' % (b"x" * LARGE_BYTES))
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "5"})


def test_invalid_document_gives_its_turn_back() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="Expecting"):
            parse_json(b" " * LARGE_BYTES + b"[x]")
