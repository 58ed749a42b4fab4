"""The object stores that tests start: what each of them does with conditional writes."""

from __future__ import annotations

from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError
from obstore.store import AzureStore, S3Store
from support.object_stores import ObjectStore

pytestmark = pytest.mark.real


def opened(store: ObjectStore) -> Any:
    """Return an obstore store over a new bucket, without retries."""
    options = {
        "endpoint": store.endpoint,
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }
    made = AzureStore if store.is_azure else S3Store
    return made(store.new_bucket(), **options)


def test_ceph_compares_etags_without_quotes(ceph: ObjectStore) -> None:
    store = opened(ceph)
    etag = obstore.put(store, "a", b"1")["e_tag"]
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a", b"2", mode="create")
    with pytest.raises(PreconditionError):
        obstore.put(store, "a", b"2", mode={"e_tag": etag})
    obstore.put(store, "a", b"3", mode={"e_tag": etag.strip('"')})
    assert bytes(obstore.get(store, "a").bytes()) == b"3"


def test_azurite_compares_etags_with_quotes(azurite: ObjectStore) -> None:
    store = opened(azurite)
    etag = obstore.put(store, "a", b"1")["e_tag"]
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a", b"2", mode="create")
    obstore.put(store, "a", b"3", mode={"e_tag": etag})
    with pytest.raises(PreconditionError):
        obstore.put(store, "a", b"4", mode={"e_tag": etag})
    assert bytes(obstore.get(store, "a").bytes()) == b"3"


def test_swift_refuses_conditional_writes(swift: ObjectStore) -> None:
    store = opened(swift)
    etag = obstore.put(store, "a", b"1")["e_tag"]
    for mode in ("create", {"e_tag": etag}):
        with pytest.raises(GenericError, match="501"):
            obstore.put(store, "a", b"2", mode=mode)
    assert bytes(obstore.get(store, "a").bytes()) == b"1"
