"""URLs of object stores: what they name, what is rejected, and that no text has credentials."""

from __future__ import annotations

import sys
import traceback
from datetime import timedelta

import obstore
import pytest

from v1registry.storage.objects.urls import ObjectPlace

SECRET = "a-secret-of-the-administrator"

#: Variables that could name another store or credentials on the machine that tests.
_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(_PREFIXES):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://registry", ObjectPlace("s3", "registry")),
        ("s3://registry/", ObjectPlace("s3", "registry")),
        ("s3://registry/a/b/", ObjectPlace("s3", "registry", "a/b")),
        (
            "s3://registry/a?endpoint=http://ceph:7480/&region=eu-1",
            ObjectPlace("s3", "registry", "a", "http://ceph:7480", region="eu-1", is_path_style=True),
        ),
        (
            "s3://registry?endpoint=https%3A%2F%2Fs3.example.org&path_style=no&single_writer=true",
            ObjectPlace("s3", "registry", "", "https://s3.example.org", is_single_writer=True),
        ),
        (
            "s3://registry?single_writer=process",
            ObjectPlace("s3", "registry", is_single_writer=True, is_single_process=True),
        ),
        ("s3://registry?single_writer=off", ObjectPlace("s3", "registry")),
        ("s3://registry?path_style=TRUE", ObjectPlace("s3", "registry", is_path_style=True)),
        ("s3://registry?timeout=300", ObjectPlace("s3", "registry", timeout_s=300)),
        ("gs://registry/images", ObjectPlace("gs", "registry", "images")),
        ("az://registry?account=shop1", ObjectPlace("az", "registry", account="shop1")),
    ],
)
def test_url_names_a_place(url: str, place: ObjectPlace) -> None:
    assert ObjectPlace.from_url(url) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3:", "the name of a bucket"),
        ("s3:registry", "the name of a bucket"),
        ("s3://ab", "3 or more letters"),
        ("s3://reg istry", "the name of a bucket"),
        ("s3://registry:80", "the name of a bucket"),
        ("s3://registry/a//b", "each segment of the prefix"),
        ("s3://registry/../b", "each segment of the prefix"),
        ("s3://registry/a%2F..", "each segment of the prefix"),
        ("s3://registry/a%0Ab", "each segment of the prefix"),
        ("s3://registry/é", "each segment of the prefix"),
        ("s3://registry#x", "fragment"),
        ("s3://[registry", "cannot be read"),
        ("s3://registry?region=", "region must be letters"),
        ("s3://registry?region=a/b", "region must be letters"),
        ("s3://registry?path_style=maybe", "path_style must be true or false"),
        ("s3://registry?single_writer=", "single_writer must be true, process or false"),
        ("s3://registry?timeout=0", "1 to 300 seconds"),
        ("s3://registry?timeout=301", "1 to 300 seconds"),
        ("s3://registry?timeout=1.5", "1 to 300 seconds"),
        ("s3://registry?timeout=\u0663", "1 to 300 seconds"),
        (f"s3://registry?timeout={'9' * 5000}", "1 to 300 seconds"),
        ("s3://registry?region=a&region=b", "the option region stands there twice"),
        ("s3://registry?endpoint=ceph:7480", "http://HOST:PORT"),
        ("s3://registry?endpoint=ftp://ceph", "endpoint must be http://HOST:PORT"),
        ("s3://registry?public_endpoint=ceph", "public_endpoint must be http://HOST:PORT"),
        ("s3://registry?endpoint=http://", "http://HOST:PORT"),
        ("s3://registry?endpoint=http://ceph:port", "host or port is invalid"),
        ("s3://registry?endpoint=http://ceph/?a=b", "http://HOST:PORT"),
        ("s3://registry?endpoint=http://ce%20ph", "without blanks"),
        ("s3://registry?account=shop1", "unknown option; known: endpoint, public_endpoint, region"),
        ("gs://registry?region=eu-1", "unknown option; known: endpoint, single_writer"),
        ("az://registry?path_style=true", "unknown option; known: endpoint, public_endpoint, account"),
        ("ftp://registry", "the scheme must be s3, gs or az"),
    ],
)
def test_invalid_url_is_rejected_with_what_is_expected(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^expected (s3|gs|az)://") as caught:
        ObjectPlace.from_url(url)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKID:{SECRET}@registry",
        f"s3://registry?secret_access_key={SECRET}",
        f"s3://registry?access_key_id=AKID&secret={SECRET}",
        f"s3://registry?endpoint=http://AKID:{SECRET}@ceph:7480",
        f"az://registry?account_key={SECRET}",
        f"s3://registry/AKID:{SECRET}@b",
        f"s3:AKID:{SECRET}@registry",
        f"s3://registry%40:{SECRET}",
        f"s3://registry?endpoint=AKID:{SECRET}@ceph",
        f"s3://registry?endpoint=AKID:{SECRET}%40ceph",
        f"s3://registry?{SECRET}=x",
    ],
)
def test_credentials_in_a_url_are_rejected_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"[cC]redentials") as caught:
        ObjectPlace.from_url(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://registry:{SECRET}",
        f"s3:{SECRET}!",
        f"s3://registry/{SECRET}!",
        f"s3://registry#{SECRET}",
        f"s3://[{SECRET}",
        f"s3://registry?region={SECRET}!",
        f"az://registry?account=shop1;{SECRET}!",
        f"s3://registry?path_style={SECRET}",
        f"s3://registry?single_writer={SECRET}",
        f"s3://registry?timeout={SECRET}",
        f"s3://registry?endpoint={SECRET}",
        f"s3://registry?endpoint=https://ceph:{SECRET}",
        f"s3://registry?endpoint=https://ceph/?k={SECRET}",
        f"s3://registry?public_endpoint=https://ceph/%23{SECRET}",
        f"S3://registry:{SECRET}",
        f"{SECRET}://registry",
    ],
)
def test_invalid_url_is_rejected_without_its_values(url: str) -> None:
    with pytest.raises(ValueError, match=r"^expected s3://|^expected az://") as caught:
        ObjectPlace.from_url(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_credentials_of_the_environment_are_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    place = ObjectPlace.from_url("s3://registry/a?endpoint=http://127.0.0.1:9")
    store = place.open_store()
    assert place.credentials == "AWS_ACCESS_KEY_ID"
    assert str(place) == "s3 bucket registry at http://127.0.0.1:9, below a/"
    assert SECRET not in f"{place!r}{place}{store!r}{store.config}"


def test_broken_credentials_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    with pytest.raises(ValueError, match="variables of the environment for this store are invalid") as caught:
        ObjectPlace.from_url("az://registry").open_store()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host_and_path"),
    [
        ("s3://registry/a?endpoint=http://ceph:7480", "http://ceph:7480/registry/a/key"),
        ("s3://registry?endpoint=http://ceph:7480&path_style=no", "http://registry.ceph:7480/key"),
        ("s3://registry?region=eu-west-1", "https://registry.s3.eu-west-1.amazonaws.com/key"),
        (
            "s3://registry?region=eu-west-1&path_style=yes",
            "https://s3.eu-west-1.amazonaws.com/registry/key",
        ),
    ],
)
def test_the_url_decides_where_calls_go(
    url: str, host_and_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    if "endpoint" in url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere.example")
    store = ObjectPlace.from_url(url).open_store()
    signed = obstore.sign(store, "GET", "key", timedelta(seconds=60))
    assert signed.partition("?")[0] == host_and_path


@pytest.mark.parametrize(
    ("url", "variables", "name"),
    [
        ("s3://registry", {}, "s3://registry"),
        ("s3://registry/a/?region=eu-1&timeout=7&single_writer=yes", {}, "s3://registry/a"),
        ("s3://registry/a?endpoint=http://ceph:7480/", {}, "s3://registry/a?endpoint=http://ceph:7480"),
        ("s3://registry/a", {"AWS_ENDPOINT_URL": "http://new/"}, "s3://registry/a?endpoint=http://new"),
        (
            "s3://registry?endpoint=http://ceph",
            {"AWS_ENDPOINT_URL": "http://new"},
            "s3://registry?endpoint=http://ceph",
        ),
        (
            "s3://registry",
            {"AWS_ENDPOINT_URL_S3": f"http://mira:{SECRET}@ceph"},
            "s3://registry?endpoint=http://ceph",
        ),
        ("gs://registry?endpoint=http://fake", {}, "gs://registry?endpoint=http://fake"),
        ("az://registry/a?account=shop1", {}, "az://registry/a?account=shop1"),
        ("az://registry", {"AZURE_STORAGE_ACCOUNT_NAME": "shop2"}, "az://registry?account=shop2"),
        (
            "az://registry?account=shop1&endpoint=http://azurite",
            {"AZURE_STORAGE_ACCOUNT_NAME": "shop2"},
            "az://registry?endpoint=http://azurite&account=shop1",
        ),
    ],
)
def test_the_name_tells_a_place_from_those_in_other_stores(
    url: str, variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert ObjectPlace.from_url(url).name == name


def test_every_call_has_time_outs_and_few_retries() -> None:
    place = ObjectPlace.from_url("s3://registry?timeout=7&endpoint=http://127.0.0.1:9")
    calls, transfers = place.open_store(), place.open_store(for_transfers=True)
    for store, longest, wait in ((calls, "7s", "7s"), (transfers, "12h", "42s")):
        assert store.client_options is not None
        assert store.client_options["timeout"] == longest
        assert store.client_options["read_timeout"] == wait
        assert store.client_options["connect_timeout"] == "5s"
        assert store.retry_config is not None
        assert store.retry_config["max_retries"] == 4
        assert store.retry_config["retry_timeout"] == timedelta(seconds=10.5)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ValueError, match=r"pip install 'v1registry\[s3\]'"):
        ObjectPlace.from_url("s3://registry").open_store()
