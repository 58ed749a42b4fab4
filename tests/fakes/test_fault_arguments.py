"""Arguments of helpers of a fake that have the wrong type: each fails at the call, with a clear text."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeEngine

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"delay_s": NAN}, "delay_s must be a finite number of seconds, not nan"),
        ({"delay_s": INF}, "delay_s must be a finite number of seconds, not inf"),
        ({"delay_s": True}, "delay_s must be a finite number of seconds, not True"),
        ({"delay_s": "3"}, "delay_s must be a finite number of seconds, not '3'"),
        ({"status": "500"}, "status must be a whole number, not '500'"),
        ({"status": 500.0}, "status must be a whole number, not 500.0"),
        ({"status": True}, "status must be a whole number, not True"),
        ({"corrupt_byte": True}, "corrupt_byte must be a whole number, not True"),
        ({"corrupt_byte": 1.5}, "corrupt_byte must be a whole number, not 1.5"),
        ({"retry_after_s": NAN}, "retry_after_s must be a whole number, not nan"),
        ({"bytes_per_second": INF}, "bytes_per_second must be a whole number, not inf"),
        ({"cut_after_bytes": "0"}, "cut_after_bytes must be a whole number, not '0'"),
        ({"body": object()}, "body must be bytes, text in Unicode or a value of JSON, not <object"),
        ({"body": {"a": b"x"}}, "body must be bytes, text in Unicode or a value of JSON, not {'a': b'x'}"),
        ({"body": "\ud800"}, "body must be bytes, text in Unicode or a value of JSON, not '\\ud800'"),
        ({"error": 5, "status": 500}, "error must be text or a RegistryError, not 5"),
        ({"headers": {"X-A": 5}}, "headers must map text to text or None, not 'X-A' to 5"),
        ({"headers": {b"X-A": "a"}}, "headers must map text to text or None, not b'X-A' to 'a'"),
        ({"headers": "X-A: 5"}, "headers must be a mapping of names to values, not 'X-A: 5'"),
        ({"doubled_header": 5}, "doubled_header must be text, not 5"),
        ({"redirect": b"/x"}, "redirect must be text, not b'/x'"),
        ({"html": "no"}, "html must be True or False, not 'no'"),
        ({"stale": 1}, "stale must be True or False, not 1"),
        ({"status": 500, "after": "1"}, "after must be 0 or more, not '1'"),
        ({"status": 500, "times": True}, "times must be 1 or more, not True"),
        ({"status": 500, "probability": NAN}, "probability must be from 0 to 1, not nan"),
        ({"status": 500, "seed": None}, "seed must be a whole number, not None"),
        ({"status": 500, "method": 5}, "method must be text, not 5"),
        ({"status": 500, "path": b"/x"}, "path must be text, not b'/x'"),
    ],
)
def test_a_fault_of_a_wrong_type_is_rejected(registry, options, problem):
    with pytest.raises(ValueError) as failure:
        registry.fail(**options)

    assert problem in str(failure.value)
    assert len(registry.faults) == 0


def test_a_fault_of_a_wrong_type_is_rejected_by_the_engine():
    with FakeEngine() as engine, pytest.raises(ValueError, match="delay_s must be a finite number"):
        engine.fail("GET", "*/info", delay_s=NAN)


def test_all_types_of_a_fault_are_told_at_once(registry):
    with pytest.raises(ValueError) as failure:
        registry.fail(status="1", delay_s=NAN, headers={"": 5})

    assert len(str(failure.value).splitlines()) == 3


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body_has_no_content_type(registry, client, status):
    with registry.fail("GET", "/v1/_ping", status=status):
        answer = client.get("/v1/_ping", status=status)

    assert {"Content-Type", "Content-Length"}.isdisjoint(answer.headers)
    assert answer.body == b""


def test_status_of_an_expectation_is_a_number(registry):
    with pytest.raises(ValueError, match="status must be a whole number, not '500'"):
        registry.assert_requested("GET", "/v1/_ping", status="500")


def test_unknown_api_of_an_image_is_rejected(registry, tmp_path):
    with pytest.raises(ValueError, match="api must be 'v1' or 'v2', not 'v3'"):
        registry.add_image("alice/app", api="v3")
    with pytest.raises(ValueError, match="api must be 'v1', 'v2' or None, not 'v3'"):
        registry.add_archive(tmp_path, api="v3")

    assert not registry.images
